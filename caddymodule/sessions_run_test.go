package caddymodule_test

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const endpoints = "/api/v0/sdk/" + environmentID

// signInWith exchanges a JWT at the endpoints.
func (g *running) signInWith(external string) string {
	g.t.Helper()
	got := g.want(request{method: "POST", path: endpoints + "/externalAuth/signin", body: `{"jwt":"` + external + `"}`}, 200, "")
	return g.secret(got.body["minifiedJwt"].(string))
}

func (g *running) refreshed(session string) string {
	g.t.Helper()
	return g.secret(g.want(request{method: "POST", path: endpoints + "/refresh", bearer: session}, 200, "").body["minifiedJwt"].(string))
}

func (g *running) revoke(credential string) {
	g.t.Helper()
	g.want(request{method: "POST", path: endpoints + "/revoke", bearer: credential}, 204, "")
}

// wantEnded fails the test unless a credential opens nothing any more, and signs nobody in.
func (g *running) wantEnded(credentials map[string]string) {
	g.t.Helper()
	for name, credential := range credentials {
		if got := g.do(request{path: "/wallets/1", bearer: credential}); got.status != 401 || got.code != "session_revoked" {
			g.t.Errorf("%s: %d %q, want 401 session_revoked", name, got.status, got.code)
		}
		if got := g.do(request{method: "POST", path: endpoints + "/refresh", bearer: credential}); got.status != 401 || got.code != "session_revoked" {
			g.t.Errorf("refreshing with %s: %d %q, want 401 session_revoked", name, got.status, got.code)
		}
	}
}

func (g *running) wantNoSignIn(external string) {
	g.t.Helper()
	got := g.want(request{method: "POST", path: endpoints + "/externalAuth/signin", body: `{"jwt":"` + external + `"}`}, 422, "invalid_external_auth")
	if got.body["reason"] != "session_revoked" {
		g.t.Errorf("the sign-in is refused because of %v, want session_revoked", got.body["reason"])
	}
}

// broadcast is what the streams of an upstream tell all the time.
type broadcast struct{ word atomic.Value }

// broadcast has the upstream answer /…/stream with events until its client goes, and /…/quiet
// with a single one.
func (g *running) broadcast() *broadcast {
	b := &broadcast{}
	b.word.Store("first")
	g.upstream.answer(func(w http.ResponseWriter, r *http.Request) {
		every := map[string]time.Duration{"stream": 20 * time.Millisecond, "quiet": time.Hour}[path.Base(r.URL.Path)]
		if every == 0 {
			return
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for r.Context().Err() == nil {
			_, _ = fmt.Fprintf(w, "data: %s\n\n", b.word.Load())
			w.(http.Flusher).Flush()
			select {
			case <-time.After(every):
			case <-r.Context().Done():
			}
		}
	})
	return b
}

// wantOpen fails the test unless a stream carries what is said from now on.
func (b *broadcast) wantOpen(t *testing.T, s eventStream, word string) {
	t.Helper()
	b.word.Store(word)
	for {
		line, err := s.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for %q: %v", word, err)
		}
		if strings.TrimSpace(line) == "data: "+word {
			return
		}
	}
}

// wantClosed fails the test unless a stream ends, whether there still is something to say or not.
func wantClosed(t *testing.T, name string, s eventStream) {
	t.Helper()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, s)
	}()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatalf("the stream of %s goes on", name)
	}
}

// Whoever signs out on a lost phone wants all of it to be over: also what is still open, and what the login is good for elsewhere.
func TestRevokingASessionEndsAllThatBelongsToIt(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			scope wallet:export
			scope wallet:sign {
				multi_use
			}
		}`, plainSite)
	b := g.broadcast()
	external := g.external("alice")
	session, sibling := g.signInWith(external), g.signInWith(external)
	fresh := g.refreshed(session)
	elevated, single := g.elevate(session, "alice", "wallet:sign"), g.elevate(session, "alice", "wallet:export")
	g.want(request{method: "POST", path: "/wallets/1/sign", bearer: session, elevated: elevated}, 200, "")
	bySession, byJWT, bySibling := g.stream("/open/stream", session), g.stream("/open/stream", external), g.stream("/open/stream", sibling)
	for _, s := range []eventStream{bySession, byJWT, bySibling} {
		b.wantOpen(t, s, "before")
	}

	g.revoke(session)
	wantClosed(t, "the session", bySession)
	wantClosed(t, "the JWT that it came from", byJWT)
	g.wantEnded(map[string]string{"the session token": session, "a refreshed one": fresh, "the external JWT": external})
	g.wantNoSignIn(external)
	later := g.external("alice", map[string]any{"jti": "later"})
	g.want(request{method: "POST", path: "/wallets/1/sign", bearer: later, elevated: elevated}, 403, "elevated_invalid")
	g.want(request{method: "POST", path: "/wallets/1/export", bearer: later, elevated: single}, 403, "elevated_invalid")

	g.want(request{path: "/wallets/1", bearer: later}, 200, "")
	g.want(request{path: "/wallets/1", bearer: sibling}, 200, "") // another session of the same login
	b.wantOpen(t, bySibling, "after")
}

// The JWT is the root of all that was made from it: giving it up leaves nothing.
func TestRevokingTheExternalJWTEndsEverySessionOfIt(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	b := g.broadcast()
	external, other := g.external("alice"), g.external("alice", map[string]any{"jti": "other"})
	one, two, apart := g.signInWith(external), g.signInWith(external), g.signInWith(other)
	elevated := g.elevate(one, "alice", "wallet:export")
	ends, stays := g.stream("/open/stream", two), g.stream("/open/stream", apart)
	b.wantOpen(t, ends, "before")

	g.revoke(external)
	wantClosed(t, "a session of the JWT", ends)
	g.wantEnded(map[string]string{"the external JWT": external, "a session": one, "another session": two})
	g.wantNoSignIn(external)
	g.want(request{method: "POST", path: "/wallets/1/export", bearer: other, elevated: elevated}, 403, "elevated_invalid")
	g.want(request{path: "/wallets/1", bearer: apart}, 200, "")
	b.wantOpen(t, stays, "after")
}

// What an operator ends must not live on in a connection that was opened before.
func TestOpenStreamsEndWithWhatAnOperatorEnds(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	b := g.broadcast()
	bob := g.stream("/open/stream", g.signIn("bob"))
	for name, end := range map[string]func(session string) request{
		"the session": func(s string) request { return request{method: "DELETE", path: "/byoa/sessions/" + claim(t, s, "sid")} },
		"the user": func(s string) request {
			return request{method: "DELETE", path: "/byoa/users/" + claim(t, s, "sub") + "/sessions"}
		},
	} {
		session := g.signInWith(g.external("alice " + name))
		alice := g.stream("/open/stream", session)
		b.wantOpen(t, alice, "before "+name)
		g.ask(end(session), 204)
		wantClosed(t, name, alice)
		b.wantOpen(t, bob, "after "+name)
	}
	g.turn("disable", isOff)
	wantClosed(t, "a switched off environment", bob)
	g.turn("enable", isOn)
}

// A stream that began under an earlier config is under the one in force like any request.
func TestOpenStreamsEndWithWhatTheNextConfigSays(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	b := g.broadcast()
	session := g.signIn("alice")
	alice := g.stream("/open/stream", session)
	b.wantOpen(t, alice, "before the reload")
	g.options = "grace_period 1h\n" // or Caddy would end it
	g.load(plainEnvironment, plainSite+"\n\theader X-Config two")
	b.wantOpen(t, alice, "after a reload")
	g.load(g.withLines("enabled off", "jwks_url "+g.issuer.JWKSURL(), "store memory"), plainSite)
	wantClosed(t, "the config in force", alice)
}

// A session that can be carried on for ever is one that nobody who was let go ever loses.
func TestRefreshEndsWithTheSessionsLongestLifeAndTheLogin(t *testing.T) {
	for _, c := range []struct {
		name, rules string
		login       time.Duration // how long the external JWT is good for
		want        func(t *testing.T, first, fresh map[string]any)
	}{
		{"control: there is time", "lifetime 1h\nmax_lifetime 3h", 9 * time.Hour, func(t *testing.T, first, fresh map[string]any) {
			if !(date(t, fresh, "exp") > date(t, first, "exp")) {
				t.Errorf("refreshed from %v to %v, want later", first["exp"], fresh["exp"])
			}
		}},
		{"the longest life", "lifetime 1h\nmax_lifetime 1h", 9 * time.Hour, func(t *testing.T, first, fresh map[string]any) {
			if date(t, fresh, "exp") != date(t, first, "iat")+3600 {
				t.Errorf("refreshed to %v, signed in at %v, want an hour", fresh["exp"], first["iat"])
			}
		}},
		{"the login", "lifetime 3h\nmax_lifetime 9h", time.Hour, func(t *testing.T, first, fresh map[string]any) {
			if login := first["external_claims"].(map[string]any); date(t, fresh, "exp") != date(t, login, "exp") {
				t.Errorf("refreshed to %v, the login ends at %v", fresh["exp"], login["exp"])
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, "environment {\n{{environment}}\nsession {\n"+c.rules+"\n}\n}", plainSite)
			session := g.signInWith(g.external("alice", map[string]any{"exp": time.Now().Add(c.login).Unix()}))
			first := claimsOf(t, session)
			for time.Now().Unix() <= int64(date(t, first, "iat")) { // dates are whole seconds
				time.Sleep(10 * time.Millisecond)
			}
			fresh := claimsOf(t, g.refreshed(session))
			if fresh["sid"] != first["sid"] || fresh["refresh_exp"] != first["refresh_exp"] {
				t.Errorf("refreshed to session %v until %v, want %v until %v", fresh["sid"], fresh["refresh_exp"], first["sid"], first["refresh_exp"])
			}
			c.want(t, first, fresh)
		})
	}
}

func date(t *testing.T, claims map[string]any, name string) float64 {
	t.Helper()
	seconds, ok := claims[name].(float64)
	if !ok {
		t.Fatalf("%s is %v, want a number", name, claims[name])
	}
	return seconds
}
