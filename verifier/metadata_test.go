package verifier_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// badMetadata is what an issuer answers where its metadata were good a moment ago.
type badMetadata struct {
	name    string
	serve   http.HandlerFunc
	mention string // in the error
	insists bool   // the error is the last word: the second place is not asked
}

func (c badMetadata) run(t *testing.T) {
	key, s := verifiertest.NewKey(t, "ES256"), newSite()
	issuer := s.listen(t)
	s.serve(openIDPath, metadata(issuer, issuer+"/keys"))
	s.serve("/keys", verifiertest.JWKS(t, key.JWK()))
	keys, v := discovered(t, verifier.RemoteConfig{Issuer: issuer, MaxBytes: 10_000, Timeout: time.Minute})
	verify(t, v, tokenOf(key, issuer), "")

	s.handle(openIDPath, c.serve)
	s.news()
	err := keys.Refresh(t.Context())
	if err == nil || !strings.Contains(err.Error(), c.mention) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got error %v, want one that mentions %q, and no password", err, c.mention)
	}
	if asked := s.news(); slices.Contains(asked, oauthPath) == c.insists || slices.Contains(asked, "/keys") {
		t.Errorf("asked for %q", asked)
	}
	verify(t, v, tokenOf(key, issuer), "") // the last good set stays

	s.serve(openIDPath, metadata(issuer, issuer+"/keys"))
	if err := keys.Refresh(t.Context()); err != nil {
		t.Errorf("control: %v", err)
	}
}

// Whoever can put a document where the metadata are expected must not become the issuer,
// and an outage must not choose another document than usual.
func TestDiscoveryRefusesMetadata(t *testing.T) {
	text := func(format string, args ...any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body := strings.ReplaceAll(fmt.Sprintf(format, args...), "SELF", "http://"+r.Host)
			_, _ = w.Write([]byte(body))
		}
	}
	jwksURI := func(uri string) http.HandlerFunc { return text(`{"issuer":"SELF","jwks_uri":%q}`, uri) }
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	other := newSite()
	elsewhere := other.listen(t)
	for _, c := range []badMetadata{
		{"another issuer", text(`{"issuer":"https://evil.example","jwks_uri":"SELF/keys"}`), `of the issuer "https://evil.example"`, true},
		{"issuer with a slash more", text(`{"issuer":"SELF/","jwks_uri":"SELF/keys"}`), "of the issuer", true},
		{"no issuer", text(`{"jwks_uri":"SELF/keys"}`), `of the issuer ""`, true},
		{"issuer by another name", text(`{"Issuer":"SELF","jwks_uri":"SELF/keys"}`), `of the issuer ""`, true},
		{"issuer in a list", text(`{"issuer":["SELF"],"jwks_uri":"SELF/keys"}`), `of the issuer ""`, true},
		{"issuer twice", text(`{"issuer":"https://evil.example","issuer":"SELF","jwks_uri":"SELF/keys"}`), "has a member twice", true},
		{"jwks_uri twice", text(`{"issuer":"SELF","jwks_uri":"https://evil.example/","jwks_uri":"SELF/keys"}`), "has a member twice", true},
		{"jwks_uri twice, once escaped", text(`{"issuer":"SELF","jwks_ur\u0069":"SELF/keys","jwks_uri":"SELF/keys"}`), "has a member twice", true},
		{"something twice that nobody reads", text(`{"issuer":"SELF","a":{"b":1,"b":2},"jwks_uri":"SELF/keys"}`), "has a member twice", true},
		{"data after the end", text(`{"issuer":"SELF","jwks_uri":"SELF/keys"}{}`), "data after its end", true},
		{"no UTF-8", text("{\"issuer\":\"SELF\",\"jwks_uri\":\"SELF/keys\",\"a\":\"\xff\"}"), "not valid UTF-8", true},
		{"nesting", text(`{"issuer":"SELF","jwks_uri":"SELF/keys","a":%s1%s}`, strings.Repeat("[", 99), strings.Repeat("]", 99)), "nests deeper", true},
		{"a page for people", text("<html>"), "not a JSON object", true},
		{"null", text("null"), "not a JSON object", true},
		{"nothing", text(""), "not a JSON object", true},
		{"no jwks_uri", text(`{"issuer":"SELF"}`), "names no jwks_uri", true},
		{"jwks_uri null", text(`{"issuer":"SELF","jwks_uri":null}`), "names no jwks_uri", true},
		{"jwks_uri number", text(`{"issuer":"SELF","jwks_uri":1}`), "names no jwks_uri", true},
		{"jwks_uri list", text(`{"issuer":"SELF","jwks_uri":["SELF/keys"]}`), "names no jwks_uri", true},
		{"jwks_uri without host", jwksURI("/keys"), `jwks_uri "/keys" is not an absolute https URL`, true},
		{"jwks_uri without scheme", jwksURI("//issuer.example/keys"), "not an absolute https URL", true},
		{"jwks_uri with a port alone", jwksURI("https://:443/keys"), "not an absolute https URL", true},
		{"jwks_uri file", jwksURI("file:///etc/passwd"), "not an absolute https URL", true},
		{"jwks_uri data", jwksURI("data:application/json,{}"), "not an absolute https URL", true},
		{"jwks_uri malformed", jwksURI("https://a b/"), "jwks_uri does not parse", true},
		{"jwks_uri http", jwksURI("http://issuer.example/keys"), "is http", true},
		{"jwks_uri http, to the local network", jwksURI("http://169.254.169.254/keys"), "is http", true},
		{"jwks_uri with a password", jwksURI("https://u:hunter2@issuer.example/"), "jwks_uri holds credentials", true},
		{"jwks_uri with a fragment", text(`{"issuer":"SELF","jwks_uri":"SELF/keys#a"}`), "jwks_uri holds a fragment", true},
		{"jwks_uri without end", text(`{"issuer":"SELF","jwks_uri":"SELF/%s"}`, strings.Repeat("k", 3000)), "jwks_uri is longer than 2048 bytes", true},
		{"too large", text(`{"issuer":"SELF","jwks_uri":"SELF/keys"}%s`, strings.Repeat(" ", 10_000)), "larger than 10000 bytes", true},
		{"gzip bomb", gzipBomb(), "larger than 10000 bytes", true},
		{"redirect to another host", redirect(elsewhere + openIDPath), "redirected to another host", true},
		{"redirect without end", redirect(openIDPath), "redirected too often", true},
		{"status 204", status(204), "status is 204", true},
		{"status 500", status(500), "status is 500", true},
		{"status 503", status(503), "status is 503", true},
		{"status 408", status(408), "status is 408", true},
		{"status 429", status(429), "status is 429", true},
		{"status 404, and nothing in the second place", status(404), openIDPath + ": status is 404, not 200; http://", false},
		{"status 410, and nothing in the second place", status(410), "has no metadata", false},
		{"status 403, and nothing in the second place", status(403), "has no metadata", false},
		{"status 401, and nothing in the second place", status(401), "has no metadata", false},
	} {
		t.Run(c.name, c.run)
	}
	if got := other.news(); len(got) != 0 {
		t.Errorf("the other host was asked for %q", got)
	}
}

// What is wrong in the second place is as wrong as in the first.
func TestDiscoveryHoldsTheSecondPlaceToTheSameRules(t *testing.T) {
	key, s := verifiertest.NewKey(t, "ES256"), newSite()
	issuer := s.listen(t)
	s.serve("/keys", verifiertest.JWKS(t, key.JWK()))
	s.serve(oauthPath, metadata(issuer+"/", issuer+"/keys"))
	keys, v := discovered(t, verifier.RemoteConfig{Issuer: issuer})
	if err := keys.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "of the issuer") {
		t.Errorf("got error %v, want one about the issuer", err)
	}
	verify(t, v, tokenOf(key, issuer), verifier.CodeKeysUnavailable)
	s.serve(oauthPath, metadata(issuer, issuer+"/keys"))
	if err := keys.Refresh(t.Context()); err != nil {
		t.Errorf("control: %v", err)
	}
	verify(t, v, tokenOf(key, issuer), "")
}
