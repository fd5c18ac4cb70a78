package caddymodule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

const smallest = `{"issuer": "https://auth.example.com", "jwks_url": "https://auth.example.com/jwks"}`

// environment decodes the smallest environment and then, over it, each of more.
func environment(t *testing.T, more ...string) *Environment {
	t.Helper()
	e := new(Environment)
	decode(t, e, append([]string{smallest}, more...)...)
	return e
}

func decode(t *testing.T, v any, raws ...string) {
	t.Helper()
	for _, raw := range raws {
		d := json.NewDecoder(strings.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			t.Fatalf("decoding %s: %v", raw, err)
		}
	}
}

// load does to e what the app does when it is provisioned.
func load(e *Environment, name string) error {
	return loadEnvironments(map[string]*Environment{name: e})
}

// wantError wants an error that says all of want.
func wantError(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// mistake is an environment that must be refused, and the nearest one that must not.
type mistake struct {
	name      string
	bad, good string
	want      string
}

func (m mistake) run(t *testing.T) {
	err := load(environment(t, m.bad), "production")
	wantError(t, err, "environment production: "+m.want)
	if err := load(environment(t, m.good), "production"); err != nil {
		t.Errorf("the control is refused: %v", err)
	}
}

func TestEnvironmentMistakes(t *testing.T) {
	t.Setenv("BYOA_EMPTY", "")
	t.Setenv("BYOA_SPACE", "https://api.example.com ")
	t.Setenv("BYOA_VALUE", "https://api.example.com")
	for _, m := range []mistake{
		{"no issuer", `{"issuer": ""}`, `{}`, "issuer: missing"},
		{"issuer with a newline", `{"issuer": "https://auth.example.com\n"}`, `{}`, "issuer: must not begin or end"},
		{"no keys", `{"jwks_url": ""}`, `{}`, "jwks_url: missing"},
		{"keys in two places", `{"jwks_file": "keys.json"}`, `{"jwks_url": "", "jwks_file": "keys.json"}`, "jwks_url: only one of"},
		{"plain http", `{"jwks_url": "http://auth.example.com/jwks"}`, `{"jwks_url": "http://auth.example.com/jwks", "insecure_http": true}`, "jwks_url: must be https"},
		{"plain http to a name that begins like loopback", `{"jwks_url": "http://127.0.0.1.example.com/"}`, `{"jwks_url": "http://127.0.0.1:8080/"}`, "jwks_url: must be https"},
		{"plain http to a name that ends like loopback", `{"jwks_url": "http://example.localhost.example/"}`, `{"jwks_url": "http://localhost/"}`, "jwks_url: must be https"},
		{"plain http to the local network", `{"jwks_url": "http://[fe80::1]/"}`, `{"jwks_url": "http://[::1]/"}`, "jwks_url: must be https"},
		{"keys from a file URL", `{"jwks_url": "file:///etc/keys.json", "insecure_http": true}`, `{"insecure_http": true}`, "jwks_url: must be an absolute https URL"},
		{"keys from no URL", `{"jwks_url": "https://%zz/"}`, `{}`, "jwks_url: is no valid URL"},
		{"password in the URL", `{"jwks_url": "https://u:hunter2@auth.example.com/"}`, `{}`, "jwks_url: must not hold a user"},
		{"fragment in the URL", `{"jwks_url": "https://auth.example.com/#"}`, `{}`, "jwks_url: must not hold a fragment"},
		{"tls_ca for a file", `{"jwks_url": "", "jwks_file": "k", "tls_ca": "ca.pem"}`, `{"tls_ca": "ca.pem"}`, "tls_ca: of no use"},
		{"insecure_http for a file", `{"jwks_url": "", "jwks_file": "k", "insecure_http": true}`, `{"insecure_http": true}`, "insecure_http: of no use"},
		{"empty audience", `{"audience": [""]}`, `{"audience": ["a"]}`, "audience: must not be empty"},
		{"HS256", `{"algorithms": ["ES256", "HS256"]}`, `{"algorithms": ["ES256", "RS256"]}`, "algorithms: HS256 is never accepted"},
		{"hs512 in small letters", `{"algorithms": ["hs512"]}`, `{"algorithms": ["PS512"]}`, "algorithms: hs512 is never accepted"},
		{"none", `{"algorithms": ["none"]}`, `{"algorithms": ["EdDSA"]}`, `algorithms: unknown algorithm "none"`},
		{"negative leeway", `{"leeway": "-1s"}`, `{"leeway": "0s"}`, "leeway: must be between"},
		{"endless leeway", `{"leeway": "24h"}`, `{"leeway": "10m"}`, "leeway: must be between"},
		{"id that is no UUID", `{"id": "production"}`, `{"id": "95b11417-f18f-457f-8804-68e361f9164f"}`, "id: must be a lower-case UUID"},
		{"id in braces", `{"id": "urn:uuid:95b11417-f18f-457f-8804-68e361f9164f"}`, `{"id": "95b11417-f18f-457f-8804-68e361f9164f"}`, "id: must be a lower-case UUID"},
		{"provider is null", `{"providers": [null]}`, `{"providers": []}`, "providers[0]: is null"},
		{"provider without issuer", `{"providers": [{"jwks_file": "k"}]}`, `{"providers": [{"issuer": "b", "jwks_file": "k"}]}`, "providers[0]: issuer: missing"},
		{"provider without keys", `{"providers": [{"issuer": "b"}]}`, `{"providers": [{"issuer": "b", "jwks_file": "k"}]}`, "provider b: jwks_url: missing"},
		{
			"provider with the first one's issuer", `{"providers": [{"issuer": "https://auth.example.com", "jwks_file": "k"}]}`,
			`{"providers": [{"issuer": "https://auth.example.com/", "jwks_file": "k"}]}`, "provider https://auth.example.com: two providers have this issuer",
		},
		{"cookie name", `{"cookie_name": "a;b"}`, `{"cookie_name": "a.b"}`, "cookie_name: ';' cannot stand"},
		{"session cookie", `{"session": {"cookie": "a b"}}`, `{"session": {"cookie": "__Host-byoa"}}`, "session: cookie: ' ' cannot stand"},
		{"one cookie for both", `{"cookie_name": "a", "session": {"cookie": "a"}}`, `{"cookie_name": "a", "session": {"cookie": "b"}}`, "session: cookie: must differ"},
		{"header that is no name", `{"header": "X-Token:"}`, `{"header": "X-Token"}`, "header: "},
		{"header Cookie", `{"header": "cookie"}`, `{"header": "X-Cookie"}`, "header: cookie is not the gateway's to set"},
		{"header of the proof", `{"header": "X-Dyn.Elevated_Access-Token"}`, `{"header": "X-Dyn-Token"}`, "header: X-Dyn.Elevated_Access-Token carries the proof"},
		{"max_token_size", `{"max_token_size": -1}`, `{"max_token_size": 4096}`, "max_token_size: must be between"},
		{"cache_size", `{"cache_size": 1}`, `{"cache_size": 1048576}`, "cache_size: must be between"},
		{"assertion lifetime", `{"assertion": {"max_lifetime": "-1h"}}`, `{"assertion": {"max_lifetime": "1h"}}`, "assertion: max_lifetime: must be between"},
		{"session lifetime", `{"session": {"lifetime": "-1h"}}`, `{"session": {"lifetime": "1h"}}`, "session: lifetime: must be between"},
		{"session longer than itself", `{"session": {"lifetime": "2h", "max_lifetime": "1h"}}`, `{"session": {"lifetime": "1h", "max_lifetime": "1h"}}`, "session: lifetime: 2h is longer than max_lifetime, 1h"},
		{"no scope is allowed", `{"scopes": {}}`, `{"scopes": null}`, "scopes: empty"},
		{"two scopes in one", `{"scopes": {"a b": {}}}`, `{"scopes": {"a": {}, "b": {}}}`, `scopes: malformed scope "a b"`},
		{"scope with a no-break space", `{"scopes": {"a\u00a0b": {}}}`, `{"scopes": {"a:b": {}}}`, "scopes: malformed scope"},
		{"scope for ever", `{"scopes": {"a": {"lifetime": "8760h"}}}`, `{"scopes": {"a": {"lifetime": "24h"}}}`, "scope a: lifetime: must be between"},
		{"cors *", `{"cors": ["*"]}`, `{"cors": ["https://app.example.com"]}`, "cors: * would let every website"},
		{"cors null", `{"cors": ["null"]}`, `{"cors": ["https://null"]}`, "cors: null is what"},
		{"cors with a path", `{"cors": ["https://app.example.com/x"]}`, `{"cors": ["https://app.example.com:8443"]}`, "cors: "},
		{"cors with a password", `{"cors": ["https://u:hunter2@app.example.com"]}`, `{"cors": ["https://app.example.com"]}`, "cors: must be an origin without user"},
		{"cors with an empty port", `{"cors": ["https://app.example.com:"]}`, `{"cors": ["http://localhost:3000"]}`, "cors: "},
		{"cors with international letters", `{"cors": ["https://bücher.example"]}`, `{"cors": ["https://xn--bcher-kva.example"]}`, "cors: "},
		{"exchange dynamic", `{"exchange": {"exchanger": "dynamic"}}`, `{"exchange": {"exchanger": "local"}}`, "exchange dynamic: not available in this version"},
		{"exchange oauth", `{"exchange": {"exchanger": "oauth"}}`, `{"exchange": {"exchanger": "local"}}`, "exchange oauth: not available in this version"},
		{"store redis", `{"store": {"store": "redis"}}`, `{"store": {"store": "memory"}}`, "store redis: not available in this version"},

		{"issuer from an empty variable", `{"issuer": "{env.BYOA_EMPTY}"}`, `{"issuer": "{env.BYOA_VALUE}"}`, "issuer: evaluated placeholder {env.BYOA_EMPTY} is empty"},
		{"issuer from a variable that is not set", `{"issuer": "{env.BYOA_NOT_SET}"}`, `{"issuer": "{env.BYOA_VALUE}"}`, "issuer: evaluated placeholder {env.BYOA_NOT_SET} is empty"},
		{"URL with an empty variable inside", `{"jwks_url": "https://{env.BYOA_EMPTY}/jwks"}`, `{"jwks_url": "{env.BYOA_VALUE}/jwks"}`, "jwks_url: evaluated placeholder"},
		{"audience from an empty variable", `{"audience": ["a", "{env.BYOA_EMPTY}"]}`, `{"audience": ["a", "{env.BYOA_VALUE}"]}`, "audience: evaluated placeholder"},
		{"audience from a variable with a space", `{"audience": ["{env.BYOA_SPACE}"]}`, `{"audience": ["{env.BYOA_VALUE}"]}`, "audience: must not begin or end"},
		{"issuer from a file that is not there", `{"issuer": "{file./nonexistent/byoa}"}`, `{"issuer": "{env.BYOA_VALUE}"}`, "issuer: evaluated placeholder {file./nonexistent/byoa} is empty"},
		{"issuer from the request", `{"issuer": "https://{http.request.host}"}`, `{"issuer": "https://{env.BYOA_VALUE}"}`, "issuer: unrecognized placeholder {http.request.host}"},
		{"assertion audience from an empty variable", `{"assertion": {"audience": "{env.BYOA_EMPTY}"}}`, `{"assertion": {"audience": "{env.BYOA_VALUE}"}}`, "assertion: audience: evaluated placeholder"},
		{"tls_ca from an empty variable", `{"tls_ca": "{env.BYOA_EMPTY}"}`, `{"tls_ca": "{env.BYOA_VALUE}"}`, "tls_ca: evaluated placeholder"},
		{"cors from an empty variable", `{"cors": ["{env.BYOA_EMPTY}"]}`, `{"cors": ["{env.BYOA_VALUE}"]}`, "cors: evaluated placeholder"},
		{
			"second provider from an empty variable", `{"providers": [{"issuer": "b", "jwks_file": "{env.BYOA_EMPTY}"}]}`,
			`{"providers": [{"issuer": "b", "jwks_file": "{env.BYOA_VALUE}"}]}`, "providers[0]: jwks_file: evaluated placeholder",
		},
		{
			"two providers with one issuer behind placeholders", `{"issuer": "{env.BYOA_VALUE}", "providers": [{"issuer": "https://api.example.com", "jwks_file": "k"}]}`,
			`{"issuer": "{env.BYOA_VALUE}", "providers": [{"issuer": "https://other.example.com", "jwks_file": "k"}]}`, "provider https://api.example.com: two providers have this issuer",
		},
	} {
		t.Run(m.name, m.run)
	}
}

func TestNoEnvironmentAtAll(t *testing.T) {
	wantError(t, loadEnvironments(nil), "no environment is configured")
	wantError(t, load(nil, "production"), "environment production: is null")
}

func TestEnvironmentNameMistakes(t *testing.T) {
	for _, name := range []string{"", "a.b", "a b", "é", "a/b", "{env.X}", strings.Repeat("a", 65)} {
		err := load(environment(t), name)
		wantError(t, err, "is no environment name")
	}
	for _, name := range []string{"default", "A-b_3", strings.Repeat("a", 64)} {
		if err := load(environment(t), name); err != nil {
			t.Errorf("the name %q is refused: %v", name, err)
		}
	}
}

// An error about a value that may be a secret in the wrong place does not repeat it.
func TestMistakesDoNotRepeatSecrets(t *testing.T) {
	t.Setenv("BYOA_SECRET", "https://user:hunter2@auth.example.com/%zz#x")
	for _, field := range []string{
		`{"issuer": " {env.BYOA_SECRET}"}`, `{"jwks_url": "{env.BYOA_SECRET}"}`, `{"audience": [" {env.BYOA_SECRET}"]}`,
		`{"id": "{env.BYOA_SECRET}"}`, `{"cors": ["{env.BYOA_SECRET}"]}`, `{"providers": [{"issuer": " {env.BYOA_SECRET}", "jwks_file": "k"}]}`, `{"assertion": {"audience": " {env.BYOA_SECRET}"}}`,
	} {
		err := load(environment(t, field), "production")
		wantError(t, err, "environment production: ")
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error about %s repeats the secret: %v", field, err)
		}
	}
}

func TestPlaceholdersAreResolvedOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "issuer")
	if err := os.WriteFile(file, []byte("https://auth.example.com/{env.BYOA_VALUE}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BYOA_VALUE", "inner")
	e := environment(t, `{"issuer": "{file.`+file+`}", "jwks_url": "https://{env.BYOA_VALUE}.example.com/jwks"}`)
	if err := load(e, "production"); err != nil {
		t.Fatal(err)
	}
	if want := "https://auth.example.com/{env.BYOA_VALUE}"; e.Issuer != want {
		t.Errorf("issuer is %q, want what the file holds, literally: %q", e.Issuer, want)
	}
	if want := "https://inner.example.com/jwks"; e.JWKSURL != want {
		t.Errorf("jwks_url is %q, want %q", e.JWKSURL, want)
	}
}

func TestEnvironmentDefaults(t *testing.T) {
	e := environment(t, `{"scopes": {"a": {}, "b": {"lifetime": "1m"}}, "providers": [{"issuer": "b", "jwks_file": "k", "leeway": 0}]}`)
	if err := load(e, "production"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		field     string
		got, want any
	}{
		{"id", e.ID, "2a9ac766-1af8-5bdc-99af-087e5ce43942"},
		{"header", e.Header, "Authorization"},
		{"max_token_size", e.MaxTokenSize, int64(16384)},
		{"cache_size", e.CacheSize, int64(67108864)},
		{"assertion max_lifetime", e.Assertion.MaxLifetime, caddy.Duration(time.Hour)},
		{"session lifetime", e.Session.Lifetime, caddy.Duration(time.Hour)},
		{"session max_lifetime", e.Session.MaxLifetime, caddy.Duration(24 * time.Hour)},
		{"lifetime of a scope", e.Scopes["a"].Lifetime, caddy.Duration(5 * time.Minute)},
		{"lifetime of a scope that says it", e.Scopes["b"].Lifetime, caddy.Duration(time.Minute)},
		{"leeway", *e.Leeway, caddy.Duration(30 * time.Second)},
		{"leeway of a provider that says 0", *e.Providers[0].Leeway, caddy.Duration(0)},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.field, c.got, c.want)
		}
	}
}

// A short session without a max_lifetime, and a long one, are no contradiction to the defaults.
func TestSessionDefaultsFollowWhatIsSet(t *testing.T) {
	for _, c := range []struct{ session, lifetime, reach string }{
		{`{}`, "1h", "24h"},
		{`{"lifetime": "48h"}`, "48h", "48h"},
		{`{"max_lifetime": "30m"}`, "30m", "30m"},
	} {
		e := environment(t, `{"session": `+c.session+`}`)
		if err := load(e, "production"); err != nil {
			t.Errorf("%s: %v", c.session, err)
		}
		if got := brief(e.Session.Lifetime); got != c.lifetime {
			t.Errorf("%s: lifetime is %s, want %s", c.session, got, c.lifetime)
		}
		if got := brief(e.Session.MaxLifetime); got != c.reach {
			t.Errorf("%s: max_lifetime is %s, want %s", c.session, got, c.reach)
		}
	}
}

func TestEnvironmentWarnings(t *testing.T) {
	for _, c := range []struct {
		config string
		want   []string
	}{
		{`{"audience": ["a"], "assertion": {"type": "t"}}`, nil},
		{`{"audience": ["a"]}`, []string{"assertion: neither type nor audience is set"}},
		{`{"assertion": {"type": "t"}}`, []string{"audience: not set"}},
		{`{"assertion": {"type": "t"}, "audience": ["a"], "insecure_http": true, "jwks_url": "http://auth.example.com/"}`, []string{"jwks_url: plain http"}},
		{`{"assertion": {"type": "t"}, "audience": ["a"], "jwks_url": "http://127.0.0.1/"}`, nil},
		{`{"audience": ["a"], "assertion": {"audience": "a"}}`, []string{"assertion: audience: is an audience of access tokens too"}},
		{`{"audience": ["a"], "assertion": {"audience": "a", "type": "step-up+jwt"}}`, nil},
		{`{"assertion": {"type": "t"}, "audience": ["a"], "providers": [{"issuer": "b", "jwks_file": "k"}]}`, []string{"provider b: audience: not set"}},
		{`{"audience": ["a"], "assertion": {"type": "jwt"}}`, []string{"assertion: type: jwt is what login systems write into their own tokens"}},
		{`{"audience": ["a"], "assertion": {"type": "application/at+jwt"}}`, []string{"assertion: type: application/at+jwt is what"}},
		{`{"assertion": {"type": "t"}, "audience": ["a"], "link": true}`, []string{"link: there is one login system only"}},
		{`{"assertion": {"type": "t"}, "audience": ["a"], "link": true, "providers": [{"issuer": "b", "jwks_file": "k", "audience": ["a"]}]}`, nil},
	} {
		e := environment(t, c.config)
		if err := load(e, "production"); err != nil {
			t.Fatalf("%s: %v", c.config, err)
		}
		got := e.warnings()
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s: warnings %q, want %q", c.config, got, c.want)
		}
	}
}

// Two providers with one JWKS: an assertion signed by one could pass for the other's, unless it names its issuer.
func TestProvidersWithOneJWKSMustNameTheIssuer(t *testing.T) {
	e := environment(t, `{"providers": [
		{"issuer": "twin", "jwks_url": "HTTPS://auth.example.com:443/jwks"},
		{"issuer": "file", "jwks_file": "keys.json"},
		{"issuer": "alone", "jwks_url": "https://auth.example.com/other"},
		{"issuer": "same file", "jwks_file": "./x/../keys.json"}]}`)
	if err := load(e, "production"); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"https://auth.example.com": true, "twin": true, "file": true, "alone": false, "same file": true}
	for _, p := range e.allProviders() {
		if got := e.requireIssuer(p); got != want[p.Issuer] {
			t.Errorf("assertions of %s must name their issuer: %t, want %t", p.Issuer, got, want[p.Issuer])
		}
	}
}

// Two environments that trust one login system: an assertion for the one must be worth nothing in the other.
func TestEnvironmentsThatTrustTheSame(t *testing.T) {
	const audienceA, audienceB = `{"assertion": {"audience": "a"}}`, `{"assertion": {"audience": "b"}}`
	const otherIssuer, otherKeys = `{"issuer": "https://b.example.com"}`, `{"jwks_url": "https://b.example.com/jwks"}`
	for _, c := range []struct {
		name string
		a, b []string
		want string // empty: they go together
	}{
		{"nothing shared", nil, []string{otherIssuer, otherKeys}, ""},
		{"one issuer, no audience", nil, []string{otherKeys}, "assertion audience: missing; both trust one issuer"},
		{"one issuer, one audience missing", []string{audienceA}, []string{otherKeys}, "assertion audience: missing"},
		{"one issuer, one audience", []string{audienceA}, []string{otherKeys, audienceA}, "assertion audience: must differ, because both trust one issuer"},
		{"one issuer, two audiences", []string{audienceA}, []string{otherKeys, audienceB}, ""},
		{"one JWKS, no audience", nil, []string{otherIssuer}, "assertion audience: missing; both trust one JWKS"},
		{"one JWKS, two audiences", []string{audienceA}, []string{otherIssuer, audienceB}, ""},
		{"one JWKS, written otherwise", nil, []string{otherIssuer, `{"jwks_url": "https://AUTH.example.com:443/jwks"}`}, "both trust one JWKS"},
		{"shared with a further provider", nil, []string{otherIssuer, otherKeys, `{"providers": [{"issuer": "https://auth.example.com", "jwks_file": "k"}]}`}, "both trust one issuer"},
		{"one id", []string{`{"id": "95b11417-f18f-457f-8804-68e361f9164f"}`}, []string{otherIssuer, otherKeys, `{"id": "95b11417-f18f-457f-8804-68e361f9164f"}`}, "id: both have the same"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := map[string]*Environment{"a": environment(t, c.a...), "b": environment(t, c.b...)}
			err := loadEnvironments(all)
			if c.want != "" {
				wantError(t, err, "environments a and b: ", c.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestChoosingAnEnvironment(t *testing.T) {
	for _, c := range []struct {
		names []string
		name  string
		want  string
		err   string
	}{
		{[]string{"a"}, "", "a", ""},
		{[]string{"a"}, "a", "a", ""},
		{[]string{"a"}, "b", "", `unknown environment "b"; known: a`},
		{[]string{"b", "default", "a"}, "", "default", ""},
		{[]string{"b", "a"}, "", "", "name one of the environments: a, b"},
		{[]string{"b", "a"}, "default", "", `unknown environment "default"`},
		{nil, "", "", "no environment is configured"},
		{nil, "a", "", "no environment is configured"},
	} {
		got, err := chooseEnvironment(c.names, c.name)
		if c.err != "" {
			wantError(t, err, c.err)
		} else if err != nil {
			t.Errorf("%q of %q: %v", c.name, c.names, err)
		}
		if got != c.want {
			t.Errorf("%q of %q is %q, want %q", c.name, c.names, got, c.want)
		}
	}
}

func TestLocalExchangerMistakes(t *testing.T) {
	t.Setenv("BYOA_EMPTY", "")
	for _, c := range []struct{ bad, good, want string }{
		{`{"algorithm": "HS256"}`, `{"algorithm": "EdDSA"}`, `algorithm: unknown algorithm "HS256"`},
		{`{"rotate": "1h"}`, `{"rotate": "2h"}`, "rotate: must be between"},
		{`{"issuer": "{env.BYOA_EMPTY}"}`, `{"issuer": "https://api.example.com"}`, "issuer: evaluated placeholder"},
		{`{"audience": "{env.BYOA_EMPTY}"}`, `{"audience": "https://api.example.com"}`, "audience: evaluated placeholder"},
		{`{"issuer": " a"}`, `{"issuer": "a"}`, "issuer: must not begin or end"},
	} {
		wantError(t, loadLocal(t, c.bad), "exchange local: ", c.want)
		if err := loadLocal(t, c.good); err != nil {
			t.Errorf("%s is refused: %v", c.good, err)
		}
	}
}

func loadLocal(t *testing.T, raw string) error {
	x := new(LocalExchanger)
	decode(t, x, raw)
	if err := x.Provision(caddy.Context{}); err != nil {
		return err
	}
	return x.Validate()
}

// If the gateway could be taken for one of its own providers, its tokens would sign in.
func TestLocalIssuerIsNoProvider(t *testing.T) {
	e := environment(t, `{"providers": [{"issuer": "https://second.example.com", "jwks_file": "k"}]}`)
	for _, issuer := range []string{"https://auth.example.com", "https://second.example.com"} {
		wantError(t, (&LocalExchanger{Issuer: issuer}).apartFrom(e, e), "issuer: must not be that of a provider")
	}
	for _, issuer := range []string{"", "https://api.example.com"} {
		if err := (&LocalExchanger{Issuer: issuer}).apartFrom(e, e); err != nil {
			t.Errorf("issuer %q is refused: %v", issuer, err)
		}
	}
	e.ID, e.Issuer = "95b11417-f18f-457f-8804-68e361f9164f", "urn:uuid:95b11417-f18f-457f-8804-68e361f9164f"
	wantError(t, new(LocalExchanger).apartFrom(e, e), "issuer: must not be that of a provider")
}
