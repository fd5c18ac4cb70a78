package e2e_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/internal/secrecy"
)

// planted shows, at every place where a gateway could show a secret, what the header X-Planted
// or the config has.
func planted(word string) config {
	const header = "{http.request.header.X-Planted}"
	return config{
		Global:      "log printed {\noutput stderr\nlevel DEBUG\nformat byoa\n}",
		Environment: also("https://other.example.test/"+word, "jwks_url http://127.0.0.1:1/"),
		Gate:        "optional",
		Guarded:     "/wallets/*",
		Site: `
			log_append planted ` + header + `
			respond /planted/page "` + header + `"
			respond /planted/error "` + header + `" 418
			header /planted/header X-Echo ` + header + `
			respond /planted/header 418
			redir /planted/redirect https://app.example.test/?at=` + header + ` 302`,
	}
}

// Every other test relies on the search that ends it. A search that overlooks a place is
// one that finds nothing there, for years.
func TestPlantedSecretIsFoundWhereverItIs(t *testing.T) {
	for name, want := range map[string]bool{"a part of a token": true, "as many other letters": false} {
		t.Run(name, func(t *testing.T) {
			i := startIssuer(t, newSecrets())
			word := strings.Split(i.token(t, nil), ".")[1][40:64]
			if !want {
				word = rand.Text()[:24]
			}
			g := startGatewayFor(t, i, planted(word))
			plantEverywhere(t, g, word)
			i.secrets.tolerate("")
			g.stop(t)
			g.process.readDisk(t)
			g.process.readLogs(t)
			mustLeak(t, i.secrets.Leaks(), want)
		})
	}
}

// plantEverywhere sends the requests that have the gateway show what it should not, and
// writes to its disk.
func plantEverywhere(t *testing.T, g *gateway, word string) {
	t.Helper()
	for path, status := range map[string]int{"page": 200, "error": 418, "header": 418, "redirect": 302} {
		if a := g.send(t, get("/planted/"+path).header("X-Planted", word)); a.status != status {
			t.Fatalf("%s: got %v, want %d", path, a, status)
		}
	}
	g.send(t, get("/planted/through").header("X-Planted", word)).mustPass(t)
	g.send(t, get("/wallets/"+word)).mustRefuse(t, 401, "token_missing") // the decision names the path
	if err := os.WriteFile(filepath.Join(g.config.dir, "data", "planted"), []byte(word), 0o600); err != nil {
		t.Fatal(err)
	}
}

// mustLeak holds the places at which something was found against all those that there are.
func mustLeak(t *testing.T, leaks []secrecy.Leak, want bool) {
	t.Helper()
	var found []string
	for _, leak := range leaks {
		found = append(found, leak.Place)
	}
	for _, place := range []string{
		"the body of the answer 200 to /planted/page", "the body of the answer 418 to /planted/error",
		"the header of the answer 418 to /planted/header", "the header of the answer 302 to /planted/redirect",
		"caddy.log", "access.log", "output.log", "the file data/planted", "the file config/caddy/autosave.json",
		"the admin API's /metrics", "the admin API's /config/", "the admin API's /byoa/environments",
		"the admin API's /byoa/health", "the admin API's /byoa/environments/production/decisions",
	} {
		if got := slices.Contains(found, place); got != want {
			t.Errorf("%s: found %v, want %v", place, got, want)
		}
	}
	if !want && len(found) > 0 {
		t.Errorf("found in %q, where no secret is", found)
	}
}

// The keys that sign tokens and those that make nonces are secrets of every test, too: once a
// client has one, it needs no token of ours any more.
func TestPlantedKeyIsFound(t *testing.T) {
	g := startGateway(t, config{Site: `respond /planted "{http.request.header.X-Planted}" 418`, Table: "default session"})
	external := g.issuer.token(t, nil)
	ask := func(word string) {
		t.Helper()
		a := g.send(t, get("/planted").bearer(external).header("X-Planted", word))
		if a.status != http.StatusTeapot || a.body != word {
			t.Fatalf("got %v, want 418 and what was sent", a)
		}
	}
	private, public := g.signingKey(t)
	g.secrets.tolerate("the body of the answer 418", "caddy.log", "access.log")
	ask(public)
	g.process.readDisk(t)
	if leaks := g.secrets.Leaks(); len(leaks) != 0 {
		t.Errorf("the public key is a secret: %v", leaks)
	}
	ask(private)
	leaks := g.secrets.Leaks()
	if len(leaks) != 1 || leaks[0].Place != "the body of the answer 418 to /planted" || leaks[0].Source != "the signing keys" {
		t.Errorf("got %v, want the private key in the body", leaks)
	}
}

// signingKey are the private and a public member of the key in the gateway's storage.
func (g *gateway) signingKey(t *testing.T) (private, public string) {
	t.Helper()
	var stored struct {
		Keys []struct {
			JWK struct{ D, X string }
		}
	}
	raw := readFile(t, filepath.Join(g.config.dir, "data", "caddy", "byoa", "keys", environmentID+".json"))
	if err := json.Unmarshal(raw, &stored); err != nil || len(stored.Keys) == 0 {
		t.Fatalf("reading the stored keys: %v", err)
	}
	return stored.Keys[0].JWK.D, stored.Keys[0].JWK.X
}

// Caddy hides Authorization and Cookie from its logs and no other header: the elevated
// token that the gateway puts into one of its own stands in what reverse_proxy logs of the
// request to the upstream.
func TestElevatedTokenInAHeaderOfItsOwnIsNotInTheProxysLog(t *testing.T) {
	for format, found := range map[string]bool{"json": true, "byoa": false} {
		t.Run(format, func(t *testing.T) {
			g := startGateway(t, config{
				Gate:   "elevated_header X-Elevated",
				Global: "log proxy {\noutput stderr\nlevel DEBUG\ninclude http.handlers.reverse_proxy\nformat " + format + "\n}",
			})
			if found {
				g.secrets.tolerate("output.log")
			}
			session := g.signIn(t, g.issuer.token(t, nil))
			elevated := g.elevate(t, session, "wallet:export")
			got := g.send(t, post(export).bearer(session).elevated(elevated)).mustPass(t).upstream
			if got.header.Get("X-Elevated") != elevated || got.bearer(t) != session {
				t.Fatal("the upstream did not get the session token and the elevated one")
			}
			g.stop(t)
			text := g.process.log(t, "output.log")
			if got := strings.Contains(text, strings.Split(elevated, ".")[1]); got != found {
				t.Errorf("the elevated token is in the log: %v, want %v", got, found)
			}
			for _, want := range []string{`"logger":"http.handlers.reverse_proxy"`, `"level":"debug"`, export} {
				if !strings.Contains(text, want) {
					t.Errorf("the log does not hold %s", want)
				}
			}
		})
	}
}
