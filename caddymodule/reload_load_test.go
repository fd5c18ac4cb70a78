package caddymodule_test

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// Whoever changes the config of a gateway that is in use must not be noticed by its
// users, and whoever waits for that moment must not get a proof accepted twice.
//
// The clients keep their connections, and have all been answered by the config in force before
// another one is refused. Caddy starts its apps in no fixed order: connections that are made at
// that very moment may be accepted, and answered, by the config that is about to be refused.
func TestReloadsUnderLoadLoseNothingAndRefuseNothing(t *testing.T) {
	g := prepare(t)
	scope := "scope wallet:export {\n lifetime 50m\n}"
	keys, ring := "jwks_url "+g.issuer.JWKSURL(), "exchange local {\n algorithm EdDSA\n rotate 10d\n}"
	store := "store file " + filepath.Join(g.storage(), "store.db")
	plain := g.withLines(scope, keys, store)
	changedMemory := g.withLines(scope, keys, store, "cache_size 8MiB", "session {\n lifetime 30m\n}")
	unopenable := g.withLines(scope, keys, "store file /dev/null/store.db")
	changedKeys := g.withLines(scope, keys+"?again", store, ring)
	withSecond := plain + `
		environment other {
			issuer https://other.example.com
			jwks_file ` + writeJWKS(t, verifiertest.NewIssuer(t)) + `
			` + store + `
		}`
	site := func(config string) string { return "header X-Config " + config + "\n\t" + plainSite }

	g.load(plain, site("one"))
	cs := startClients(g, map[string]func(*client) error{
		"external JWT":           read(g.external("alice")),
		"another external JWT":   read(g.external("bob")),
		"session token":          read(g.signIn("alice")),
		"another session token":  read(g.signIn("bob")),
		"elevated token":         useElevated(g.signIn("alice")),
		"another elevated token": useElevated(g.signIn("alice")),
		"assertion":              useAssertion(g.external("alice")),
		"another assertion":      useAssertion(g.signIn("alice")),
	})
	cs.awaitAnswers(t, "one")
	g.load(changedMemory, site("two"))
	cs.awaitAnswers(t, "two")
	if err := g.tryLoad(unopenable, site("refused")); err == nil {
		t.Fatal("a config whose store cannot be opened was taken")
	}
	cs.awaitAnswers(t, "two")
	g.load(changedKeys, site("three"))
	cs.awaitAnswers(t, "three")
	g.load(withSecond, site("four"))
	cs.awaitAnswers(t, "four")
	cs.stop()
	cs.checkSpendings(g)
}

// checkSpendings fails the test unless every proof has served exactly once, and does not serve again.
func (cs *clients) checkSpendings(g *running) {
	g.t.Helper()
	const closings = 3 * 2 // each reload may cost a client the connection that it has and the next one
	for _, c := range cs.all {
		g.secrets = append(g.secrets, c.secrets...)
		if c.repeated > closings {
			g.t.Errorf("client %q had to repeat %d requests, want %d at most", c.name, c.repeated, closings)
		}
		for _, s := range c.spent {
			g.want(s.request, s.status, s.code)
		}
	}
	reached := g.upstream.numbers()
	for _, c := range cs.all {
		for _, s := range c.spent {
			if n := reached[s.number]; n > 1 || s.answered && n != 1 {
				g.t.Errorf("the upstream was reached %d times with proof %q, want once", n, s.number)
			}
		}
	}
}

// numbers says how often the upstream was reached by each request with a number.
func (u *upstream) numbers() map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	reached := make(map[string]int)
	for _, r := range u.seen {
		reached[r.Header.Get("X-Number")]++
	}
	return reached
}

// A request that is under way when its config goes still needs the store, the keys and
// the memory that it began with, whatever the next config has in their place.
func TestRequestUnderWayEndsUnderTheConfigItBeganWith(t *testing.T) {
	const guarded = `byoa_api
	route {
		byoa
		forward_auth {{upstream}} {
			uri /while-we-wait
		}
		step_up {
			POST /wallets/{id}/export wallet:export
		}
		reverse_proxy {{upstream}}
	}`
	for name, send := range map[string]func(g *running, reload func()) int{
		"at an endpoint, while its body comes":     verifyInTwoParts,
		"at a route, between the gate and step-up": exportWhileAsked,
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, plainEnvironment, guarded)
			before := caddymodule.PoolReferences()
			// The next config has another one of everything, but for the key of the nonces, which no config names.
			maps.DeleteFunc(before, func(key string, _ int) bool { return strings.HasPrefix(key, "nonce key ") })
			other := g.withLines("jwks_url "+g.issuer.JWKSURL()+"?other", "cache_size 8MiB",
				"store file "+filepath.Join(g.storage(), "other.db"), "exchange local {\n rotate 10d\n}")
			status := send(g, func() {
				g.load(other, guarded)
				for key := range before {
					if caddymodule.PoolReferences()[key] != 1 {
						t.Errorf("%q was closed under a request", key)
					}
				}
			})
			if status != http.StatusOK {
				t.Errorf("the request was answered %d, want 200", status)
			}
			pollUntil(t, "what the old config had open is closed", func() bool {
				after := caddymodule.PoolReferences()
				maps.DeleteFunc(after, func(key string, _ int) bool { return before[key] == 0 })
				return len(after) == 0
			})
			g.want(request{path: "/api/v0/sdk/" + environmentID + "/refresh", method: "POST", bearer: g.signIn("alice")}, 200, "")
		})
	}
}

// verifyInTwoParts exchanges an assertion, and reloads once the endpoint waits for the body.
func verifyInTwoParts(g *running, reload func()) int {
	body := `{"jwt":"` + g.assertion("alice", "wallet:export") + `"}`
	session := g.signIn("alice")
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = fmt.Fprintf(conn, "POST /api/v0/sdk/%s/externalAuth/verify HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", environmentID, g.address, session, len(body))
	r := bufio.NewReader(conn)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusContinue {
		g.t.Fatalf("got %v, %v, want to be told to continue", res, err)
	}
	reload()
	_, _ = fmt.Fprint(conn, body)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	got, err := readResponse(res)
	if err != nil {
		g.t.Fatal(err)
	}
	if token, ok := got.body["elevatedAccessToken"].(string); ok {
		g.secret(token)
	}
	return got.status
}

// exportWhileAsked uses an elevated token, and reloads while another handler holds the request up.
func exportWhileAsked(g *running, reload func()) int {
	session := g.signIn("alice")
	r := request{method: "POST", path: "/wallets/1/export", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")}
	asked, goOn := make(chan struct{}), make(chan struct{})
	g.upstream.answer(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/while-we-wait" {
			asked <- struct{}{}
			<-goOn
		}
	})
	req, err := g.newRequest(r)
	if err != nil {
		g.t.Fatal(err)
	}
	status := make(chan int, 1)
	go func() {
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			res = &http.Response{Body: http.NoBody}
		}
		_ = res.Body.Close()
		status <- res.StatusCode
	}()
	select {
	case <-asked:
	case early := <-status:
		return early
	}
	reload()
	close(goOn)
	return <-status
}

// writeJWKS writes the keys of an issuer into a file.
func writeJWKS(t *testing.T, i *verifiertest.Issuer) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, i.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
