package caddymodule_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestPassErrors(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		pass_errors
	}
	reverse_proxy {{upstream}}
	handle_errors {
		respond "{err.status_code} {http.error.byoa.code}"
	}`)
	got := g.do(request{path: "/"})
	if got.status != 401 || got.raw != "401 token_missing" || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("%d %q %v", got.status, got.raw, got.header)
	}
}

func TestCookies(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			cookie_name ext
			session {
				cookie byoa
			}
			cors https://app.example.com
		}`, plainSite)
	external := g.external("alice")
	cookie := `a=1; ext=` + external + `; b="odd value"; c`
	g.want(request{path: "/open/x", cookie: cookie}, 200, "")
	if got := g.upstream.last(t).Header.Get("Cookie"); got != `a=1; b="odd value"; c` {
		t.Errorf("the upstream got the cookies %q", got)
	}
	t.Run("a page of another origin cannot use them", func(t *testing.T) {
		for name, h := range map[string]http.Header{
			"fetch metadata": {"Sec-Fetch-Site": {"cross-site"}},
			"origin":         {"Origin": {"https://evil.example"}},
		} {
			r := request{method: "POST", path: "/open/x", cookie: cookie, header: h}
			g.want(r, 403, "cross_origin")
			r.method = "GET"
			g.want(r, 200, "")
			r.header["Upgrade"], r.header["Connection"] = []string{"websocket"}, []string{"Upgrade"}
			g.want(r, 403, "cross_origin")
			r.header.Del("Upgrade")
			r.header.Del("Connection")
			r.method, r.cookie, r.bearer = "POST", "", external
			if got := g.do(r); got.status != 200 {
				t.Errorf("%s: a token in a header was refused: %d %s", name, got.status, got.code)
			}
		}
	})
	t.Run("an origin of cors can", func(t *testing.T) {
		r := request{method: "POST", path: "/open/x", cookie: cookie, header: http.Header{"Origin": {"https://app.example.com"}, "Sec-Fetch-Site": {"cross-site"}}}
		got := g.want(r, 200, "")
		if got.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" || got.header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("headers %v", got.header)
		}
	})
	t.Run("twice is one too many", func(t *testing.T) {
		g.want(request{path: "/open/x", cookie: "ext=" + external + "; ext=" + external}, 400, "bad_request")
	})
	t.Run("a session left over from somebody else is dropped", func(t *testing.T) {
		mallory := g.cookieSession("mallory")
		got := g.want(request{path: "/open/x", cookie: "ext=" + external + "; byoa=" + mallory}, 200, "")
		if claims := claimsOf(t, g.upstream.last(t).Header.Get("Authorization")); claims["external_user_id"] != "alice" {
			t.Errorf("the upstream was told %v", claims["external_user_id"])
		}
		if cleared := got.header.Get("Set-Cookie"); !strings.HasPrefix(cleared, "byoa=;") {
			t.Errorf("Set-Cookie %q, want it cleared", cleared)
		}
		got = g.want(request{path: "/open/x", cookie: "ext=" + external + "; byoa=" + g.cookieSession("alice")}, 200, "")
		if set := got.header.Get("Set-Cookie"); set != "" {
			t.Errorf("alice's own session was cleared: %q", set)
		}
	})
}

// cookieSession signs in at the endpoints and returns the value of the session cookie.
func (g *running) cookieSession(user string) string {
	g.t.Helper()
	got := g.want(request{
		method: "POST", path: "/api/v0/sdk/" + environmentID + "/externalAuth/signin",
		body: `{"jwt":"` + g.external(user) + `"}`,
	}, 200, "")
	cookies := (&http.Response{Header: got.header}).Cookies()
	if len(cookies) != 1 {
		g.t.Fatalf("%d cookies", len(cookies))
	}
	return g.secret(cookies[0].Value)
}

func TestPreflights(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			cors https://app.example.com
		}`, plainSite)
	preflight := func(origin, path string) response {
		return g.do(request{method: "OPTIONS", path: path, header: http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type"},
		}})
	}
	for _, path := range []string{"/wallets/1/export", "/api/v0/sdk/" + environmentID + "/externalAuth/signin"} {
		before := g.upstream.count()
		got := preflight("https://app.example.com", path)
		if got.status/100 != 2 || got.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
			!strings.Contains(got.header.Get("Access-Control-Allow-Methods"), "POST") || got.header.Get("Access-Control-Max-Age") != "600" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
		if g.upstream.count() != before {
			t.Errorf("%s: an answered preflight reached the upstream", path)
		}
		if got := preflight("https://evil.example", path); got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: another origin was allowed", path)
		}
	}
	// Errors are readable for the page too, or the SDK would only know that something failed.
	got := g.do(request{path: "/wallets/1", header: http.Header{"Origin": {"https://app.example.com"}}})
	if got.status != 401 || got.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("%d %v", got.status, got.header)
	}
	g.upstream.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	})
	got = g.do(request{path: "/wallets/1", bearer: g.external("alice"), header: http.Header{"Origin": {"https://app.example.com"}}})
	if values := got.header.Values("Access-Control-Allow-Origin"); len(values) != 1 || values[0] != "https://app.example.com" {
		t.Errorf("the upstream's own CORS headers got through: %q", values)
	}
}

// A browser's question carries no credential and is asked for none; with a body it is no question.
func TestPreflightWithABodyIsARequest(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	r := request{method: "OPTIONS", path: "/closed", header: http.Header{
		"Origin": {"https://other.example"}, "Access-Control-Request-Method": {"POST"},
	}}
	g.want(r, 200, "")
	r.body = "pay"
	g.want(r, 401, "token_missing")
}

// The README's recipe: a browser without a session is sent to the login page, and nothing else is.
func TestBrowserIsSentToTheLoginPage(t *testing.T) {
	recipe := ""
	for _, s := range snippets(t, "caddyfile") {
		if _, site, ok := strings.Cut(s, "\napp.example.com {\n"); ok {
			recipe = strings.ReplaceAll(strings.TrimSuffix(site, "}\n"), "localhost:3000", "{{upstream}}")
		}
	}
	g := start(t, `environment {
			{{environment}}
			cookie_name session_jwt
		}`, recipe)
	got := g.do(request{path: "/account?next=//evil.example"})
	if got.status != 303 || got.header.Get("Location") != "https://auth.example.com/login" {
		t.Errorf("%d to %q", got.status, got.header.Get("Location"))
	}
	g.want(request{path: "/account", cookie: "session_jwt=" + g.external("alice")}, 200, "")
	if got := g.do(request{method: "POST", path: "/account"}); got.status != 401 || got.raw != "401 token_missing" {
		t.Errorf("%d %q", got.status, got.raw)
	}
}
