package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// signInOther signs user in with the JWT of the other login system, with what else c brings.
func (s *site) signInOther(user string, c call) answer {
	s.t.Helper()
	c.path, c.body = "/externalAuth/signin", `{"jwt":"`+externalOf(s.other, user)+`"}`
	return s.do(c)
}

// userIn is the ID of the user of an answer, and how many identities they have.
func (a answer) userIn() (id string, identities int) {
	user, _ := a.body["user"].(map[string]any)
	credentials, _ := user["verifiedCredentials"].([]any)
	id, _ = user["id"].(string)
	return id, len(credentials)
}

// Only a session that counts, in Authorization, of an environment that links, is linked to. Without
// one, the sign-in is none the worse for what came instead: the SDKs go on sending a session that has ended.
func TestWhatASignInLinksTo(t *testing.T) {
	bearer := func(token string) call { return call{bearer: token} }
	for name, c := range map[string]struct {
		with   func(s *site, token string) call
		linked bool
	}{
		"the session in Authorization": {func(_ *site, token string) call { return bearer(token) }, true},
		"in lower case": {func(_ *site, token string) call {
			return call{header: http.Header{"Authorization": {"bearer " + token}}}
		}, true},
		"nothing": {func(*site, string) call { return call{} }, false},
		"the session in the cookie alone": {func(_ *site, token string) call {
			return call{cookies: []*http.Cookie{{Name: "byoa", Value: token}}}
		}, false},
		"a revoked session": {func(s *site, token string) call {
			s.do(call{path: "/revoke", bearer: token}).want(s.t, http.StatusNoContent, "", "")
			return bearer(token)
		}, false},
		"an expired session": {func(s *site, token string) call {
			s.clock.Advance(time.Hour)
			return bearer(token)
		}, false},
		"an external JWT": {func(s *site, _ string) call { return bearer(s.external("alice")) }, false},
		"an expired external JWT": {func(s *site, _ string) call {
			jwt := s.external("alice")
			s.clock.Advance(time.Hour)
			return bearer(jwt)
		}, false},
		"a token of somebody else": {func(*site, string) call { return bearer("a.b.c") }, false},
		"no token at all":          {func(*site, string) call { return bearer("opaque") }, false},
		"another scheme": {func(*site, string) call {
			return call{header: http.Header{"Authorization": {"Basic eDp5"}}}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := linkingSite(t, httpapi.Options{SessionCookie: "byoa", CookieAllowed: allowAll})
			token := s.aliceSignedIn()
			alice := s.userID("alice")
			a := s.signInOther("a.liddell", c.with(s, token))
			a.want(t, http.StatusOK, "", "")
			id, identities := a.userIn()
			if linked := id == alice && identities == 2; linked != c.linked {
				t.Errorf("user %s with %d identities; want linked to %s: %t", id, identities, alice, c.linked)
			}
		})
	}
}

// userID is the ID of the user that an identity of the first login system makes by itself.
func (s *site) userID(subject string) string { return gateway.UserID(s.env.ID(), issuerName, subject) }

// Where two sessions are sent, or something like one, nobody knows whose is meant: neither
// to link to, nor otherwise.
func TestAuthorizationThatIsNoneAtSignIn(t *testing.T) {
	for _, link := range []bool{true, false} {
		for _, values := range [][]string{{"Bearer a", "Bearer b"}, {"Bearer"}, {"Bearer a b"}, {"Basic eDp5, Bearer a"}, {"Bearer\ta"}} {
			var store watchedStore
			s := linkingSite(t, httpapi.Options{}, store.watched, func(c *gateway.Config) { c.Link = link })
			s.signInOther("bob", call{header: http.Header{"Authorization": values}}).want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
			if n := store.writes.Load(); n != 0 {
				t.Errorf("%q, link %t: %d things were stored", values, link, n)
			}
			s.signInOther("bob", call{header: http.Header{"Authorization": {"Bearer a"}}}).want(t, http.StatusOK, "", "")
		}
	}
}

// unsure is an exchanger that cannot tell of one token what it is.
type unsure struct {
	gateway.Exchanger
	of string
}

func (u *unsure) OpenSession(ctx context.Context, token string) (*gateway.Session, error) {
	if token == u.of {
		return nil, &gateway.Refusal{Code: gateway.CodeStoreUnavailable, RetryAfter: time.Second, Err: errors.New("cannot tell")}
	}
	return u.Exchanger.OpenSession(ctx, token)
}

// An identity that was to be linked must not become a user of its own because nobody could
// tell, for a moment, whether the session still counts: that is not undone.
func TestSessionOfWhichNobodyCanTellAtSignIn(t *testing.T) {
	var exchanger unsure
	var store watchedStore
	s := linkingSite(t, httpapi.Options{}, store.watched, func(c *gateway.Config) {
		exchanger.Exchanger = c.Exchanger
		c.Exchanger = &exchanger
	})
	token := s.aliceSignedIn()
	exchanger.of = token
	written := store.writes.Load()
	a := s.signInOther("a.liddell", call{bearer: token})
	a.want(t, http.StatusServiceUnavailable, gateway.CodeStoreUnavailable, "")
	if a.header.Get("Retry-After") == "" || store.writes.Load() != written {
		t.Errorf("headers %v, %d things were stored", a.header, store.writes.Load()-written)
	}
	exchanger.of = ""
	alice := s.userID("alice")
	if id, _ := s.signInOther("a.liddell", call{bearer: token}).userIn(); id != alice {
		t.Errorf("user %s, want %s", id, alice)
	}
}

// With linking off, a session that comes with a sign-in is nobody's business.
func TestNothingIsLinkedUnlessConfigured(t *testing.T) {
	s := linkingSite(t, httpapi.Options{}, func(c *gateway.Config) { c.Link = false })
	alice := s.userID("alice")
	a := s.signInOther("a.liddell", call{bearer: s.aliceSignedIn()})
	a.want(t, http.StatusOK, "", "")
	if id, identities := a.userIn(); id == alice || identities != 1 {
		t.Errorf("user %s with %d identities; want another than %s, with one", id, identities, alice)
	}
}

// A user with as many identities as one may have is told so, and what did not join is nobody yet.
func TestTooManyIdentities(t *testing.T) {
	s := linkingSite(t, httpapi.Options{})
	token := s.aliceSignedIn()
	for i := range gateway.MaxIdentities - 1 {
		s.signInOther(string(rune('a'+i)), call{bearer: token}).want(t, http.StatusOK, "", "")
	}
	s.signInOther("one more", call{bearer: token}).
		want(t, http.StatusUnprocessableEntity, "invalid_external_auth", gateway.CodeTooManyIdentities)
	a := s.signInOther("one more", call{})
	if user := a.body["user"].(map[string]any); user["newUser"] != true {
		t.Errorf("the refused identity was known: %s", a.raw)
	}
}
