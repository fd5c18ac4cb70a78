package caddymodule_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// A strictUpstream is a service that fetches our JWKS for every request, and holds the token
// to it, as one does that was started a moment ago.
type strictUpstream struct {
	g *running

	// era is even while nothing happens to the keys, and another number each time. A request
	// that is sent in one era and judged in another may have been overtaken.
	era       atomic.Int64
	verified  atomic.Int64
	overtaken atomic.Int64
	last      atomic.Pointer[string] // the token that arrived last
}

const eraHeader = "X-Era"

func newStrictUpstream(g *running) *strictUpstream {
	u := &strictUpstream{g: g}
	g.upstream.answer(u.judge)
	return u
}

func (u *strictUpstream) judge(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	err := u.verify(r.Context(), token)
	sent, _ := strconv.ParseInt(r.Header.Get(eraHeader), 10, 64)
	switch now := u.era.Load(); {
	case err == nil:
		u.verified.Add(1)
	case sent%2 == 1 || sent != now:
		u.overtaken.Add(1)
	default:
		u.g.t.Errorf("the upstream was given a token that our JWKS does not verify: %v", err)
	}
	u.last.Store(&token)
	w.WriteHeader(http.StatusOK)
}

// verify holds a token to the JWKS that is served now.
func (u *strictUpstream) verify(ctx context.Context, token string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+u.g.address+endpoints+"/.well-known/jwks.json", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	got, err := readResponse(res)
	if err != nil {
		return err
	}
	set, err := verifier.ParseKeySet([]byte(got.raw))
	if err != nil {
		return err
	}
	parsed, err := verifier.Parse(token, 1<<20)
	if err != nil {
		return err
	}
	_, err = set.VerifySignature(ctx, parsed)
	return err
}

// change does something to the keys, under way of which tokens may be overtaken.
func (u *strictUpstream) change(do func()) {
	u.era.Add(1)
	do()
	u.era.Add(1)
}

// asks has a client send a request, and say in which era.
func (u *strictUpstream) asks(make func(c *client) request) func(*client) error {
	return func(c *client) error {
		r := make(c)
		r.header = http.Header{eraHeader: {strconv.FormatInt(u.era.Load(), 10)}}
		got, _, err := c.send(r)
		return unexpected(got, err)
	}
}

// asksSignedIn does so with a session token, and signs in again where its key was withdrawn:
// that is the end of it, and of nothing else.
func (u *strictUpstream) asksSignedIn(external string) func(*client) error {
	session := ""
	return func(c *client) error {
		if session == "" {
			got, _, err := c.send(request{method: "POST", path: signInPath, body: bodyOf(external)})
			if err := unexpected(got, err); err != nil {
				return err
			}
			session, _ = got.body["minifiedJwt"].(string)
		}
		r := request{path: "/wallets/1", bearer: session, header: http.Header{eraHeader: {strconv.FormatInt(u.era.Load(), 10)}}}
		got, _, err := c.send(r)
		if err == nil && got.status == http.StatusUnauthorized && got.code == "key_not_found" {
			session = ""
			return nil
		}
		return unexpected(got, err)
	}
}

// keyDocument is the file of the signing keys, which all instances share.
type keyDocument struct {
	Version int              `json:"version"`
	Keys    []map[string]any `json:"keys"`
}

func (g *running) keyFile() string {
	return filepath.Join(g.storage(), "storage", "byoa", "keys", environmentID+".json")
}

// rewriteKeys changes the file of the signing keys, as another instance or an operator
// would, and has the gateway read it: rotating by hand begins with that.
func (g *running) rewriteKeys(change func(*keyDocument)) {
	g.t.Helper()
	raw, err := os.ReadFile(g.keyFile())
	if err != nil {
		g.t.Fatal(err)
	}
	var d keyDocument
	if err := json.Unmarshal(raw, &d); err != nil {
		g.t.Fatal(err)
	}
	change(&d)
	if raw, err = json.Marshal(d); err != nil {
		g.t.Fatal(err)
	}
	g.storeKeys(raw)
}

func (g *running) storeKeys(raw []byte) {
	g.t.Helper()
	if err := os.WriteFile(g.keyFile(), raw, 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.rotate()
}

// otherKeys are those of a gateway that has nothing to do with this one.
func otherKeys(t *testing.T) []byte {
	t.Helper()
	var kept gatewaytest.KeyStore
	ring, err := exchange.OpenKeyRing(t.Context(), exchange.KeyRingConfig{Store: &kept})
	if err != nil {
		t.Fatal(err)
	}
	ring.Close()
	raw, err := kept.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// kidOf is the key that signed a token.
func kidOf(t *testing.T, token string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Kid string }
	if err := json.Unmarshal(raw, &header); err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

// What is remembered was signed when it was made. Once that key is gone, by rotation or
// because it was stolen, a service that goes by our JWKS would refuse every request that is
// sent on with it, until the memory forgets. (Oathkeeper #763: an hour of 401.)
func TestUpstreamGetsNoTokenThatOurJWKSDoesNotVerify(t *testing.T) {
	g := startAdmin(t, plainEnvironment, "header X-Config one\n"+plainSite)
	u := newStrictUpstream(g)
	alice, bob := g.external("alice"), g.external("bob")
	ask := map[string]func(*client) error{
		"a session": u.asksSignedIn(g.external("carol")),
		"an external JWT with assertions": u.asks(func(c *client) request {
			return request{method: "POST", path: "/wallets/1/export", bearer: alice, assertion: c.assertion()}
		}),
	}
	for name, token := range map[string]string{"alice": alice, "alice again": alice, "bob": bob} {
		ask["the external JWT of "+name] = u.asks(func(*client) request { return request{path: "/wallets/1", bearer: token} })
	}
	cs := startClients(g, ask)
	cs.awaitAnswers(t, "one")
	first := *u.last.Load()
	kids := []string{kidOf(t, first)}

	u.change(func() { g.rotate() }) // the next key is published, and signs in an hour
	cs.awaitAnswers(t, "one")
	u.change(func() { // which has passed
		g.rewriteKeys(func(d *keyDocument) { d.Keys[0]["signs_until"], d.Keys[1]["signs_from"] = time.Now(), time.Now() })
	})
	second := kidOf(t, g.signIn("dave"))
	kids = append(kids, second)
	cs.awaitAnswers(t, "one")
	if err := u.verify(t.Context(), first); err != nil || second == kids[0] {
		t.Errorf("after a rotation from %s to %s, what the first has signed: %v, want it verified", kids[0], second, err)
	}

	u.change(func() { g.rewriteKeys(func(d *keyDocument) { d.Keys = d.Keys[1:] }) }) // the first was stolen
	cs.awaitAnswers(t, "one")
	if err := u.verify(t.Context(), first); verifier.CodeOf(err) != verifier.CodeKeyNotFound {
		t.Errorf("control: what the first key has signed: %v, want that no key is found", err)
	}
	u.change(func() { g.storeKeys(otherKeys(t)) }) // all of them were
	cs.awaitAnswers(t, "one")
	kids = append(kids, kidOf(t, g.signIn("erin")))
	cs.stop()
	if kids[2] == kids[0] || kids[2] == kids[1] {
		t.Errorf("the keys that signed were %q, want three", kids)
	}
	t.Logf("%d tokens were verified, and %d overtaken", u.verified.Load(), u.overtaken.Load())
	for _, c := range cs.all {
		g.secrets = append(g.secrets, c.secrets...)
	}
}
