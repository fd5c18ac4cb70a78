package caddymodule_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// validate does what `caddy validate` does.
func validate(t *testing.T, caddyfile string) error {
	t.Helper()
	adapted, _, err := adapt(caddyfile)
	if err != nil {
		t.Fatalf("adapting: %v", err)
	}
	return validateJSON(t, string(adapted))
}

func validateJSON(t *testing.T, raw string) error {
	t.Helper()
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON([]byte(raw), &config); err != nil {
		t.Fatalf("decoding %s: %v", raw, err)
	}
	config.Admin = &caddy.AdminConfig{Disabled: true}
	return caddy.Validate(&config)
}

// Nothing has to be there for a config to be valid: no issuer that answers, no file with keys.
func TestGoldenConfigsAreValid(t *testing.T) {
	for _, g := range goldens(t, "*.caddyfiletest") {
		if strings.HasSuffix(g.path, "everything.caddyfiletest") {
			continue // names certificates, which validation reads
		}
		if err := validate(t, g.caddyfile); err != nil {
			t.Errorf("%s: %v", g.path, err)
		}
	}
}

// What only shows when the config is loaded is refused then: never a start with an open door.
func TestConfigsThatDoNotLoad(t *testing.T) {
	t.Setenv("BYOA_EMPTY", "")
	const environment = `{"issuer": "https://auth.example.com", "jwks_url": "https://auth.example.com/jwks"}`
	byoa := func(environments string) string { return `"byoa": {"environments": {` + environments + `}}` }
	http := func(handler string) string {
		return `"http": {"servers": {"s": {"listen": ["127.0.0.1:0"], "routes": [{"handle": [` + handler + `]}]}}}`
	}
	one := byoa(`"production": ` + environment)
	trusting := func(ca string) string {
		return byoa(`"production": {"issuer": "i", "jwks_url": "https://i.example", "tls_ca": "` + ca + `"}`)
	}
	noPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(noPEM, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	gate := http(`{"handler": "byoa"}`)

	for _, c := range []struct{ name, bad, good, want string }{
		{"no environment", byoa(``), one, "no environment is configured"},
		{"no app", gate, one + "," + gate, "no environment is configured"},
		{"no issuer", byoa(`"production": {}`), one, "environment production: issuer: missing"},
		{
			"empty secret", byoa(`"production": {"issuer": "{env.BYOA_EMPTY}", "jwks_file": "k"}`), byoa(`"production": {"issuer": "i", "jwks_file": "k"}`),
			"environment production: issuer: evaluated placeholder {env.BYOA_EMPTY} is empty",
		},
		{
			"an environment that trusts another one's own tokens",
			byoa(`"a": {"issuer": "i", "jwks_file": "k", "exchange": {"exchanger": "local", "issuer": "https://gw.example"}}, "b": {"issuer": "https://gw.example", "jwks_file": "l"}`),
			byoa(`"a": {"issuer": "i", "jwks_file": "k", "exchange": {"exchanger": "local", "issuer": "https://gw.example"}}, "b": {"issuer": "https://other.example", "jwks_file": "l"}`),
			"environment a: exchange local: issuer: must not be that of a provider, and environment b has one",
		},
		{
			"certificates that are not there", byoa(`"production": {"issuer": "i", "jwks_url": "https://i.example", "tls_ca": "/nonexistent/ca.pem"}`),
			byoa(`"production": {"issuer": "i", "jwks_url": "https://i.example"}`), "tls_ca",
		},
		{
			"certificates that are none", trusting(noPEM), // the system's authorities would be trusted in their place
			trusting(writePEM(t, newAuthority(t).certificate.Raw)), "holds no PEM certificate",
		},
		{
			"exchanger of another version", byoa(`"production": {"issuer": "i", "jwks_file": "k", "exchange": {"exchanger": "oauth"}}`),
			byoa(`"production": {"issuer": "i", "jwks_file": "k", "exchange": {"exchanger": "local"}}`), "exchange oauth: not available in this version",
		},
		{
			"store of another version", byoa(`"production": {"issuer": "i", "jwks_file": "k", "store": {"store": "redis"}}`),
			byoa(`"production": {"issuer": "i", "jwks_file": "k", "store": {"store": "memory"}}`), "store redis: not available in this version",
		},
		{
			"the gateway as its own provider", byoa(`"production": {"issuer": "i", "jwks_file": "k", "exchange": {"exchanger": "local", "issuer": "i"}}`),
			byoa(`"production": {"issuer": "i", "jwks_file": "k", "exchange": {"exchanger": "local", "issuer": "j"}}`), "issuer: must not be that of a provider",
		},
		{
			"unknown environment of a gate", one + "," + http(`{"handler": "byoa", "environment": "staging"}`),
			one + "," + http(`{"handler": "byoa", "environment": "production"}`), `unknown environment "staging"`,
		},
		{
			"unknown environment of the endpoints", one + "," + http(`{"handler": "byoa_api", "environments": ["staging"]}`),
			one + "," + http(`{"handler": "byoa_api", "environments": ["production"]}`), `unknown environment "staging"`,
		},
		{
			"which environment", byoa(`"a": {"issuer": "a", "jwks_file": "a"}, "b": {"issuer": "b", "jwks_file": "b"}`) + "," + gate,
			byoa(`"a": {"issuer": "a", "jwks_file": "a"}, "default": {"issuer": "b", "jwks_file": "b"}`) + "," + gate, "name one of the environments: a, b",
		},
		{
			"the external JWT where the session goes", one + "," + http(`{"handler": "byoa", "keep_external": true}`),
			one + "," + http(`{"handler": "byoa", "keep_external": true, "token_header": {"name": "X-Session"}}`), "keep_external: Authorization carries",
		},
		{"a guard that asks for nothing", http(`{"handler": "step_up"}`), http(`{"handler": "step_up", "scopes": ["a"]}`), "asks for nothing"},
		{"a gate that knows no such option", one + "," + http(`{"handler": "byoa", "optionl": true}`), one + "," + http(`{"handler": "byoa", "optional": true}`), "optionl"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := validateJSON(t, `{"apps": {`+c.bad+`}}`)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
			if err := validateJSON(t, `{"apps": {`+c.good+`}}`); err != nil {
				t.Errorf("the control is refused: %v", err)
			}
		})
	}
}
