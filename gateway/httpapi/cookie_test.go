package httpapi_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// allowAll and allowNone stand for the rule about requests of other origins.
func allowAll(*http.Request) error { return nil }

func allowNone(*http.Request) error {
	return &gateway.Refusal{Code: gateway.CodeCrossOrigin, Err: errors.New("another origin")}
}

func TestCookieMode(t *testing.T) {
	s := newSite(t, httpapi.Options{ExternalCookie: "ext", SessionCookie: "__Host-byoa", CookieAllowed: allowAll})
	external := &http.Cookie{Name: "ext", Value: s.external("alice")}
	a := s.do(call{path: "/externalAuth/signin", body: `{}`, cookies: []*http.Cookie{external}})
	a.want(t, http.StatusOK, "", "")
	if _, ok := a.body["minifiedJwt"]; ok {
		t.Error("the session token is in the body: the SDK would put it where scripts can read it")
	}
	set := a.header.Get("Set-Cookie")
	for _, attribute := range []string{"__Host-byoa=ey", "HttpOnly", "Secure", "SameSite=Lax", "Path=/", "Expires="} {
		if !strings.Contains(set, attribute) {
			t.Errorf("no %s in the session cookie", attribute)
		}
	}
	session := (&http.Response{Header: a.header}).Cookies()[0]
	s.do(call{path: "/refresh", cookies: []*http.Cookie{session}}).want(t, http.StatusOK, "", "")
	s.do(call{path: "/refresh", cookies: []*http.Cookie{session, session}}).
		want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
	s.do(call{path: "/refresh", cookies: []*http.Cookie{external}}).
		want(t, http.StatusUnauthorized, gateway.CodeTokenMissing, "") // the external cookie signs in, it is no session
	a = s.do(call{path: "/revoke", cookies: []*http.Cookie{session}})
	a.want(t, http.StatusNoContent, "", "")
	if cleared := a.header.Get("Set-Cookie"); !strings.Contains(cleared, "__Host-byoa=;") || !strings.Contains(cleared, "Max-Age=0") {
		t.Errorf("the session cookie is not cleared: %q", cleared)
	}
	s.do(call{path: "/refresh", cookies: []*http.Cookie{session}}).
		want(t, http.StatusUnauthorized, gateway.CodeSessionRevoked, "")
}

// The external cookie says who is here now: a session of somebody else is left over from before.
func TestSessionCookieOfSomebodyElse(t *testing.T) {
	s := newSite(t, httpapi.Options{ExternalCookie: "ext", SessionCookie: "byoa", CookieAllowed: allowAll})
	external := &http.Cookie{Name: "ext", Value: s.external("mallory")}
	session := &http.Cookie{Name: "byoa", Value: s.aliceSignedIn()}
	a := s.do(call{path: "/refresh", cookies: []*http.Cookie{external, session}})
	a.want(t, http.StatusUnauthorized, gateway.CodeTokenMissing, "")
	if cleared := a.header.Get("Set-Cookie"); !strings.HasPrefix(cleared, "byoa=;") {
		t.Errorf("Set-Cookie %q, want it cleared", cleared)
	}
	external.Value = s.external("alice")
	s.do(call{path: "/refresh", cookies: []*http.Cookie{external, session}}).want(t, http.StatusOK, "", "")
}

// Browsers drop a cookie of more than 4096 bytes without a word: the user would seem signed in, and not be.
func TestSessionTooLargeForACookieIsAnError(t *testing.T) {
	s := newSite(t, httpapi.Options{SessionCookie: "byoa", CookieAllowed: allowAll})
	for size, want := range map[int]int{100: http.StatusOK, 4000: http.StatusInternalServerError} {
		jwt := s.issuer.Token(map[string]any{"aud": gatewaytest.Audience, "groups": strings.Repeat("g", size)})
		if a := s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + jwt + `"}`}); a.status != want || (a.header.Get("Set-Cookie") != "") != (want == http.StatusOK) {
			t.Errorf("claims of %d bytes: %d, want %d", size, a.status, want)
		}
	}
	if len(s.refused) != 1 || !strings.Contains(s.refused[0].Error(), "4096") {
		t.Errorf("the log is not told: %v", s.refused)
	}
}

// Where a lenient reader would find a Bearer token, no cookie stands in for it.
func TestOddAuthorizationIsNoReasonToReadCookies(t *testing.T) {
	s := newSite(t, httpapi.Options{SessionCookie: "byoa", CookieAllowed: allowAll})
	session := &http.Cookie{Name: "byoa", Value: s.aliceSignedIn()}
	for value, want := range map[string]int{
		"Basic eDp5": http.StatusOK, "Basic eDp5, Bearer x": http.StatusBadRequest, "Bearer\tx": http.StatusBadRequest,
		"Bearer,x": http.StatusBadRequest, "Bearer": http.StatusBadRequest,
	} {
		a := s.do(call{path: "/refresh", cookies: []*http.Cookie{session}, header: http.Header{"Authorization": {value}}})
		if a.status != want {
			t.Errorf("%q: %d, want %d", value, a.status, want)
		}
	}
}

// A page of another origin must not sign a user in, out, or elevate them by way of their cookies.
func TestCookiesOfAnotherOriginsRequestAreRefused(t *testing.T) {
	s := newSite(t, httpapi.Options{ExternalCookie: "ext", SessionCookie: "byoa", CookieAllowed: allowNone})
	session := &http.Cookie{Name: "byoa", Value: s.aliceSignedIn()}
	for _, c := range []call{
		{path: "/externalAuth/signin", body: `{}`, cookies: []*http.Cookie{{Name: "ext", Value: s.external("alice")}}},
		{path: "/externalAuth/verify", body: `{"jwt":"x"}`, cookies: []*http.Cookie{session}},
		{path: "/refresh", cookies: []*http.Cookie{session}},
		{path: "/revoke", cookies: []*http.Cookie{session}},
	} {
		a := s.do(c)
		a.want(t, http.StatusForbidden, gateway.CodeCrossOrigin, "")
		if a.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: another origin cleared the user's cookie", c.path)
		}
	}
	// A token that a script has to put there itself is nobody's ambient authority.
	s.do(call{path: "/refresh", bearer: session.Value}).want(t, http.StatusOK, "", "")
}

func (s *site) aliceSignedIn() string { s.t.Helper(); return s.signedIn("alice") }
