package caddymodule_test

import (
	"strings"
	"testing"
)

// A key set outlives the config that opened it. Where the operator has put the secret of its URL
// into a placeholder, and the URL is still the same, it must not go on showing what the old
// config showed. One that is written as it was stays, and with it what it has fetched.
func TestReloadThatHidesTheKeyOfAURLHidesIt(t *testing.T) {
	for name, c := range map[string]struct {
		second string // the key, as the second config has it
		shown  bool
	}{
		"by a placeholder": {"{env.BYOA_KEY}", false},
		"as before":        {"hunter2", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("BYOA_KEY", "hunter2")
			g := prepareAdmin(t)
			keys := func(key string) string {
				return g.keysBy("jwks_url " + g.issuer.URL() + "/" + key)
			}
			g.load(keys("hunter2"), plainSite)
			before := g.awaitTrouble(t, "/hunter2: ")
			g.load(keys(c.second), plainSite)
			after := g.awaitTrouble(t, "/"+c.second+": ")
			if !strings.Contains(before, "hunter2") || strings.Contains(after, "hunter2") != c.shown {
				t.Errorf("first %s, then %s; the key shown: want %v", before, after, c.shown)
			}
		})
	}
}

// awaitTrouble is why the keys cannot be fetched, once that has been tried, and what text says
// is a part of it.
func (g *running) awaitTrouble(t *testing.T, text string) (why string) {
	t.Helper()
	pollUntil(t, "the keys cannot be fetched from "+text, func() bool {
		why = g.health(503).Environments[0].Providers[0].Error
		return strings.Contains(why, text)
	})
	return why
}
