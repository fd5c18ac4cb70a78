package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// methods are all endpoints, and the method of each.
var methods = map[string]string{
	"/externalAuth/signin":   http.MethodPost,
	"/externalAuth/verify":   http.MethodPost,
	"/stepUp/check":          http.MethodPost,
	"/refresh":               http.MethodPost,
	"/revoke":                http.MethodPost,
	"/users":                 http.MethodGet,
	"/settings":              http.MethodGet,
	"/sdkSettings":           http.MethodPost,
	"/nonces":                http.MethodGet,
	"/nonce":                 http.MethodGet,
	"/.well-known/jwks":      http.MethodGet,
	"/.well-known/jwks.json": http.MethodGet,
}

// A path that is spelled in another way is another path, and none.
func TestUnknownPaths(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, path := range []string{
			"/", "/externalAuth", "/externalAuth/signin/", "/externalauth/signin", "//refresh", "/users/mfa/methods", "/Settings", "/nonces/",
			"/sdksettings", "/.well-known", "/externalJwt/check", "/users%2f",
		} {
			s.refused = nil
			s.do(call{path: path, method: method, body: `{"jwt":"` + s.external("alice") + `"}`}).want(t, http.StatusNotFound, "not_found", "")
			if len(s.refused) != 1 || gateway.CodeOf(s.refused[0]) != "not_found" {
				t.Errorf("%s %s: the log is told %v", method, path, s.refused)
			}
		}
	}
}

// Another method does nothing, whatever comes with it: a link or an image is a GET, and must end no session.
func TestOtherMethods(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	for path, own := range methods {
		for _, method := range []string{
			http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
			http.MethodTrace, "get", "REVOKE",
		} {
			if method == own || method == http.MethodHead && own == http.MethodGet {
				continue
			}
			a := s.do(call{path: path, method: method, bearer: token, body: `{}`})
			a.want(t, http.StatusMethodNotAllowed, "method_not_allowed", "")
			want := own
			if own == http.MethodGet {
				want = "GET, HEAD"
			}
			if got := a.header.Get("Allow"); got != want {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got, want)
			}
		}
	}
	s.do(call{path: "/refresh", bearer: token}).want(t, http.StatusOK, "", "")
	if last := s.refused[len(s.refused)-1]; gateway.CodeOf(last) != "method_not_allowed" {
		t.Errorf("the log is told %v last", last)
	}
}

// HEAD says what GET would, in the headers (RFC 9110, section 9.3.2).
func TestHead(t *testing.T) {
	s := newSite(t, httpapi.Options{})
	token := s.signIn("alice")
	for path, method := range methods {
		if method != http.MethodGet {
			continue
		}
		get := s.do(call{method: http.MethodGet, path: path, bearer: token})
		head := s.do(call{method: http.MethodHead, path: path, bearer: token})
		if get.status != http.StatusOK || head.status != get.status || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("%s: HEAD %d %v, GET %d %v", path, head.status, head.header, get.status, get.header)
		}
	}
}
