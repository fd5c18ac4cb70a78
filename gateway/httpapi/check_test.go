package httpapi_test

import (
	"encoding/json"
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
