package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A URL may hold a secret in its path or its query. Whoever asks the admin API, or reads the
// log, is shown the placeholder that it comes from, and of the query nothing.
func TestURLIsShownWithItsPlaceholders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BYOA_KEY", "hunter2")
	t.Setenv("BYOA_URL", "https://auth.example.com/k/hunter2")
	t.Setenv("BYOA_QUERY", "https://auth.example.com/jwks?key=hunter2")
	const site = "https://auth.example.com"
	for _, c := range []struct{ written, resolved, shown string }{
		{site + "/k/jwks", site + "/k/jwks", site + "/k/jwks"},
		{site + "/k%2Fb/ä/jwks", site + "/k%2Fb/ä/jwks", site + "/k%2Fb/ä/jwks"},
		{site + "/jwks?key=plain", site + "/jwks?key=plain", site + "/jwks?…"},
		{site + "/{env.BYOA_KEY}/jwks", site + "/hunter2/jwks", site + "/{env.BYOA_KEY}/jwks"},
		{site + "/{file." + file + "}/jwks", site + "/hunter2/jwks", site + "/{file." + file + "}/jwks"},
		{site + "/jwks?key={env.BYOA_KEY}", site + "/jwks?key=hunter2", site + "/jwks?…"},
		{site + "/{env.BYOA_KEY}?a={env.BYOA_KEY}", site + "/hunter2?a=hunter2", site + "/{env.BYOA_KEY}?…"},
		{"https://{env.BYOA_KEY}.example.com/jwks", "https://hunter2.example.com/jwks", "https://{env.BYOA_KEY}.example.com/jwks"},
		{"{env.BYOA_URL}", site + "/k/hunter2", "{env.BYOA_URL}"},
		{"{env.BYOA_QUERY}", site + "/jwks?key=hunter2", "{env.BYOA_QUERY}?…"},
		{"{env.BYOA_QUERY}&more=plain", site + "/jwks?key=hunter2&more=plain", "{env.BYOA_QUERY}?…"},
	} {
		e := environment(t, `{"jwks_url": "`+c.written+`", "providers": [{"issuer": "b", "jwks_url": "`+c.written+`"}]}`)
		if err := load(e, "production"); err != nil {
			t.Errorf("%s: %v", c.written, err)
			continue
		}
		for i, view := range providerViews(e) {
			if got := e.allProviders()[i].JWKSURL; got != c.resolved {
				t.Errorf("%s: the keys are fetched from %s, want %s", c.written, got, c.resolved)
			}
			if view.JWKSURL != c.shown || strings.Contains(view.JWKSURL, "hunter2") {
				t.Errorf("%s: %s is shown, want %s", c.written, view.JWKSURL, c.shown)
			}
		}
	}
}
