package e2e_test

import (
	"net/http"
	"testing"
)

// The calls that an app makes to the gateway's own endpoints.

// signIn exchanges an external JWT for a session token.
func (g *gateway) signIn(t testing.TB, external string) string {
	t.Helper()
	a := g.send(t, postJSON(apiPath+"/externalAuth/signin", claims{"jwt": external}))
	if a.status != http.StatusOK || a.text("minifiedJwt") == "" {
		t.Fatalf("signing in: got %v, want 200 with minifiedJwt", a)
	}
	return a.text("minifiedJwt")
}

// verifyRequest asks for an elevated token in exchange for an assertion.
func verifyRequest(credential, assertion string) request {
	return postJSON(apiPath+"/externalAuth/verify", claims{"jwt": assertion}).bearer(credential)
}

// elevate gets an elevated token for user-1.
func (g *gateway) elevate(t testing.TB, credential, scope string) string {
	t.Helper()
	return g.redeem(t, credential, g.issuer.assertion(t, scope, nil))
}

// redeem exchanges an assertion for an elevated token.
func (g *gateway) redeem(t testing.TB, credential, assertion string) string {
	t.Helper()
	a := g.send(t, verifyRequest(credential, assertion))
	if a.status != http.StatusOK || a.text("elevatedAccessToken") == "" {
		t.Fatalf("exchanging an assertion: got %v, want 200 with elevatedAccessToken", a)
	}
	return a.text("elevatedAccessToken")
}

func (g *gateway) revoke(t testing.TB, credential string) {
	t.Helper()
	a := g.send(t, post(apiPath+"/revoke").header("Content-Type", "application/json").bearer(credential))
	if a.status != http.StatusNoContent {
		t.Fatalf("revoking: got %v, want 204", a)
	}
}

// jwksURL is where the gateway publishes the keys of the tokens that it mints.
func (g *gateway) jwksURL() string { return "http://" + g.address + apiPath + "/.well-known/jwks.json" }

// mustNotServe fails the test unless an endpoint answered a refused token as the SDKs
// expect it: 422, with the code of the refusal as the reason.
func (a *answer) mustNotServe(t testing.TB, reason string) {
	t.Helper()
	if a.status != http.StatusUnprocessableEntity || a.text("code") != "invalid_external_auth" || a.text("reason") != reason {
		t.Fatalf("got %v, want 422 invalid_external_auth with reason %s", a, reason)
	}
	if a.text("error") == "" {
		t.Errorf("got %v, want an error in words", a)
	}
}
