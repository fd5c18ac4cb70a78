package caddymodule_test

import (
	"strings"
	"testing"
)

// wantSwitchedOff fails the test unless an app can start and say that nobody can sign in,
// and whoever has a session can do nothing with it but leave.
func (s *sdk) wantSwitchedOff(leaving string) {
	s.t.Helper()
	s.wantSettings(false)
	if given := s.call(s.get("/nonces?count=1"), 200, "").body["nonces"].([]any); len(given) != 1 {
		s.t.Errorf("%d nonces, want 1", len(given))
	}
	s.call(s.get("/nonce"), 200, "")
	s.call(s.get("/.well-known/jwks.json"), 200, "")
	for _, r := range []request{
		s.post("/externalAuth/signin", `{"jwt":"`+s.external("alice")+`"}`),
		s.post("/externalAuth/signin", `{"jwt":"x"}`),
		s.post("/externalAuth/verify", `{"jwt":"`+s.assertion("alice", "wallet:export")+`"}`),
		s.post("/stepUp/check", `{"scope":"wallet:export"}`),
		s.post("/refresh", ""),
		s.get("/users"),
		{path: "/wallets/1"},
	} {
		if got := s.call(r, 403, "external_auth_disabled"); got.body["error"] == "" || got.body["reason"] != nil {
			s.t.Errorf("%s: %s, want words for people, and a code that needs no reason", r.path, got.raw)
		}
	}
	for _, r := range []request{
		s.post("/externalAuth/signin", "{}"),
		s.post("/externalAuth/verify", `{"jwt":"x"}`),
		s.post("/stepUp/check", `{"scope":"wallet:export"}`),
		s.get("/users"),
		{path: "/wallets/1"},
	} { // and before anybody has a session
		s.want(r, 403, "external_auth_disabled")
	}
	s.want(s.post("/refresh", ""), 401, "token_missing") // or the SDKs would not start in cookie mode
	r := s.post("/revoke", "")
	r.bearer = leaving
	s.call(r, 204, "")
}

// What an app sees of an environment that its owner, or an operator, has switched off,
// and that nothing is lost by it.
func TestEndpointsOfAnEnvironmentThatIsSwitchedOff(t *testing.T) {
	off := strings.Replace(sdkEnvironment, "{{environment}}", "{{environment}}\n\t\t\tenabled off", 1)
	for _, c := range []struct {
		name    string
		off, on func(g *running)
	}{
		{
			"by the config",
			func(g *running) { g.load(off, plainSite) },
			func(g *running) { g.load(sdkEnvironment, plainSite) },
		},
		{
			"by an operator",
			func(g *running) { g.turn("disable", isOff) },
			func(g *running) { g.turn("enable", isOn) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := startAdmin(t, sdkEnvironment, plainSite)
			s := newSDK(g)
			s.signedIn(g.external("alice"))
			leaving := g.signIn("bob")
			s.wantSettings(true)
			c.off(g)
			s.wantSwitchedOff(leaving)
			c.on(g)
			s.wantSettings(true)
			s.call(s.get("/users"), 200, "")
			s.signedIn(g.external("alice"))
			g.want(request{path: "/wallets/1", bearer: leaving}, 401, "session_revoked")
		})
	}
}

// Whether a stranger may ask what is wrong with a token is the owner's to say, and the
// rest of the endpoints is the same either way.
func TestCheckOfAnSDKEnvironment(t *testing.T) {
	g := start(t, sdkEnvironment, "byoa_api {\n check public\n }\n respond 404")
	s := newSDK(g)
	s.signedIn(g.external("alice")) // so that the keys are here: a check fetches none
	check := request{method: "POST", path: "/api/v0/environments/" + environmentID + "/externalJwt/check", body: `{"encodedJwt":"` + g.external("alice") + `"}`}
	if got := s.call(check, 200, "").body; got["valid"] != true {
		t.Errorf("the check says %v, want that the JWT is valid", got)
	}
	g.load(sdkEnvironment, "byoa_api\n respond 404")
	g.want(check, 404, "")
	s.wantSettings(true)
}
