package httpapi_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// ask puts a question about a token.
func (s *site) ask(body string) answer {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://api.example.com/externalJwt/check", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.api.ServeCheck(w, r)
	a := answer{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &a.body); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func TestCheckNamesEveryRuleThatIsBroken(t *testing.T) {
	s := newSite(t, httpapi.Options{}, func(c *gateway.Config) {
		c.Scopes = map[string]gateway.ScopeRule{"wallet:export": {}}
	})
	wrong := s.issuer.Token(map[string]any{"aud": "elsewhere", "exp": s.clock.Now().Unix() - 1})
	for name, c := range map[string]struct {
		body string
		want []any
	}{
		"good JWT":           {`{"encodedJwt":"` + s.external("alice") + `"}`, []any{}},
		"two faults":         {`{"encodedJwt":"` + wrong + `"}`, []any{"expired", "audience_mismatch"}},
		"good assertion":     {`{"assertion":"` + s.issuer.Assertion("alice", "wallet:export", nil) + `","subject":"alice"}`, []any{}},
		"somebody else's":    {`{"assertion":"` + s.issuer.Assertion("alice", "wallet:export", nil) + `","subject":"bob"}`, []any{"subject_mismatch"}},
		"a scope not for us": {`{"assertion":"` + s.issuer.Assertion("alice", "admin", nil) + `","subject":"alice"}`, []any{"scope_not_allowed"}},
		"no token":           {`{"encodedJwt":"garbage"}`, []any{"token_malformed"}},
	} {
		a := s.ask(c.body)
		if got := a.body["errors"].([]any); a.status != http.StatusOK || !reflect.DeepEqual(got, c.want) || a.body["valid"] != (len(c.want) == 0) {
			t.Errorf("%s: %d %s, want the errors %v", name, a.status, a.raw, c.want)
		}
	}
	for _, body := range []string{`{}`, `{"encodedJwt":"x","assertion":"y"}`, `[]`} {
		s.ask(body).want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
	}
	// Nothing was spent by asking.
	assertion, token := s.issuer.Assertion("alice", "wallet:export", nil), s.signIn("alice")
	s.ask(`{"assertion":"` + assertion + `","subject":"alice"}`)
	s.do(call{path: "/externalAuth/verify", bearer: token, body: `{"jwt":"` + assertion + `"}`}).want(t, http.StatusOK, "", "")
}

// Where anybody may ask, nobody learns from a question who is trusted: that is for the log.
func TestCheckAsksWhoseAssertionItIs(t *testing.T) {
	s := linkingSite(t, httpapi.Options{})
	about := `{"assertion":"` + s.other.Assertion("alice", "wallet:export", nil) + `","subject":"alice"`
	for name, c := range map[string]struct{ body, log string }{
		"no issuer":        {about + `}`, "configured: " + issuerName + ", " + otherName},
		"somebody unknown": {about + `,"issuer":"https://elsewhere.example"}`, "configured: " + issuerName + ", " + otherName},
	} {
		s.refused = nil
		a := s.ask(c.body)
		a.want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
		for _, secret := range []string{issuerName, otherName, "configured", "elsewhere"} {
			if strings.Contains(a.raw, secret) {
				t.Errorf("%s: the answer says %q: %s", name, secret, a.raw)
			}
		}
		var refusal *gateway.Refusal
		if len(s.refused) != 1 || !errors.As(s.refused[0], &refusal) || refusal.Cause == nil || refusal.Cause.Error() != c.log {
			t.Errorf("%s: refused %v, want the cause %q", name, s.refused, c.log)
		}
	}
	if a := s.ask(about + `,"issuer":"` + otherName + `"}`); a.body["valid"] != true {
		t.Errorf("by its own issuer: %s, want it valid", a.raw)
	}
}
