package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

func TestPublishedKeysVerifySessions(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	for _, path := range []string{"/.well-known/jwks", "/.well-known/jwks.json"} {
		a := s.do(call{path: path, method: http.MethodGet})
		a.want(t, http.StatusOK, "", "")
		keys, err := verifier.ParseKeySet([]byte(a.raw))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := verifier.Parse(token, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.VerifySignature(context.Background(), parsed); err != nil {
			t.Errorf("%s does not verify a session token: %v", path, err)
		}
		if strings.Contains(a.raw, `"d"`) {
			t.Errorf("%s shows a private key", path)
		}
	}
}

// unsigned is an exchanger whose keys are somebody else's.
type unsigned struct{ gateway.Exchanger }

// Where another server signs, its keys are found there.
func TestNoKeysAreNotFound(t *testing.T) {
	s := newSite(t, httpapi.Options{}, func(c *gateway.Config) { c.Exchanger = unsigned{c.Exchanger} })
	s.do(call{path: "/.well-known/jwks.json", method: http.MethodGet}).want(t, http.StatusNotFound, "not_found", "")
	if len(s.refused) != 1 || gateway.CodeOf(s.refused[0]) != "not_found" {
		t.Errorf("the log is told %v", s.refused)
	}
}
