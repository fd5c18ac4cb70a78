package e2e_test

import (
	"crypto/rand"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// The URL of a JWKS may have an API key in it. Where that comes from a placeholder, nobody who asks
// the gateway or `caddy byoa check`, or reads its logs or what it kept on the disk, sees it, and
// Caddy shows the placeholder. What `{$…}` brings in is a part of the Caddyfile before anybody reads
// it: Caddy's own /config/ and its copy of the last config have it, and of the URL all but the query
// is shown as the config has it.
func TestSecretOfTheConfigIsNotShown(t *testing.T) {
	caddys := []string{"the admin API's /config/", "the file config/caddy/autosave.json"}
	ours := []string{"caddy.log", "the admin API's /byoa/environments", "the admin API's /byoa/health", "what caddy byoa check printed"}
	for _, c := range []struct {
		name, jwks string // where the keys are
		log        string // what the log has of that
		shown      []string
	}{
		{"in the running config's path", "/k/{env.BYOA_TEST_KEY}/jwks", "/k/{env.BYOA_TEST_KEY}/jwks: ", nil},
		{"in the running config's query", "/keys?api_key={env.BYOA_TEST_KEY}", "/keys?…: ", nil},
		{"in the Caddyfile's path", "/k/{$BYOA_TEST_KEY}/jwks", "/k/", slices.Concat(ours, caddys)},
		{"in the Caddyfile's query", "/keys?api_key={$BYOA_TEST_KEY}", "/keys?…: ", caddys},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := gatewayWithKey(t, c.jwks, c.log)
			g.secrets.tolerate(c.shown...)
			g.stop(t)
			g.process.readDisk(t)
			g.process.readLogs(t)
			var found []string
			for _, leak := range g.secrets.Leaks() {
				found = append(found, leak.Place)
			}
			slices.Sort(found)
			slices.Sort(c.shown)
			if found = slices.Compact(found); !slices.Equal(found, c.shown) {
				t.Errorf("the key is shown by %q, want %q", found, c.shown)
			}
		})
	}
}

// gatewayWithKey has fetched its keys with an API key, and failed to fetch them again; so has
// `caddy byoa check`. Both have said from where, with what the log is to have of it.
func gatewayWithKey(t *testing.T, jwks, logged string) *gateway {
	t.Helper()
	i := startIssuer(t, newSecrets())
	key := rand.Text()
	url, breakDown := keysForMembers(t, key, i.jwks(t))
	i.secrets.Add("the config", key)
	g := startGatewayFor(t, i, config{
		Trust:   trust(issuerName, "jwks_url "+url+jwks),
		environ: []string{"BYOA_TEST_KEY=" + key},
	})
	token := i.token(t, nil)
	g.send(t, get(home).bearer(token)).mustPass(t)
	breakDown()
	stranger := i.sign(t, signing{Stray: true, Header: claims{"kid": "unknown"}, Payload: tokenClaims(nil)})
	g.send(t, get(home).bearer(stranger)).mustRefuse(t, 401, "key_not_found")
	for _, who := range []string{`"logger":"byoa"`, "byoa.jwks_refresh_failed"} {
		pollUntil(t, "the log has from "+who+" that the keys cannot be fetched", func() bool {
			return g.process.logged(t, who, "fetching keys from "+url+logged, "503")
		})
	}
	if out := g.check(t, token); !strings.Contains(out, "fetching keys from "+url+logged) {
		t.Errorf("caddy byoa check printed %q, want where the keys could not be fetched from", out)
	}
	return g
}

// check is what `caddy byoa check` prints about a token that does not pass.
func (g *gateway) check(t *testing.T, token string) string {
	t.Helper()
	cmd := command(g.config.dir, "byoa", "check", "--config", filepath.Join(g.process.logs, "Caddyfile"), "--adapter", "caddyfile", "-")
	cmd.Env = append(cmd.Env, g.config.environ...)
	cmd.Stdin = strings.NewReader(token)
	out, err := cmd.CombinedOutput()
	g.secrets.Watch("what caddy byoa check printed", string(out))
	if err == nil {
		t.Errorf("caddy byoa check: no error; it printed %q", out)
	}
	return string(out)
}

// keysForMembers serves a key set to whoever has the key, wherever in the URL, until it breaks down.
func keysForMembers(t *testing.T, key string, jwks []byte) (url string, breakDown func()) {
	t.Helper()
	var broken atomic.Bool
	w := startWeb(t)
	w.handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.Contains(r.RequestURI, key):
			http.NotFound(w, r)
		case broken.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			_, _ = w.Write(jwks)
		}
	}))
	return w.url, func() { broken.Store(true) }
}
