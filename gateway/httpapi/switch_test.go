package httpapi_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

func TestSwitchedOff(t *testing.T) {
	s := newSite(t, httpapi.Options{}, func(c *gateway.Config) { c.Disabled = true })
	on := newSite(t, httpapi.Options{})
	for _, c := range []call{
		{path: "/externalAuth/signin", body: `{"jwt":"` + s.external("alice") + `"}`},
		{path: "/externalAuth/verify", body: `{"jwt":"x"}`, bearer: on.signIn("alice")},
		{path: "/refresh", bearer: on.signIn("alice")},
	} {
		s.do(c).want(t, http.StatusForbidden, gateway.CodeExternalAuthDisabled, "")
	}
}

// An app is told that nobody can sign in, and not what would be wrong with its request if somebody
// could. Before anybody has signed in, only a refresh says that instead: without that, the SDKs do not start.
func TestSwitchedOffComesBeforeWhateverElseIsWrong(t *testing.T) {
	o := httpapi.Options{ExternalCookie: "ext", SessionCookie: "byoa", CookieAllowed: allowNone}
	off, on := newSite(t, o, func(c *gateway.Config) { c.Disabled = true }), newSite(t, o)
	badDevice := http.Header{deviceNonce: {"made up"}}
	for name, c := range map[string]struct {
		call
		on int // what it gets otherwise
	}{
		"sign-in with a device signature that is none": {call{path: "/externalAuth/signin", header: badDevice}, http.StatusUnprocessableEntity},
		"sign-in without a JWT":                        {call{path: "/externalAuth/signin", body: "{}"}, http.StatusUnprocessableEntity},
		"sign-in without a body":                       {call{path: "/externalAuth/signin"}, http.StatusBadRequest},
		"sign-in with two sessions": {
			call{path: "/externalAuth/signin", body: `{"jwt":"x"}`, header: http.Header{"Authorization": {"Bearer a", "Bearer b"}}}, http.StatusBadRequest,
		},
		"sign-in from another origin": {
			call{path: "/externalAuth/signin", body: "{}", cookies: []*http.Cookie{{Name: "ext", Value: "x"}}}, http.StatusForbidden,
		},
		"verify with a device signature that is none": {call{path: "/externalAuth/verify", header: badDevice}, http.StatusUnprocessableEntity},
		"verify without a session":                    {call{path: "/externalAuth/verify", body: `{"jwt":"x"}`}, http.StatusUnauthorized},
		"verify with a session that is none":          {call{path: "/externalAuth/verify", bearer: "x"}, http.StatusUnauthorized},
		"a check without a session":                   {call{path: "/stepUp/check", body: `{"scope":"x"}`}, http.StatusUnauthorized},
		"users without a session":                     {call{method: http.MethodGet, path: "/users"}, http.StatusUnauthorized},
	} {
		a := off.do(c.call)
		if code, _ := a.body["code"].(string); a.status != http.StatusForbidden || code != string(gateway.CodeExternalAuthDisabled) {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
		a = on.do(c.call)
		if code, _ := a.body["code"].(string); a.status != c.on || code == string(gateway.CodeExternalAuthDisabled) {
			t.Errorf("%s: %d %s where it is on, want %d", name, a.status, a.raw, c.on)
		}
	}
	off.do(call{path: "/refresh"}).want(t, http.StatusUnauthorized, gateway.CodeTokenMissing, "")
	off.do(call{path: "/refresh", bearer: on.signedIn("alice")}).want(t, http.StatusForbidden, gateway.CodeExternalAuthDisabled, "")
	off.do(call{path: "/users"}).want(t, http.StatusMethodNotAllowed, "method_not_allowed", "")
}

// The switch is for incidents, which is when people log out. The config's and the operator's are alike.
func TestLoggingOutWhileSwitchedOff(t *testing.T) {
	o := httpapi.Options{SessionCookie: "byoa", CookieAllowed: allowAll}
	var cfg gateway.Config
	on := newSite(t, o, func(c *gateway.Config) { cfg = *c })
	off := newSite(t, o, func(c *gateway.Config) {
		*c = cfg
		c.Disabled = true
	})
	for name, with := range map[string]func(token string) call{
		"in the header": func(token string) call { return call{bearer: token} },
		"in the cookie": func(token string) call { return call{cookies: []*http.Cookie{{Name: "byoa", Value: token}}} },
	} {
		for who, s := range map[string]*site{"operator": on, "config": off} {
			t.Run(who+", "+name, func(t *testing.T) {
				user := who + name
				session, jwt := on.signedIn(user), on.external(user+"'s other JWT")
				if s == on {
					on.turn(on.env.Disable)
				}
				for _, token := range []string{session, jwt} {
					c := with(token)
					c.path = "/refresh"
					s.do(c).want(t, http.StatusForbidden, gateway.CodeExternalAuthDisabled, "")
					c.path = "/revoke"
					s.do(c).want(t, http.StatusNoContent, "", "")
					s.do(c).want(t, http.StatusUnauthorized, gateway.CodeSessionRevoked, "")
				}
				if s == on {
					on.turn(on.env.Enable)
				}
				for _, token := range []string{session, jwt} {
					c := with(token)
					c.path = "/stepUp/check"
					on.do(c).want(t, http.StatusUnauthorized, gateway.CodeSessionRevoked, "")
				}
			})
		}
	}
	on.do(call{path: "/refresh", bearer: on.signedIn("bob")}).want(t, http.StatusOK, "", "")
}

// The SDKs ask before anything else, and have to learn that nobody can sign in. What an
// operator has switched shows at once, and nothing else does: neither why, nor whom the environment trusts.
func TestSettingsSayHowTheSwitchStands(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	enabled := func() any {
		a := s.do(call{method: http.MethodGet, path: "/settings"})
		a.want(t, http.StatusOK, "", "")
		return a.body["security"].(map[string]any)["externalAuth"].(map[string]any)["enabled"]
	}
	before := enabled()
	s.turn(s.env.Disable)
	off := enabled()
	s.turn(s.env.Enable)
	if on := enabled(); before != true || off != false || on != true {
		t.Errorf("enabled is %v, switched off %v, and on again %v", before, off, on)
	}
}

// Whoever may not use a cookie still reads what everybody may: nothing there is about whose cookie it is.
func TestSettingsAndNoncesReadNoCookie(t *testing.T) {
	s := newSite(t, httpapi.Options{ExternalCookie: "ext", SessionCookie: "byoa", CookieAllowed: func(*http.Request) error {
		t.Error("somebody asks whether a cookie may be used")
		return nil
	}})
	cookies := []*http.Cookie{{Name: "ext", Value: "x"}, {Name: "byoa", Value: "x"}, {Name: "byoa", Value: "y"}}
	for _, c := range []call{
		{method: http.MethodGet, path: "/settings"},
		{method: http.MethodGet, path: "/nonces"},
		{method: http.MethodGet, path: "/nonce"},
		{method: http.MethodGet, path: "/.well-known/jwks.json"},
		{path: "/sdkSettings", body: "{}"},
	} {
		c.cookies = cookies
		if a := s.do(c); a.status >= http.StatusBadRequest || a.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d, Set-Cookie %q", c.path, a.status, a.header.Get("Set-Cookie"))
		}
	}
}

func (s *site) turn(to func(context.Context) error) {
	s.t.Helper()
	if err := to(context.Background()); err != nil {
		s.t.Fatal(err)
	}
}
