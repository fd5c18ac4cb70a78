package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// Whatever needs a session says 401 with an error and a challenge where there is none:
// in cookie mode the SDKs ask before anybody has signed in, and tolerate nothing else.
func TestEndpointsThatNeedASession(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	revoked, expired := s.signIn("alice"), s.signIn("bob")
	s.do(call{path: "/revoke", bearer: revoked}).want(t, http.StatusNoContent, "", "")
	for path, method := range map[string]string{
		"/externalAuth/verify": http.MethodPost, "/stepUp/check": http.MethodPost, "/refresh": http.MethodPost, "/revoke": http.MethodPost,
		"/users": http.MethodGet,
	} {
		a := s.do(call{method: method, path: path, body: `{"jwt":"x","scope":"x"}`})
		a.want(t, http.StatusUnauthorized, gateway.CodeTokenMissing, "")
		if got := a.header.Get("WWW-Authenticate"); got != `Bearer realm="byoa"` {
			t.Errorf("challenge %q: no error where no token came", got)
		}
		a = s.do(call{method: method, path: path, bearer: revoked, body: `{"jwt":"x","scope":"x"}`})
		a.want(t, http.StatusUnauthorized, gateway.CodeSessionRevoked, "")
		if got := a.header.Get("WWW-Authenticate"); got != `Bearer realm="byoa", error="invalid_token"` {
			t.Errorf("challenge %q", got)
		}
		s.do(call{method: method, path: path, header: http.Header{"Authorization": {"Bearer a", "Bearer b"}}, body: `{}`}).
			want(t, http.StatusBadRequest, gateway.CodeBadRequest, "")
		s.do(call{method: method, path: path, header: http.Header{"Authorization": {"Basic eDp5"}}, body: `{}`}).
			want(t, http.StatusUnauthorized, gateway.CodeTokenMissing, "")
	}
	s.clock.Advance(time.Hour)
	s.do(call{path: "/refresh", bearer: expired}).want(t, http.StatusUnauthorized, verifier.CodeExpired, "")
	s.do(call{method: http.MethodGet, path: "/users", bearer: expired}).want(t, http.StatusUnauthorized, verifier.CodeExpired, "")
}

// brokenStore is a store whose disk is gone.
type brokenStore struct{ gateway.Store }

func (brokenStore) RevokedAt(string) (time.Time, error) {
	return time.Time{}, errors.New("input/output error on /var/lib/byoa")
}

// forgetfulStore is a store whose record of users cannot be read.
type forgetfulStore struct{ gateway.Store }

func (forgetfulStore) User(context.Context, string) (gateway.User, error) {
	return gateway.User{}, errors.New("input/output error on /var/lib/byoa")
}

func TestFailureOfOursIs503AndTellsNothing(t *testing.T) {
	s := newSite(t, httpapi.Options{}, func(c *gateway.Config) { c.Store = brokenStore{c.Store} })
	a := s.do(call{path: "/externalAuth/signin", body: `{"jwt":"` + s.external("alice") + `"}`})
	a.want(t, http.StatusServiceUnavailable, gateway.CodeStoreUnavailable, "")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if strings.Contains(a.raw, "/var/lib") {
		t.Errorf("the client is told the cause: %s", a.raw)
	}
	if len(s.refused) != 1 || !strings.Contains(errors.Join(s.refused...).Error()+causeIn(s.refused[0]), "input/output error") {
		t.Errorf("the log is not told the cause: %v", s.refused)
	}
}

// Who the user is, is a part of the answer: without it the SDKs would show somebody else, or nobody.
func TestUsersThatCannotBeReadAre503(t *testing.T) {
	s := newSite(t, httpapi.Options{}, func(c *gateway.Config) { c.Store = forgetfulStore{c.Store} })
	token := s.signIn("alice")
	for _, c := range []call{{method: http.MethodGet, path: "/users"}, {path: "/refresh"}} {
		c.bearer = token
		a := s.do(c)
		a.want(t, http.StatusServiceUnavailable, gateway.CodeStoreUnavailable, "")
		if strings.Contains(a.raw, "/var/lib") {
			t.Errorf("%s: the client is told the cause: %s", c.path, a.raw)
		}
	}
}

func causeIn(err error) string {
	var r *gateway.Refusal
	if errors.As(err, &r) && r.Cause != nil {
		return r.Cause.Error()
	}
	return ""
}
