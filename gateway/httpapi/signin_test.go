package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func TestSignIn(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	jwt := s.issuer.Token(map[string]any{
		"sub": "alice", "aud": gatewaytest.Audience, "email": "a@example.com", "email_verified": true,
		"given_name": "Alice", "family_name": "A", "preferred_username": "al", "phone_number": "+1",
	})
	a := s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + jwt + `","sessionPublicKey":"02ab"}`})
	a.want(t, http.StatusOK, "", "")
	claims := claimsOf(t, a.body["minifiedJwt"].(string))
	if a.body["expiresAt"] != claims["exp"] {
		t.Errorf("expiresAt %v, but the token's exp is %v", a.body["expiresAt"], claims["exp"])
	}
	user := a.body["user"].(map[string]any)
	for field, want := range map[string]any{
		"id": claims["sub"], "projectEnvironmentId": gatewaytest.EnvironmentID, "sessionId": claims["sid"],
		"email": "a@example.com", "firstName": "Alice", "lastName": "A", "username": "al", "phoneNumber": "+1",
		"scope": "user:basic",
	} {
		if user[field] != want {
			t.Errorf("user.%s is %v, want %v", field, user[field], want)
		}
	}
	credentials := user["verifiedCredentials"].([]any)
	if len(credentials) != 2 {
		t.Fatalf("%d credentials, want externalUser and email", len(credentials))
	}
	external := credentials[0].(map[string]any)
	if external["format"] != "externalUser" || external["public_identifier"] != "alice" ||
		external["id"] != user["lastVerifiedCredentialId"] || external["id"] != claims["last_verified_credential_id"] {
		t.Errorf("credential %v, want the external user that the token names (%v)", external, claims["last_verified_credential_id"])
	}
	if fields, ok := user["missingFields"].([]any); !ok || len(fields) != 0 {
		t.Errorf("missingFields %v, want []", user["missingFields"])
	}
}

func TestRefusedSignIn(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	other := verifiertest.NewIssuer(t, verifiertest.WithClock(s.clock))
	const path = "/externalAuth/signin"
	for _, c := range []struct {
		name   string
		jwt    string
		reason verifier.Code
	}{
		{"garbage", "x.y.z", verifier.CodeTokenMalformed},
		{"another issuer", other.Token(map[string]any{"aud": gatewaytest.Audience}), verifier.CodeIssuerMismatch},
		{"another audience", s.issuer.Token(map[string]any{"aud": "elsewhere"}), verifier.CodeAudienceMismatch},
		{"expired", s.issuer.Token(map[string]any{"aud": gatewaytest.Audience, "exp": s.clock.Now().Unix() - 1}), verifier.CodeExpired},
		{"too large", strings.Repeat("a", 20<<10), verifier.CodeTokenTooLarge},
		{"a session token of ours", s.signIn("alice"), verifier.CodeIssuerMismatch},
		{"none", "", gateway.CodeTokenMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.do(call{path: path, body: `{"jwt":"` + c.jwt + `"}`})
			a.want(t, http.StatusUnprocessableEntity, "invalid_external_auth", c.reason)
			if c.jwt != "" && strings.Contains(a.raw, c.jwt) {
				t.Error("the answer repeats the token")
			}
			if a.header.Get("WWW-Authenticate") != "" {
				t.Error("a challenge on a 422")
			}
		})
	}
}

func TestRefreshKeepsTheSession(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	jwt := s.issuer.Token(map[string]any{"sub": "alice", "aud": gatewaytest.Audience, "exp": s.clock.Now().Add(90 * time.Minute).Unix()})
	a := s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + jwt + `"}`})
	before := claimsOf(t, a.body["minifiedJwt"].(string))
	s.clock.Advance(50 * time.Minute)
	a = s.do(call{path: "/refresh", bearer: a.body["minifiedJwt"].(string)})
	a.want(t, http.StatusOK, "", "")
	after := claimsOf(t, a.body["minifiedJwt"].(string))
	if after["sid"] != before["sid"] || after["jti"] == before["jti"] {
		t.Errorf("sid %v jti %v after sid %v jti %v", after["sid"], after["jti"], before["sid"], before["jti"])
	}
	if end := float64(s.clock.Now().Add(40 * time.Minute).Unix()); after["exp"].(float64) > end {
		t.Errorf("exp %v is past the external JWT's own, %v", after["exp"], end)
	}
}
