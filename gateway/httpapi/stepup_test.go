package httpapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

func TestVerify(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	assertion := s.issuer.Assertion("alice", "wallet:export", nil)
	body := `{"jwt":"` + assertion + `"}`
	a := s.do(call{path: "/externalAuth/verify", bearer: token, body: body})
	a.want(t, http.StatusOK, "", "")
	claims := claimsOf(t, a.body["elevatedAccessToken"].(string))
	if claims["scope"] != "wallet:export" || claims["singleUse"] != true || claims["sid"] != claimsOf(t, token)["sid"] {
		t.Errorf("elevated token %v", claims)
	}
	s.do(call{path: "/externalAuth/verify", bearer: token, body: body}).
		want(t, http.StatusUnprocessableEntity, "invalid_external_auth", gateway.CodeReplayed)
	for reason, jwt := range map[verifier.Code]string{
		verifier.CodeSubjectMismatch: s.issuer.Assertion("mallory", "wallet:export", nil),
		verifier.CodeScopeMissing:    s.issuer.Assertion("alice", "", nil),
		verifier.CodeJTIMissing:      s.issuer.Assertion("alice", "x", map[string]any{"jti": nil}),
		verifier.CodeLifetimeTooLong: s.issuer.Assertion("alice", "x", map[string]any{"exp": s.clock.Now().Add(2 * time.Hour).Unix()}),
		verifier.CodeTypeMismatch:    s.issuer.Token(map[string]any{"sub": "alice", "aud": gatewaytest.Audience, "scope": "x", "jti": "1"}),
	} {
		s.do(call{path: "/externalAuth/verify", bearer: token, body: `{"jwt":"` + jwt + `"}`}).
			want(t, http.StatusUnprocessableEntity, "invalid_external_auth", reason)
	}
}

func TestCheckStepUp(t *testing.T) {
	s := newSite(t, httpapi.Options{}, func(c *gateway.Config) {
		c.Scopes = map[string]gateway.ScopeRule{"wallet:export": {}}
	})
	token := s.signIn("alice")
	for scope, want := range map[string]bool{"wallet:export": true, "user:basic": false} {
		a := s.do(call{path: "/stepUp/check", bearer: token, body: `{"scope":"` + scope + `"}`})
		a.want(t, http.StatusOK, "", "")
		if credentials, ok := a.body["credentials"].([]any); a.body["isRequired"] != want || !ok || len(credentials) != 1 {
			t.Errorf("%s: %s, want isRequired %t and credentials", scope, a.raw, want)
		}
	}
	s.do(call{path: "/stepUp/check", bearer: token, body: `{"scope":"a  b"}`}).
		want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
}
