package caddymodule

import (
	"slices"
	"strings"
	"testing"
)

// Discovery asks the issuer, so the issuer has to be something that can be asked, over a
// way on which nobody else can answer.
func TestDiscoveryMistakes(t *testing.T) {
	discovers := func(issuer, more string) string {
		return `{"jwks_url": "", "discovery": true, "issuer": "` + issuer + `"` + more + `}`
	}
	good := discovers("https://auth.example.com", "")
	for _, m := range []mistake{
		{"keys in two places", `{"discovery": true}`, good, "jwks_url: only one of"},
		{"keys in two other places", `{"jwks_url": "", "jwks_file": "k", "discovery": true}`, good, "jwks_url: only one of"},
		{"switched off, and nothing else", `{"jwks_url": "", "discovery": false}`, `{"discovery": false}`, "jwks_url: missing"},
		{"an issuer that is a name", discovers("auth.example.com", ""), good, "discovery: issuer: must be an absolute https URL"},
		{"an issuer that is a URN", discovers("urn:example:auth", ""), good, "discovery: issuer: must be an absolute https URL"},
		{"plain http", discovers("http://auth.example.com", ""), discovers("http://auth.example.com", `, "insecure_http": true`), "discovery: issuer: must be https"},
		{"plain http to a name that begins like loopback", discovers("http://127.0.0.1.example.com", ""), discovers("http://127.0.0.1", ""), "discovery: issuer: must be https"},
		{"a query", discovers("https://auth.example.com?tenant=a", ""), discovers("https://auth.example.com/tenant=a", ""), "discovery: issuer: must not hold a query"},
		{"an empty query", discovers("https://auth.example.com/?", ""), discovers("https://auth.example.com/", ""), "discovery: issuer: must not hold a query"},
		{"a fragment", discovers("https://auth.example.com#", ""), good, "discovery: issuer: must not hold a fragment"},
		{"a password", discovers("https://u:hunter2@auth.example.com", ""), good, "discovery: issuer: must not hold a user"},
		{"of a further provider", `{"providers": [{"issuer": "b", "discovery": true}]}`, `{"providers": [{"issuer": "https://b.example.com", "discovery": true}]}`, "provider b: discovery: issuer: must be an absolute https URL"},
		{"from an empty variable", discovers("https://{env.BYOA_NOT_SET}", ""), good, "issuer: evaluated placeholder"},
		{"certificates for a file", `{"jwks_url": "", "jwks_file": "k", "tls_ca": "ca.pem"}`, discovers("https://auth.example.com", `, "tls_ca": "ca.pem"`), "tls_ca: of no use"},
	} {
		t.Run(m.name, m.run)
	}
}

// Where discovery leads shows only when the issuer is asked. Until then it may lead to
// wherever another provider's keys are.
func TestDiscoveryMayShareKeys(t *testing.T) {
	const other = `{"issuer": "https://b.example.com", "jwks_url": "", "discovery": true}`
	const audienceA, audienceB = `{"assertion": {"audience": "a"}}`, `{"assertion": {"audience": "b"}}`
	for _, c := range []struct {
		name string
		a, b []string
		want string // empty: they go together
	}{
		{"with a URL", nil, []string{other}, "assertion audience: missing; discovery may lead both to one JWKS"},
		{"with discovery", []string{`{"jwks_url": "", "discovery": true}`}, []string{other}, "discovery may lead both to one JWKS"},
		{"one audience", []string{audienceA}, []string{other, audienceA}, "assertion audience: must differ, because discovery may lead"},
		{"two audiences", []string{audienceA}, []string{other, audienceB}, ""},
		{"with a file", []string{`{"jwks_url": "", "jwks_file": "k"}`}, []string{other}, ""},
		{"of one issuer", nil, []string{`{"jwks_url": "", "discovery": true}`}, "both trust one issuer"},
		{"beside one JWKS", []string{`{"providers": [{"issuer": "https://c.example.com", "discovery": true}]}`}, []string{`{"issuer": "https://b.example.com"}`}, "both trust one JWKS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := loadEnvironments(map[string]*Environment{"a": environment(t, c.a...), "b": environment(t, c.b...)})
			if c.want != "" {
				wantError(t, err, "environments a and b: ", c.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// In one environment an assertion that names its issuer cannot pass for another's.
func TestDiscoveryBesideAnotherProviderMustNameTheIssuer(t *testing.T) {
	const alone = `{"jwks_url": "", "discovery": true}`
	for _, c := range []struct {
		providers string
		want      []bool
	}{
		{`[]`, []bool{false}},
		{`[{"issuer": "https://b.example.com", "jwks_url": "https://b.example.com/jwks"}]`, []bool{true, true}},
		{`[{"issuer": "https://b.example.com", "discovery": true}]`, []bool{true, true}},
		{`[{"issuer": "b", "jwks_file": "k"}]`, []bool{false, false}},
	} {
		e := environment(t, alone, `{"providers": `+c.providers+`}`)
		if err := load(e, "production"); err != nil {
			t.Fatal(err)
		}
		var got []bool
		for _, p := range e.allProviders() {
			got = append(got, e.requireIssuer(p))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("beside %s: must name the issuer: %t, want %t", c.providers, got, c.want)
		}
		if warns := strings.Contains(strings.Join(e.warnings(), "\n"), "those that do not are refused too"); warns != c.want[0] {
			t.Errorf("beside %s: warns that no assertion can pass: %t, want %t", c.providers, warns, c.want[0])
		}
	}
}

func TestDiscoveryWarnsOfPlainHTTP(t *testing.T) {
	for issuer, want := range map[string]bool{"http://auth.example.com": true, "http://127.0.0.1": false, "https://auth.example.com": false} {
		e := environment(t, `{"jwks_url": "", "discovery": true, "insecure_http": true, "issuer": "`+issuer+`"}`)
		if err := load(e, "production"); err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(e.warnings(), func(w string) bool { return strings.HasPrefix(w, "discovery: plain http") }); got != want {
			t.Errorf("%s: warns: %t, want %t", issuer, got, want)
		}
	}
}
