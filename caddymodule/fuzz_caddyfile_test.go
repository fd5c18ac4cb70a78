package caddymodule_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
)

// directive is what one name of a Caddyfile is read into.
type directive struct {
	name  string
	empty func() caddyfile.Unmarshaler
	seeds []string
}

// globalOption reads the option byoa as the adapter does: from its name on.
type globalOption struct{ *caddymodule.App }

func (o *globalOption) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	return o.App.UnmarshalCaddyfile(d)
}

func fuzzedDirectives() []directive {
	return []directive{
		{"byoa", func() caddyfile.Unmarshaler { return new(caddymodule.Gate) }, []string{
			"", "production", "{\n optional\n}", "a {\n token_header X-Session\n elevated_header X-Elevated\n claim_header X-User sub\n}",
			"{\n allow_path semicolon encoded_slash\n allow_query token\n stream_lifetime unlimited\n pass_errors\n keep_external\n}",
			"{\n token_header X-A Bearer extra\n}", "{\n optional maybe\n}", "{\n claim_header X_User sub\n claim_header X-User sub\n}",
		}},
		{"step_up", func() caddyfile.Unmarshaler { return new(caddymodule.StepUp) }, []string{
			"wallet:export", "a b {\n max_age 5m\n acr mfa\n report_only\n}", "{\n GET /wallets/{id} -\n POST /wallets/{id}/export wallet:export\n default deny\n}",
			"{\n /x/{rest...} deny\n default session\n openapi api.yaml\n}", "{\n GET /a/{x} a\n GET /a/{y} b\n}", "{\n /a/{$} -\n}", "{\n GET\n}", "- {\n}", "\"a b\"",
		}},
		{"byoa_api", func() caddyfile.Unmarshaler { return new(caddymodule.API) }, []string{
			"", "/auth", "/auth/ {\n environment a b\n check public\n}", "@m", "/a*", "{\n oauth_client id secret\n}",
		}},
		{"byoa", func() caddyfile.Unmarshaler {
			return &globalOption{&caddymodule.App{Environments: map[string]*caddymodule.Environment{}}}
		}, []string{
			exampleOption(), "{\n environment {\n issuer https://a.example\n jwks_url https://a.example/jwks\n }\n}",
			"{\n environment a {\n issuer i\n discovery on\n provider j {\n jwks_file k.json\n leeway 1m\n }\n scope x {\n multi_use\n lifetime 1m\n }\n }\n}",
			"{\n environment a {\n issuer i\n jwks_url https://x\n audience {env.X} b\n cors https://a https://b\n store memory\n exchange local {\n rotate 1d\n }\n }\n}",
		}},
		{"byoa", func() caddyfile.Unmarshaler { return new(caddymodule.LogEncoder) }, []string{"", "{\n wrap console\n}", "{\n wrap json {\n time_format wall\n }\n}", "{\n wrap\n}"}},
	}
}

// exampleOption is the option byoa of Caddyfile.example, from its brace on.
func exampleOption() string {
	text, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		panic(err)
	}
	_, option, _ := strings.Cut(string(text), "\n\tbyoa {")
	option, _, _ = strings.Cut(option, "\n\t}\n")
	return "{" + option + "\n}"
}

// Whatever stands after a directive, reading it ends, with a mistake that says what is wrong or with
// a config; and that is the same however often it is read and written as JSON.
func FuzzCaddyfile(f *testing.F) {
	directives := fuzzedDirectives()
	for i, d := range directives {
		for _, seed := range d.seeds {
			f.Add(uint8(i), seed)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		d := directives[int(which)%len(directives)]
		first, err := readDirective(d, text)
		again, errAgain := readDirective(d, text)
		if fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("%s %q: %v, and the second time: %v", d.name, text, err, errAgain)
		}
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Fatalf("%s %q is refused, and nothing says why", d.name, text)
			}
			return
		}
		written := asJSON(t, first)
		if !bytes.Equal(written, asJSON(t, again)) {
			t.Fatalf("%s %q is read as %s, and the second time as %s", d.name, text, written, asJSON(t, again))
		}
		fromJSON := d.empty()
		decoder := json.NewDecoder(bytes.NewReader(written))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(fromJSON); err != nil {
			t.Fatalf("%s %q is written as %s, which cannot be read: %v", d.name, text, written, err)
		}
		if got := asJSON(t, fromJSON); !bytes.Equal(got, written) {
			t.Fatalf("%s %q is written as %s, and then as %s", d.name, text, written, got)
		}
	})
}

func readDirective(d directive, text string) (caddyfile.Unmarshaler, error) {
	v := d.empty()
	return v, v.UnmarshalCaddyfile(caddyfile.NewTestDispenser(d.name + " " + text))
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
