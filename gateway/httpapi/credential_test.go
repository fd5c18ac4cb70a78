package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// A value that one reader sees and another does not is how somebody is signed in as
// whoever the second one names. S stands for a session, and X for a login.
func TestTwoValuesInOnePlaceAreRefused(t *testing.T) {
	s := newSite(t, httpapi.Options{ExternalCookie: "ext", SessionCookie: "byoa", CookieAllowed: allowAll})
	session, login := s.aliceSignedIn(), s.external("alice")
	bad := func(name, cookie string, authorization ...string) reading {
		return reading{name, cookie, authorization, http.StatusBadRequest, gateway.CodeBadRequest}
	}
	good := func(name, cookie string, authorization ...string) reading {
		return reading{name, cookie, authorization, http.StatusOK, ""}
	}
	for _, c := range []reading{
		good("one session", "byoa="+session),
		good("among others", "a=1; byoa="+session+"; b=2"),
		good("in quotes", `byoa="`+session+`"`),
		good("beside a login", "byoa="+session+"; ext="+login),
		bad("two sessions", "byoa="+session+"; byoa="+session),
		bad("the second with a space", "byoa="+session+"; byoa=a b"),
		bad("the second with a quote", "byoa="+session+`; byoa=a"b`),
		bad("the second with a backslash", "byoa="+session+`; byoa=a\b`),
		bad("the second with a comma", "byoa="+session+"; byoa=a,b"),
		bad("the second without a value", "byoa="+session+"; byoa"),
		bad("the second empty", "byoa="+session+"; byoa="),
		bad("one in another cookie", "byoa="+session+"; x=1 byoa=y"),
		bad("behind a comma", "x=1, byoa="+session),
		bad("a name in quotes", `"byoa"=x; byoa=`+session),
		bad("two logins", "byoa="+session+"; ext="+login+"; ext=a b"),
		bad("a login in another cookie", "byoa="+session+"; y=2 ext=z"),
		{"a session with an odd byte", `byoa=a\b`, nil, http.StatusUnauthorized, verifier.CodeTokenMalformed},

		good("a header", "", "Bearer "+session),
		good("a header before a cookie", "byoa=x", "Bearer "+session),
		good("a header before two cookies", "byoa=x; byoa=y", "Bearer "+session),
		good("another scheme before a cookie", "byoa="+session, "Basic eDp5"),
		bad("a header before a hidden cookie", "x=1 byoa=y", "Bearer "+session),
		bad("two headers", "", "Bearer "+session, "Bearer "+session),
		bad("two schemes in two headers", "", "Basic eDp5", "Bearer "+session),
		bad("two in one header", "", "Bearer "+session+", Bearer "+session),
		bad("a tab", "", "Bearer\t"+session),
	} {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{"Authorization": c.authorization}
			if c.cookie != "" {
				header.Set("Cookie", c.cookie)
			}
			s.do(call{method: http.MethodGet, path: "/users", header: header}).want(t, c.status, c.code, "")
		})
	}
}

// A reading is what a request brings, and what an endpoint that needs a session makes of it.
type reading struct {
	name, cookie  string
	authorization []string
	status        int
	code          verifier.Code
}

// The cookie to sign in with is read by the same rules, where it is read at all.
func TestTwoLoginCookiesAreRefused(t *testing.T) {
	s := newSite(t, httpapi.Options{ExternalCookie: "ext", CookieAllowed: allowAll})
	login := s.external("alice")
	for cookie, want := range map[string]int{
		"ext=" + login: http.StatusOK, "a=1; ext=" + login: http.StatusOK,
		"ext=" + login + "; ext=" + login: http.StatusBadRequest, "ext=" + login + "; ext=a b": http.StatusBadRequest,
		"ext=" + login + "; y=2 ext=" + login: http.StatusBadRequest, "a=1, ext=" + login: http.StatusBadRequest,
	} {
		header := http.Header{"Cookie": {cookie}}
		if a := s.do(call{path: "/externalAuth/signin", body: "{}", header: header}); a.status != want {
			t.Errorf("%d, want %d for %q", a.status, want, cookie)
		}
		s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + login + `"}`, header: header}).want(t, http.StatusOK, "", "")
	}
}
