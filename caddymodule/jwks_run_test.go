package caddymodule_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What key sets do is shown where they are made, in package verifier. Here is what an
// operator sees of it: what comes of tokens, and what the log says.

// keysBy is the usual environment with its keys from where the lines say.
func (g *running) keysBy(lines ...string) string {
	return g.withLines(append(lines, "store file "+filepath.Join(g.storage(), "store.db"))...)
}

// stranger is a token whose kid the issuer has never published.
func (g *running) stranger(kid string) string {
	return g.secret(g.issuer.Sign(map[string]any{"kid": kid}, map[string]any{
		"iss": g.issuer.URL(), "sub": "mallory", "aud": audience, "exp": time.Now().Add(time.Hour).Unix(),
	}))
}

// logged says whether there is an error about an issuer's keys that mentions all of what.
func (g *running) logged(issuer string, what ...string) bool {
	g.t.Helper()
	log, err := os.ReadFile(g.logFile)
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		var entry struct{ Level, Logger, Issuer, Error string }
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Level != "error" || entry.Logger != "byoa" || entry.Issuer != issuer {
			continue
		}
		missing := false
		for _, w := range what {
			missing = missing || !strings.Contains(entry.Error, w)
		}
		if !missing {
			return true
		}
	}
	return false
}

func (g *running) waitUntilLogged(issuer string, what ...string) {
	g.t.Helper()
	pollUntil(g.t, fmt.Sprintf("the log says %q of %s", what, issuer), func() bool { return g.logged(issuer, what...) })
}

// A gateway that starts while its issuer is down must neither stay away nor stand open.
func TestStartWithNothingToVerifyWith(t *testing.T) {
	for _, source := range []string{"jwks_url", "discovery"} {
		t.Run(source, func(t *testing.T) {
			g := prepare(t)
			lines := map[string]string{"jwks_url": "jwks_url " + g.issuer.JWKSURL(), "discovery": "discovery on"}
			g.issuer.Fail(true)
			g.load(g.keysBy(lines[source]), plainSite)
			alice := request{path: "/wallets/1", bearer: g.external("alice")}
			for range 20 {
				got := g.want(alice, 503, "keys_unavailable")
				if wait, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
					t.Fatalf("Retry-After %q, want a second to a minute", got.header.Get("Retry-After"))
				}
			}
			if g.upstream.count() != 0 {
				t.Error("a request went through")
			}
			g.waitUntilLogged(g.issuer.URL(), "fetching keys from "+g.issuer.JWKSURL(), "status is 503")

			g.issuer.Fail(false)
			pollUntil(t, "it heals by itself", func() bool { return g.do(alice).status == 200 })
		})
	}
}

// The first request after a rotation passes, and with the old key goes whatever was
// remembered of it.
func TestRotationOfTheIssuersKey(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	alice := request{path: "/wallets/1", bearer: g.external("alice")}
	g.want(alice, 200, "")
	g.want(alice, 200, "") // remembered by now
	g.issuer.Rotate()
	g.want(alice, 200, "") // nobody knows yet
	g.want(request{path: "/wallets/1", bearer: g.external("bob")}, 200, "")
	g.want(alice, 401, "key_not_found")
	if got := g.issuer.Fetches(); got != 2 {
		t.Errorf("%d fetches, want 2: the first, and the one that bob's key caused", got)
	}
}

// The issuer empties its set by mistake. Nobody is locked out, and the operator is told.
func TestSetWithoutUsableKeysKeepsTheOldOne(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	g.issuer.SetJWKS([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))
	g.want(request{path: "/wallets/1", bearer: g.stranger("made-up")}, 401, "key_not_found") // which has it fetched
	g.waitUntilLogged(g.issuer.URL(), "none of its 1 keys can verify a signature")
	g.want(request{path: "/wallets/1", bearer: g.external("bob")}, 200, "")
}

// Whoever makes kids up, over however many connections, neither drums on the issuer nor
// takes anything from those with good tokens.
func TestUnknownKidsFromManyConnections(t *testing.T) {
	g := prepare(t)
	var fetches atomic.Int32
	var hold, gaveUp atomic.Bool
	arrived, goOn := make(chan struct{}), make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		if hold.CompareAndSwap(true, false) {
			close(arrived)
			<-goOn
		}
		_, _ = w.Write(g.issuer.JWKS())
	}))
	t.Cleanup(front.Close)
	g.load(g.keysBy("jwks_url "+front.URL), plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")

	strangers := make([]string, 500)
	for i := range strangers {
		strangers[i] = g.stranger(fmt.Sprint("made-up-", i))
	}
	hold.Store(true)
	begun := time.Now()
	answers := make(chan string, len(strangers))
	send := func(token string) {
		got := g.codeOf(token)
		if got == "keys_unavailable" && time.Since(begun) >= fetchTimeout { // this machine is too slow to say more
			gaveUp.Store(true)
			got = "key_not_found"
		}
		answers <- got
	}
	go send(strangers[0])
	<-arrived // the issuer takes its time over this
	for _, user := range []string{"alice", "bob", "carol"} {
		g.want(request{path: "/wallets/1", bearer: g.external(user)}, 200, "")
	}
	var sending sync.WaitGroup
	for _, token := range strangers[1:] {
		sending.Go(func() { send(token) })
	}
	close(goOn)
	sending.Wait()
	for range strangers {
		if got := <-answers; got != "key_not_found" {
			t.Fatalf("a token with an unknown kid: %s, want key_not_found", got)
		}
	}
	most := 2 + int(time.Since(begun)/(10*time.Second))
	if gaveUp.Load() {
		most += int(time.Since(begun) / fetchTimeout) // what has failed is tried again sooner
	}
	if got := int(fetches.Load()); got > most {
		t.Errorf("%d fetches, want at most %d: the first, and one in 10s", got, most)
	}
}

// fetchTimeout is how long the gateway waits for an issuer.
const fetchTimeout = 5 * time.Second

// codeOf sends token over a connection of its own, and returns the code of the refusal.
func (g *running) codeOf(token string) string {
	req, err := g.newRequest(request{path: "/wallets/1", bearer: token})
	if err != nil {
		return err.Error()
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	got, err := readResponse(res)
	if err != nil {
		return err.Error()
	}
	return got.code
}

// A file of keys is put in place of another, and then spoiled.
func TestKeyFileThatChanges(t *testing.T) {
	g := prepare(t)
	file := filepath.Join(t.TempDir(), "jwks.json")
	write := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(file+".new", content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(g.issuer.JWKS())
	g.load(g.keysBy("jwks_file "+file), plainSite)
	alice := request{path: "/wallets/1", bearer: g.external("alice")}
	g.want(alice, 200, "")

	g.issuer.Rotate()
	bob := request{path: "/wallets/1", bearer: g.external("bob")}
	g.want(bob, 401, "key_not_found")
	write(g.issuer.JWKS())
	pollUntil(t, "the new key is read", func() bool { return g.do(bob).status == 200 })
	g.want(alice, 401, "key_not_found")

	write([]byte("garbage"))
	g.waitUntilLogged(g.issuer.URL(), file, "not a JSON object")
	g.want(bob, 200, "")
	g.want(request{path: "/wallets/1", bearer: g.external("carol")}, 200, "")
	if got := g.issuer.Fetches(); got != 0 {
		t.Errorf("the issuer was asked %d times, want never", got)
	}
}

// Each environment has a key set of its own, so that what is logged and counted is about
// one environment; and it keeps that through a reload.
func TestEnvironmentsOfOneIssuerFetchEachForThemselves(t *testing.T) {
	g := prepare(t)
	two := g.keysBy("jwks_url "+g.issuer.JWKSURL(), "assertion {", "audience first", "}") + `
		environment second {
			issuer ` + g.issuer.URL() + `
			jwks_url ` + g.issuer.JWKSURL() + `
			audience ` + audience + `
			assertion {
				audience second
			}
			store file ` + filepath.Join(g.storage(), "store.db") + `
		}`
	site := "@second path /second\n\tbyoa @second second\n\t@first path /first\n\tbyoa @first default\n\treverse_proxy {{upstream}}"
	for range 2 { // the second time is a reload
		g.load(two, site)
		for _, path := range []string{"/first", "/second"} {
			g.want(request{path: path, bearer: g.external("alice")}, 200, "")
		}
		if got := g.issuer.Fetches(); got != 2 {
			t.Errorf("%d fetches, want one for each environment", got)
		}
	}
	g.issuer.Rotate()
	g.want(request{path: "/second", bearer: g.external("bob")}, 200, "")
	if got := g.issuer.Fetches(); got != 3 {
		t.Errorf("%d fetches, want one more, for the environment that met the new key", got)
	}
}

// Nothing is asked while a config is only checked: neither for metadata nor for keys.
func TestValidatingFetchesNothing(t *testing.T) {
	g := prepare(t)
	var asked atomic.Int32
	var issuer string
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/keys" {
			_, _ = w.Write(g.issuer.JWKS())
			return
		}
		_, _ = fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": "%[1]s/keys"}`, issuer)
	}))
	t.Cleanup(front.Close)
	issuer = front.URL
	environment := `environment {
		issuer ` + issuer + `
		discovery on
		audience ` + audience + `
		store memory
	}`
	if err := validate(t, "{\nbyoa {\n"+environment+"\n}\n}\n"); err != nil {
		t.Fatal(err)
	}
	g.load(environment, plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice", map[string]any{"iss": issuer})}, 200, "")
	if got := asked.Load(); got != 2 {
		t.Errorf("the issuer was asked %d times, want twice: for metadata and keys, when the config was loaded", got)
	}
}
