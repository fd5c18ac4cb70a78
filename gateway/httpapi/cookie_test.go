package httpapi_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
	"github.com/caddy-byoa/caddy-byoa/verifier"
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

// withSession are the endpoints that need a session.
var withSession = []call{
	{path: "/refresh"},
	{method: http.MethodGet, path: "/users"},
	{path: "/stepUp/check", body: `{"scope":"wallet:export"}`},
	{path: "/externalAuth/verify", body: `{"jwt":""}`}, // refused as well, once it is known whose it is
}

// The external cookie says who is here now: a session of somebody else is left over from
// before, and so is its cookie. Where nobody can tell who is here, or the cookie was not what
// decided, it stays.
func TestSessionCookieOfSomebodyElse(t *testing.T) {
	s := newSite(t, httpapi.Options{ExternalCookie: "ext", SessionCookie: "byoa", CookieAllowed: allowAll})
	session, revoked := s.aliceSignedIn(), s.aliceSignedIn()
	s.do(call{path: "/revoke", bearer: revoked}).want(t, http.StatusNoContent, "", "")
	alice, mallory := s.issuer.Token(map[string]any{"sub": "alice", "aud": gatewaytest.Audience, "jti": "2"}), s.external("mallory")
	for _, c := range []struct {
		name, external, session, bearer string
		code                            verifier.Code // empty: it is alice
		cleared                         bool
	}{
		{name: "of alice, and of her login", external: alice, session: session},
		{name: "of alice alone", session: session},
		{name: "of somebody else", external: mallory, session: session, code: gateway.CodeTokenMissing, cleared: true},
		{name: "revoked", session: revoked, code: gateway.CodeSessionRevoked, cleared: true},
		{name: "revoked, beside her login", external: alice, session: revoked, code: gateway.CodeSessionRevoked, cleared: true},
		{name: "beside a login that is none", external: "deleted", session: session, code: verifier.CodeTokenMalformed},
		{name: "beside a token that is none", session: session, bearer: "a", code: verifier.CodeTokenMalformed},
		{name: "cleared", external: alice, code: gateway.CodeTokenMissing},
	} {
		for _, to := range withSession {
			t.Run(c.name+to.path, func(t *testing.T) {
				to.bearer, to.cookies = c.bearer, []*http.Cookie{{Name: "ext", Value: c.external}, {Name: "byoa", Value: c.session}}
				a := s.do(to)
				if c.code != "" {
					a.want(t, http.StatusUnauthorized, c.code, "")
				} else if a.status == http.StatusUnauthorized {
					t.Errorf("401 %s", a.raw)
				}
				if cleared := strings.HasPrefix(a.header.Get("Set-Cookie"), "byoa=;"); cleared != c.cleared {
					t.Errorf("Set-Cookie %q, want it cleared: %t", a.header.Get("Set-Cookie"), c.cleared)
				}
			})
		}
	}
}

// Browsers drop a cookie of more than 4096 bytes without a word: the user would seem signed in, and not be.
func TestSessionTooLargeForACookieIsRefused(t *testing.T) {
	var store watchedStore
	s := newSite(t, httpapi.Options{SessionCookie: "byoa", CookieAllowed: allowAll}, store.watched)
	a := s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + s.large("alice", 4000) + `"}`})
	a.want(t, http.StatusUnprocessableEntity, "invalid_external_auth", verifier.CodeTokenTooLarge)
	if a.header.Get("Set-Cookie") != "" || store.writes.Load() != 0 {
		t.Errorf("Set-Cookie %q, and %d things were stored; want none", a.header.Get("Set-Cookie"), store.writes.Load())
	}
	if len(s.refused) != 1 || !strings.Contains(s.refused[0].Error(), "4096") {
		t.Errorf("the log is not told why: %v", s.refused)
	}
	a = s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + s.large("alice", 100) + `"}`})
	a.want(t, http.StatusOK, "", "")
	if user := a.body["user"].(map[string]any); user["newUser"] != true || a.header.Get("Set-Cookie") == "" {
		t.Errorf("Set-Cookie %q for %v, want one for a new user", a.header.Get("Set-Cookie"), user)
	}
	// In the body there is room for any.
	plain := newSite(t, httpapi.Options{})
	plain.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + plain.large("alice", 4000) + `"}`}).want(t, http.StatusOK, "", "")
}

// No link is ever undone: one that nobody can sign in with must not be made.
func TestSessionTooLargeForACookieLinksNothing(t *testing.T) {
	for size, want := range map[int]int{4000: http.StatusUnprocessableEntity, 100: http.StatusOK} {
		s := linkingSite(t, httpapi.Options{SessionCookie: "byoa", CookieAllowed: allowAll})
		alice := s.aliceSignedIn()
		jwt := s.other.Token(map[string]any{"sub": "a.liddell", "aud": gatewaytest.Audience, "groups": strings.Repeat("g", size)})
		if a := s.do(call{path: "/externalAuth/signin", bearer: alice, body: `{"jwt":"` + jwt + `"}`}); a.status != want {
			t.Errorf("claims of %d bytes: %d, want %d", size, a.status, want)
		}
		a := s.do(call{method: http.MethodGet, path: "/users", bearer: alice})
		a.want(t, http.StatusOK, "", "")
		if linked := len(a.body["verifiedCredentials"].([]any)) > 1; linked != (want == http.StatusOK) {
			t.Errorf("claims of %d bytes: answered %d, and linked: %t", size, want, linked)
		}
	}
}

// A session that came in Authorization may be as large as it likes. It goes on as long as it
// lives, and is carried on in no cookie that no browser keeps.
func TestRefreshedSessionTooLargeForACookieIsRefused(t *testing.T) {
	s := newSite(t, httpapi.Options{SessionCookie: "byoa", CookieAllowed: allowAll})
	for size, want := range map[int]int{4000: http.StatusUnauthorized, 100: http.StatusOK} {
		session, _, err := s.env.SignIn(t.Context(), s.large("alice", size), nil)
		if err != nil {
			t.Fatal(err)
		}
		a := s.do(call{path: "/refresh", bearer: session.Token})
		if a.status != want || (a.header.Get("Set-Cookie") != "") != (want == http.StatusOK) {
			t.Errorf("claims of %d bytes: %d, want %d\n%s", size, a.status, want, a.raw)
		}
		if want != http.StatusOK {
			a.want(t, want, verifier.CodeTokenTooLarge, "")
		}
	}
}

// large is a JWT with claims of about this size.
func (s *site) large(user string, size int) string {
	return s.issuer.Token(map[string]any{"sub": user, "aud": gatewaytest.Audience, "groups": strings.Repeat("g", size)})
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
