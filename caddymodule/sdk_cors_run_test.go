package caddymodule_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
)

const unknownID = "11111111-1111-4111-8111-111111111111"

// from is r as a page of this origin sends it.
func from(origin string, r request) request {
	header := r.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Origin", origin)
	header.Set("Sec-Fetch-Site", "cross-site")
	r.header = header
	return r
}

// preflightOf is the question that a browser asks before it lets a page send r.
func preflightOf(origin string, r request, headers string) request {
	return request{method: "OPTIONS", path: r.path, at: r.at, header: http.Header{
		"Origin": {origin}, "Access-Control-Request-Method": {r.method}, "Access-Control-Request-Headers": {headers},
	}}
}

// A browser tells a page nothing of an answer that it may not read: without these headers
// the SDKs know only that something failed, and so does whoever has to find out what.
func TestPagesCanReadEveryAnswerOfTheEndpoints(t *testing.T) {
	g := prepare(t)
	site := strings.Replace(plainSite, "byoa_api\n", "byoa_api {\n check public\n }\n", 1)
	g.load(sdkEnvironment, site)
	session := g.signIn("alice")
	sdk := func(id, endpoint string) string { return "/api/v0/sdk/" + id + endpoint }
	const check = "/externalJwt/check"
	for _, c := range []struct {
		name   string
		r      request
		status int
		code   string
	}{
		{"settings", request{method: "GET", path: sdk(environmentID, "/settings")}, 200, ""},
		{"settings, the headers alone", request{method: "HEAD", path: sdk(environmentID, "/settings")}, 200, ""},
		{"a JWKS", request{method: "GET", path: sdk(environmentID, "/.well-known/jwks.json")}, 200, ""},
		{"nothing to say", request{method: "POST", path: sdk(environmentID, "/sdkSettings"), body: "{}"}, 204, ""},
		{"a session", request{method: "GET", path: sdk(environmentID, "/users"), bearer: session}, 200, ""},
		{"no session", request{method: "GET", path: sdk(environmentID, "/users")}, 401, "token_missing"},
		{"a bad session", request{method: "POST", path: sdk(environmentID, "/refresh"), bearer: "x"}, 401, "token_malformed"},
		{"a bad body", request{method: "POST", path: sdk(environmentID, "/externalAuth/signin"), body: "["}, 400, "bad_request"},
		{"a bad JWT", request{method: "POST", path: sdk(environmentID, "/externalAuth/signin"), body: `{"jwt":"x"}`}, 422, "invalid_external_auth"},
		{"another method", request{method: "PUT", path: sdk(environmentID, "/refresh")}, 405, "method_not_allowed"},
		{"another endpoint", request{method: "GET", path: sdk(environmentID, "/nowhere")}, 404, "not_found"},
		{"no endpoint", request{method: "GET", path: sdk(environmentID, "")}, 404, "not_found"},
		{"another environment", request{method: "GET", path: sdk(unknownID, "/settings")}, 404, "not_found"},
		{"no environment", request{method: "GET", path: sdk("", "")}, 404, "not_found"},
		{"the environment in upper case", request{method: "GET", path: sdk(strings.ToUpper(environmentID), "/settings")}, 404, "not_found"},
		{"the environment in braces", request{method: "GET", path: sdk("%7B"+environmentID+"%7D", "/settings")}, 404, "not_found"},
		{"the environment as a URN", request{method: "GET", path: sdk("urn:uuid:"+environmentID, "/settings")}, 404, "not_found"},
		{"the environment without hyphens", request{method: "GET", path: sdk(strings.ReplaceAll(environmentID, "-", ""), "/settings")}, 404, "not_found"},
		{"the environment's name", request{method: "GET", path: sdk("default", "/settings")}, 404, "not_found"},
		{"an ambiguous path", request{method: "POST", path: sdk(environmentID, "/x/..%2frefresh")}, 400, "ambiguous_path"},
		{"an ambiguous path to another environment", request{method: "POST", path: sdk(unknownID, "/x/..%2frefresh")}, 400, "ambiguous_path"},
		{"an ambiguous path without environment", request{method: "POST", path: sdk("", "/refresh")}, 400, "ambiguous_path"},
		{"a check", request{method: "POST", path: "/api/v0/environments/" + environmentID + check, body: `{"encodedJwt":"x"}`}, 200, ""},
		{"a check with another method", request{method: "GET", path: "/api/v0/environments/" + environmentID + check}, 405, "method_not_allowed"},
		{"a check of another environment", request{method: "POST", path: "/api/v0/environments/" + unknownID + check, body: `{"encodedJwt":"x"}`}, 404, "not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := from(pageOrigin, c.r)
			g.wantReadable(r, g.want(r, c.status, c.code), pageOrigin)
			for _, stranger := range []string{strangerOrigin, "null", strings.ToUpper(pageOrigin), pageOrigin + ".evil.example"} {
				r := from(stranger, c.r)
				g.wantReadable(r, g.want(r, c.status, c.code), "")
			}
			g.wantAsked(c.r)
		})
	}
}

// While the login system is down nobody can sign in, and apps should say that, and when to try again.
func TestPagesCanReadThatThereAreNoKeys(t *testing.T) {
	g := prepare(t)
	g.issuer.Fail(true)
	g.load(sdkEnvironment, plainSite)
	r := request{method: "POST", path: signInPath, body: `{"jwt":"` + g.external("alice") + `"}`}
	got := g.want(from(pageOrigin, r), 503, "keys_unavailable")
	g.wantReadable(r, got, pageOrigin)
	if got.header.Get("Retry-After") == "" {
		t.Error("the answer does not say when to try again")
	}
	g.wantReadable(r, g.want(from(strangerOrigin, r), 503, "keys_unavailable"), "")
	g.wantAsked(r)
}

// sdkHeaders are all that the SDKs send in some call or other, and browsers ask for.
const sdkHeaders = "authorization,content-type,x-dyn-api-version,x-dyn-device-fingerprint,x-dyn-elevated-access-token," +
	"x-dyn-is-global-wallet-popup,x-dyn-logout-reason,x-dyn-request-id,x-dyn-session-id,x-dyn-session-public-key," +
	"x-dyn-version,x-dynamic-device-nonce,x-dynamic-device-publickey,x-dynamic-device-signed-nonce,x-dynamic-platform,x-mfa-auth-token"

// wantAsked fails the test unless a browser may let pages of the allowed origin send r,
// with all that the SDKs send, and no others.
func (g *running) wantAsked(r request) {
	g.t.Helper()
	before := g.upstream.count()
	got := g.do(preflightOf(pageOrigin, r, sdkHeaders))
	g.wantReadable(r, got, pageOrigin)
	if got.status != 204 || got.header.Get("Access-Control-Max-Age") != "600" ||
		got.header.Get("Access-Control-Allow-Methods") != r.method || got.header.Get("Access-Control-Allow-Headers") != sdkHeaders {
		g.t.Errorf("%s: the preflight is answered %d %v, want 204, good for 600 seconds, method and headers as asked for", r.path, got.status, got.header)
	}
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"} {
		if got := g.do(preflightOf(strangerOrigin, r, sdkHeaders)); got.header.Get(name) != "" {
			g.t.Errorf("%s: the preflight of a stranger is answered with %s %q", r.path, name, got.header.Get(name))
		}
	}
	if n := g.upstream.count() - before; n != 0 {
		g.t.Errorf("%s: %d preflights reached the upstream", r.path, n)
	}
}

// Pages of one environment have no say in another. Of an environment that is not there
// they may know that much, or nobody who has its id wrong could find out.
func TestOriginsAreThoseOfTheEnvironment(t *testing.T) {
	g, first, second := twoTenants(t)
	const otherOrigin = "https://other.example"
	first.lines, second.lines = "cors "+pageOrigin, "cors "+otherOrigin
	g.load(first.environment()+"\n"+second.environment(), `byoa_api {
		environment first second
	}`)
	for _, c := range []struct {
		name, id string
		status   int
		readers  []string
	}{
		{"the first", first.id, 200, []string{pageOrigin}},
		{"the second", second.id, 200, []string{otherOrigin}},
		{"none", unknownID, 404, []string{pageOrigin, otherOrigin}},
	} {
		r := request{method: "GET", path: "/api/v0/sdk/" + c.id + "/settings"}
		for _, origin := range []string{pageOrigin, otherOrigin, strangerOrigin} {
			reader := ""
			for _, allowed := range c.readers {
				if allowed == origin {
					reader = origin
				}
			}
			t.Run(c.name+" for "+origin, func(t *testing.T) {
				got := g.do(from(origin, r))
				if got.status != c.status {
					t.Errorf("status %d, want %d", got.status, c.status)
				}
				g.wantReadable(r, got, reader)
				if asked := g.do(preflightOf(origin, r, "authorization")).header.Get("Access-Control-Allow-Origin"); asked != reader {
					t.Errorf("the preflight allows %q, want %q", asked, reader)
				}
			})
		}
	}
}

// An environment that names no origin says nothing of the kind, and neither does one that
// is not there.
func TestNoOriginsNoCORS(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	for _, id := range []string{environmentID, unknownID} {
		got := g.do(from(pageOrigin, request{method: "GET", path: "/api/v0/sdk/" + id + "/settings"}))
		if got.header.Get("Access-Control-Allow-Origin") != "" || got.header.Get("Vary") != "" {
			t.Errorf("%s: %v, want no headers about origins", id, got.header)
		}
	}
}

// The page of an app calls its API through the gateway: it has to read why it is refused,
// be it by the gateway, by the upstream, or because there is none.
func TestPagesCanReadEveryAnswerOfProtectedRoutes(t *testing.T) {
	site := func(handlers string) string {
		return strings.NewReplacer("reverse_proxy {{upstream}}", `@down path /open/down
	reverse_proxy @down `+freeport.Address(t)+`
	reverse_proxy {{upstream}}
	`+handlers).Replace(plainSite)
	}
	for _, c := range []struct{ name, site string }{
		{"by themselves", site("")},
		{"with error routes", site("handle_errors {\n respond \"{err.status_code}\"\n}")},
		{"with all errors left to error routes", strings.Replace(site("handle_errors {\n respond \"{err.status_code}\"\n}"), "\tbyoa\n", "\tbyoa {\n pass_errors\n }\n", 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, sdkEnvironment, c.site)
			g.upstream.answer(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Access-Control-Allow-Origin", "*")
				if r.URL.Path == "/open/teapot" {
					w.WriteHeader(http.StatusTeapot)
				}
			})
			session := g.signIn("alice")
			for _, r := range []struct {
				status int
				request
			}{
				{200, request{path: "/wallets/1", bearer: session}},
				{401, request{path: "/wallets/1"}},
				{401, request{path: "/wallets/1", bearer: "x"}},
				{403, request{method: "POST", path: "/wallets/1/export", bearer: session}},
				{403, request{path: "/closed", bearer: session}},
				{400, request{path: "/wallets/..%2fclosed", bearer: session}},
				{418, request{path: "/open/teapot", bearer: session}},
				{502, request{path: "/open/down", bearer: session}},
			} {
				for origin, reader := range map[string]string{pageOrigin: pageOrigin, strangerOrigin: "", "null": ""} {
					got := g.do(from(origin, r.request))
					if got.status != r.status {
						t.Errorf("%s: %d, want %d", r.path, got.status, r.status)
					}
					g.wantReadable(r.request, got, reader)
				}
			}
		})
	}
}
