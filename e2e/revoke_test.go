package e2e_test

import "testing"

func TestRevokedSessionIsRefusedWithAllThatBelongsToIt(t *testing.T) {
	g := startGateway(t, config{})
	external, bystander := g.issuer.token(t, nil), g.issuer.token(t, nil)
	session, other := g.signIn(t, external), g.signIn(t, bystander)
	refreshed := g.send(t, post(apiPath+"/refresh").bearer(session)).text("minifiedJwt")
	elevated := g.elevate(t, session, "wallet:sign")
	belonging := map[string]request{
		"the session token":           get(home).bearer(session),
		"a refreshed session token":   get(home).bearer(refreshed),
		"the external JWT":            get(home).bearer(external),
		"the external JWT, as cookie": get(home).cookies("session_jwt=" + external),
	}
	for _, r := range belonging {
		g.send(t, r).mustPass(t)
	}
	g.send(t, post(sign).bearer(session).elevated(elevated)).mustPass(t)

	g.revoke(t, session)

	mustBeRevoked := func(t *testing.T) {
		t.Helper()
		for name, r := range belonging {
			t.Run(name, func(t *testing.T) { g.send(t, r).mustRefuse(t, 401, "session_revoked") })
		}
		t.Run("its elevated token, in another session", func(t *testing.T) {
			g.send(t, post(sign).bearer(bystander).elevated(elevated)).mustRefuse(t, 403, "elevated_invalid")
		})
		t.Run("a sign-in with the same JWT", func(t *testing.T) {
			g.send(t, postJSON(apiPath+"/externalAuth/signin", claims{"jwt": external})).mustNotServe(t, "session_revoked")
		})
		t.Run("not another session of the same user", func(t *testing.T) {
			g.send(t, get(home).bearer(other)).mustPass(t)
			g.send(t, get(home).bearer(bystander)).mustPass(t)
		})
	}
	t.Run("at once", mustBeRevoked)
	g.kill(t)
	g.start(t)
	t.Run("after a power failure", mustBeRevoked)
}

func TestRevokingAnExternalJWT(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	g.send(t, get(home).bearer(external)).mustPass(t)
	g.revoke(t, external)
	g.send(t, get(home).bearer(external)).mustRefuse(t, 401, "session_revoked")
	g.send(t, get(home).bearer(g.issuer.token(t, nil))).mustPass(t)
}

func TestEndpointsOfARevokedSession(t *testing.T) {
	g := startGateway(t, config{})
	session := g.signIn(t, g.issuer.token(t, nil))
	calls := map[string]request{
		"refresh": post(apiPath + "/refresh").bearer(session),
		"check":   postJSON(apiPath+"/stepUp/check", claims{"scope": "wallet:export"}).bearer(session),
		"verify":  verifyRequest(session, g.issuer.assertion(t, "wallet:export", nil)),
	}
	for name, r := range calls {
		if a := g.send(t, r); a.status != 200 {
			t.Errorf("%s before: got %v, want 200", name, a)
		}
	}
	g.revoke(t, session)
	calls["verify"] = verifyRequest(session, g.issuer.assertion(t, "wallet:export", nil))
	for name, r := range calls {
		t.Run(name, func(t *testing.T) { g.send(t, r).mustRefuse(t, 401, "session_revoked") })
	}
}
