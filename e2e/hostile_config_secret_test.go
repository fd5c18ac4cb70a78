package e2e_test

import (
	"crypto/rand"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
)

// The URL of a JWKS may have an API key in it. Where that comes from a placeholder, nobody who asks
// the gateway, or reads its logs or what it kept on the disk, sees it, and Caddy shows the placeholder.
// What `{$…}` brings in is a part of the Caddyfile before anybody reads it: Caddy's own /config/ and
// its copy of the last config have it.
func TestSecretOfTheConfigIsNotShown(t *testing.T) {
	for _, c := range []struct {
		name, placeholder string
		shown             []string
	}{
		{"in the running config", "{env.BYOA_TEST_KEY}", nil},
		{"in the Caddyfile", "{$BYOA_TEST_KEY}", []string{"the admin API's /config/", "the file config/caddy/autosave.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gatewayWithKey(t, c.placeholder)
			g.secrets.tolerate(c.shown...)
			g.stop(t)
			g.process.readDisk(t)
			g.process.readLogs(t)
			var found []string
			for _, leak := range g.secrets.Leaks() {
				found = append(found, leak.Place)
			}
			if slices.Sort(found); !slices.Equal(slices.Compact(found), c.shown) {
				t.Errorf("the key is shown by %q, want %q", found, c.shown)
			}
		})
	}
}

// gatewayWithKey has fetched its keys with an API key, and failed to fetch them again.
func gatewayWithKey(t *testing.T, placeholder string) *gateway {
	t.Helper()
	i := startIssuer(t, newSecrets())
	url, breakDown := keysForMembers(t, i.jwks(t))
	key := rand.Text()
	i.secrets.Add("the config", key)
	g := startGatewayFor(t, i, config{
		Trust:   trust(issuerName, "jwks_url "+url+"?api_key="+placeholder),
		environ: []string{"BYOA_TEST_KEY=" + key},
	})
	g.send(t, get(home).bearer(i.token(t, nil))).mustPass(t)
	breakDown()
	stranger := i.sign(t, signing{Stray: true, Header: claims{"kid": "unknown"}, Payload: tokenClaims(nil)})
	g.send(t, get(home).bearer(stranger)).mustRefuse(t, 401, "key_not_found")
	pollUntil(t, "the log says that the keys cannot be fetched", func() bool { return g.process.logged(t, "503", url) })
	return g
}

// keysForMembers serves a key set, whatever the query is, until it breaks down.
func keysForMembers(t *testing.T, jwks []byte) (url string, breakDown func()) {
	t.Helper()
	var broken atomic.Bool
	w := startWeb(t)
	w.handle("/keys", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(jwks)
	}))
	return w.url + "/keys", func() { broken.Store(true) }
}
