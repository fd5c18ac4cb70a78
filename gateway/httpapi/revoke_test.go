package httpapi_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// session is one that no other is started or ended with: it has a JWT of its own.
func (s *site) session(user string) string {
	s.t.Helper()
	jwt := s.issuer.Token(map[string]any{"sub": user, "aud": gatewaytest.Audience, "jti": rand.Text()})
	session, _, err := s.env.SignIn(s.t.Context(), jwt, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return session.Token
}

func (a answer) clears(cookie string) bool {
	return strings.HasPrefix(a.header.Get("Set-Cookie"), cookie+"=;")
}

// A form on any page can post here, and browsers leave the cookie out: the answer must not
// then take it from the user.
func TestRevokeClearsNoCookieThatDidNotCome(t *testing.T) {
	s := newSite(t, httpapi.Options{SessionCookie: "byoa", CookieAllowed: allowAll})
	form := call{path: "/revoke", body: "a=b", contentType: "application/x-www-form-urlencoded"}
	for name, cookies := range map[string][]*http.Cookie{
		"none": nil, "an empty one": {{Name: "byoa"}}, "another": {{Name: "other", Value: "x"}},
	} {
		form.cookies = cookies
		a := s.do(form)
		a.want(t, http.StatusUnauthorized, gateway.CodeTokenMissing, "")
		if got := a.header.Get("Set-Cookie"); got != "" {
			t.Errorf("%s: Set-Cookie %q, want none", name, got)
		}
	}
	form.cookies = []*http.Cookie{{Name: "byoa", Value: s.aliceSignedIn()}}
	a := s.do(form)
	a.want(t, http.StatusNoContent, "", "")
	if !a.clears("byoa") {
		t.Error("the cookie that came is not cleared")
	}
}

// Who logs out has their session ended, whatever else came: a cookie of the login system
// that is no good, or somebody else's by now, must not keep it alive.
func TestRevokeGoesByTheSessionAlone(t *testing.T) {
	s := newSite(t, httpapi.Options{ExternalCookie: "ext", SessionCookie: "byoa", CookieAllowed: allowAll})
	claims := func(more string, value any) string {
		return s.issuer.Token(map[string]any{"sub": "alice", "aud": gatewaytest.Audience, more: value})
	}
	for name, beside := range map[string]string{
		"nothing": "", "her login": "; ext=" + claims("jti", "2"), "somebody else's login": "; ext=" + s.external("mallory"),
		"garbage": "; ext=deleted", "an expired login": "; ext=" + claims("exp", 1), "two logins": "; ext=a; ext=b", "a hidden one": "; x=1 ext=a",
	} {
		t.Run(name, func(t *testing.T) {
			session := s.session("alice")
			a := s.do(call{path: "/revoke", header: http.Header{"Cookie": {"byoa=" + session + beside}}})
			a.want(t, http.StatusNoContent, "", "")
			if !a.clears("byoa") {
				t.Error("the cookie is not cleared")
			}
			s.do(call{path: "/refresh", bearer: session}).want(t, http.StatusUnauthorized, gateway.CodeSessionRevoked, "")
		})
	}
	session := s.session("alice")
	a := s.do(call{path: "/revoke", header: http.Header{"Cookie": {"byoa=" + session + "; byoa=x"}}})
	a.want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
	if a.clears("byoa") {
		t.Error("nobody knows which session was meant, and the cookie is cleared")
	}
	s.do(call{path: "/refresh", bearer: session}).want(t, http.StatusOK, "", "")
}

// An app that has kept a token from before there were cookies sends both. None of the
// two is to be good for anything afterwards.
func TestRevokeEndsBothSessions(t *testing.T) {
	s := newSite(t, httpapi.Options{SessionCookie: "byoa", CookieAllowed: allowAll})
	same := s.session("alice")
	for _, c := range []struct {
		name, inHeader, inCookie string
		status                   int
		code                     verifier.Code
	}{
		{"one", same, same, http.StatusNoContent, ""},
		{"two of one user", s.session("alice"), s.session("alice"), http.StatusNoContent, ""},
		{"of two users", s.session("bob"), s.session("alice"), http.StatusNoContent, ""},
		{"the one in Authorization is none", "a.b.c", s.session("alice"), http.StatusNoContent, ""},
		{"the one in the cookie is none", s.session("alice"), "a.b.c", http.StatusNoContent, ""},
		{"none is one", "a.b.c", "a.b.c", http.StatusUnauthorized, verifier.CodeTokenMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.do(call{path: "/revoke", bearer: c.inHeader, cookies: []*http.Cookie{{Name: "byoa", Value: c.inCookie}}})
			a.want(t, c.status, c.code, "")
			if !a.clears("byoa") {
				t.Error("the cookie is not cleared")
			}
			for _, token := range []string{c.inHeader, c.inCookie} {
				if a := s.do(call{path: "/refresh", bearer: token}); a.status != http.StatusUnauthorized {
					t.Errorf("a session goes on: %d", a.status)
				}
			}
		})
	}
}

// stuckStore takes no revocation while it is stuck.
type stuckStore struct {
	gateway.Store
	stuck bool
}

func (s *stuckStore) Revoke(ctx context.Context, r gateway.Revocation) error {
	if s.stuck {
		return errors.New("input/output error on /var/lib/byoa")
	}
	return s.Store.Revoke(ctx, r)
}

// A cookie that was cleared before its session has ended would leave nobody who could end it.
func TestRevokeThatFailsKeepsTheCookie(t *testing.T) {
	var store stuckStore
	s := newSite(t, httpapi.Options{SessionCookie: "byoa", CookieAllowed: allowAll}, func(c *gateway.Config) {
		store.Store, c.Store = c.Store, &store
	})
	logout := call{path: "/revoke", cookies: []*http.Cookie{{Name: "byoa", Value: s.aliceSignedIn()}}}
	store.stuck = true
	a := s.do(logout)
	a.want(t, http.StatusServiceUnavailable, gateway.CodeStoreUnavailable, "")
	if got := a.header.Get("Set-Cookie"); got != "" || a.header.Get("Retry-After") == "" {
		t.Errorf("Set-Cookie %q, Retry-After %q; want none, and when to try again", got, a.header.Get("Retry-After"))
	}
	store.stuck = false
	a = s.do(logout)
	a.want(t, http.StatusNoContent, "", "")
	if !a.clears("byoa") {
		t.Error("the cookie is not cleared")
	}
}
