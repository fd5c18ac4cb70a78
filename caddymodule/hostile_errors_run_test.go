package caddymodule_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	errorsSite = `byoa {
		{{keep}}
		token_header X-Session
		elevated_header X-Elevated
		claim_header X-User-Id external_id
		allow_query token
		pass_errors
	}
	step_up /wallets/* wallet:export
	handle /second/* {
		byoa {
			{{keep}}
			token_header X-Second
			claim_header X-Second-Id external_id
		}
		reverse_proxy {{upstream}}
	}
	reverse_proxy {{upstream}}
	handle_errors {
		rewrite * /error-page?{query}
		reverse_proxy {{upstream}} {
			method GET # the body may be gone
			header_up X-Asked-For {http.request.orig_uri}
		}
	}`
	errorPage = "/error-page"
)

// hangingUp is an upstream that, once it is told to, takes a request, with all that
// the gateway has put into it, and then hangs up.
func (g *running) hangingUp() (hangs *atomic.Bool) {
	hangs = new(atomic.Bool)
	g.upstream.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == errorPage || !hangs.Load() {
			return
		}
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
	})
	return hangs
}

// errorCases are requests that come to the upstream, each made anew because some are good once.
func (g *running) errorCases() map[string]func() request {
	external := g.external("alice")
	session := g.sessionFor(external)
	return map[string]func() request{
		"with an external JWT":      func() request { return request{path: "/", bearer: external} },
		"with a session":            func() request { return request{path: "/", bearer: session} },
		"with a cookie":             func() request { return request{path: "/", cookie: "ext=" + external} },
		"with the session's cookie": func() request { return request{path: "/", cookie: sessionCookie + "=" + session} },
		"with a query":              func() request { return request{path: "/?a=1&token=" + external} },
		"with a body":               func() request { return request{method: "POST", path: "/", bearer: external, body: "{}"} },
		"behind two gates":          func() request { return request{path: "/second/x", bearer: external} },
		"with an assertion": func() request {
			return request{path: "/wallets/1", bearer: external, assertion: g.assertion("alice", "wallet:export")}
		},
		"with an assertion, a cookie": func() request {
			return request{path: "/wallets/1", cookie: "ext=" + external, assertion: g.assertion("alice", "wallet:export")}
		},
	}
}

// sessionFor is what the upstream gets for an external JWT.
func (g *running) sessionFor(external string) string {
	g.t.Helper()
	g.want(request{path: "/", bearer: external}, 200, "")
	return g.secret(g.upstream.last(g.t).Header.Get("X-Session"))
}

// An error page is served by somebody else than the API, and often by another machine: what
// was meant for the API is not for it (CVE-2026-41181 of Traefik). Caddy gives it the request
// as the last handler left it.
func TestErrorPageIsNotGivenTheToken(t *testing.T) {
	g := start(t, cookieEnvironment, strings.ReplaceAll(errorsSite, "{{keep}}", ""))
	hangs := g.hangingUp()
	for name, r := range g.errorCases() {
		t.Run(name, func(t *testing.T) {
			hangs.Store(false)
			g.want(r(), 200, "")
			seen := g.upstream.last(t)
			if seen.Header.Get("X-Session") == "" || seen.Header.Get("X-User-Id") != "alice" {
				t.Fatal("the upstream is not told either: this test shows nothing")
			}
			hangs.Store(true)
			g.do(r())
			g.wantNoToken(t)
		})
	}
	t.Run("refused behind the gate", func(t *testing.T) {
		hangs.Store(false)
		r := g.errorCases()["with an assertion"]()
		g.want(r, 200, "")
		r.assertion = ""
		g.do(r) // what was injected is there already when step_up refuses
		g.wantNoToken(t)
		r.elevated = "garbage"
		g.do(r)
		g.wantNoToken(t)
	})
	t.Run("refused at the gate", func(t *testing.T) {
		const basic = "Basic YWxpY2U6"
		for _, lines := range [][]string{{basic, "Bearer " + g.external("alice")}, {"Bearer " + g.external("alice"), basic}} {
			g.do(request{path: "/", header: http.Header{"Authorization": lines}})
			g.wantNoToken(t)
		}
		g.do(request{path: "/", header: http.Header{"Authorization": {basic}}})
		if seen := g.upstream.last(t); seen.URL.Path != errorPage || seen.Header.Get("Authorization") != basic {
			t.Errorf("the control: %s got Authorization %q", seen.URL.Path, seen.Header["Authorization"])
		}
	})
}

// wantNoToken fails the test if the error page, which has to have been asked last, was told
// who asks, or given anything that it could ask as that user with.
func (g *running) wantNoToken(t *testing.T) {
	t.Helper()
	seen := g.upstream.last(t)
	if seen.URL.Path != errorPage {
		t.Fatalf("the error page was not asked last, but %s", seen.URL.Path)
	}
	for _, name := range []string{"X-Session", "X-Elevated", "X-User-Id", "X-Second", "X-Second-Id", "X-Step-Up-Assertion", "X-Dyn-Elevated-Access-Token"} {
		if got := seen.Header[name]; len(got) > 0 {
			t.Errorf("the error page got %s", name)
		}
	}
	if name := heldBy(seen, g.tokens()); name != "" {
		t.Errorf("the error page got a token in %s", name)
	}
}

// tokens are all that this test handed out or the upstream was given.
func (g *running) tokens() []string { return slices.Concat(g.secrets, g.upstream.tokens()) }

// heldBy says where in a request there is a part of one of these tokens, if anywhere.
func heldBy(r *http.Request, tokens []string) string {
	places := map[string]string{"the URI": r.RequestURI}
	for _, h := range []http.Header{r.Header, r.Trailer} {
		for name, values := range h {
			places[name] += strings.Join(values, "\n")
		}
	}
	for place, text := range places {
		for _, token := range tokens {
			if shownSegment(text, token) != "" {
				return place
			}
		}
	}
	return ""
}

// keep_external is the one who says that the login system's token is everybody's business
// behind the gate. What the gateway has minted still is not.
func TestErrorPageIsGivenNoMoreThanTheExternalJWTThatIsKept(t *testing.T) {
	g := start(t, cookieEnvironment, strings.ReplaceAll(errorsSite, "{{keep}}", "keep_external"))
	hangs := g.hangingUp()
	external := g.external("alice")
	session := g.sessionFor(external)
	hangs.Store(true)
	for name, c := range map[string]struct {
		r    request
		kept string
	}{
		"an external JWT": {request{path: "/", bearer: external}, "Authorization"},
		"in a cookie":     {request{path: "/second/x", cookie: "ext=" + external}, "Cookie"},
		"a session":       {request{path: "/", bearer: session}, ""},
	} {
		g.do(c.r)
		seen := g.upstream.last(t)
		if seen.URL.Path != errorPage {
			t.Fatalf("%s: the error page was not asked last, but %s", name, seen.URL.Path)
		}
		if got := heldBy(seen, []string{external}); got != c.kept {
			t.Errorf("%s: the error page got the external JWT in %q, want %q", name, got, c.kept)
		}
		others := slices.DeleteFunc(g.tokens(), func(token string) bool { return token == external })
		others = slices.DeleteFunc(others, func(token string) bool { return token == "ext="+external })
		if place := heldBy(seen, others); place != "" || seen.Header.Get("X-User-Id") != "" {
			t.Errorf("%s: the error page got a token of ours in %s, X-User-Id %q", name, place, seen.Header.Get("X-User-Id"))
		}
	}
}

// `tracing` hands on a copy of the request. What the gate takes out of the query is still
// in the server's own, of which Caddy makes {http.request.orig_uri}: a header for the upstream,
// a redirect of the error route or a span would carry the token on.
func TestQueryTokenDoesNotComeBackUnderTracing(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "byoa_test")
	spans.take()
	const site = `byoa {
		allow_query token
	}
	handle /twice {
		byoa {
			allow_query token
		}
		reverse_proxy {{upstream}}
	}
	reverse_proxy /dead 127.0.0.1:1
	reverse_proxy {{upstream}} {
		header_up X-Asked-For {http.request.orig_uri}
		header_up X-Asked-Query {http.request.orig_uri.query}
		header_up X-Uri {http.request.uri}
	}
	handle_errors {
		redir https://login.example/?next={http.request.orig_uri} 303
	}`
	g := prepare(t)
	external := g.external("alice")
	for name, tracing := range map[string]string{
		"not traced": "",
		"traced":     "tracing {\nspan_attributes {\nasked {http.request.orig_uri}\n}\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			g.load(plainEnvironment, tracing+site)
			for _, bearer := range []string{"", external} { // which decides, and the query all the same goes
				g.want(request{path: "/x?a=1&token=" + external, bearer: bearer}, 200, "")
				seen := g.upstream.last(t)
				if h := seen.Header; h.Get("X-Asked-For") != "/x?a=1" || h.Get("X-Asked-Query") != "a=1" || h.Get("X-Uri") != "/x?a=1" || seen.RequestURI != "/x?a=1" {
					t.Errorf("the upstream got %q, %q, %q and %q", h.Get("X-Asked-For"), h.Get("X-Asked-Query"), h.Get("X-Uri"), seen.RequestURI)
				}
			}
			g.want(request{path: "/twice?token=" + external}, 200, "")
			got := g.do(request{path: "/dead?token=" + external + "&a=1"})
			if location := got.header.Get("Location"); got.status != 303 || location != "https://login.example/?next=/dead?a=1" {
				t.Errorf("%d to %q", got.status, location)
			}
			g.load(plainEnvironment, site) // the last config with tracing exports when it goes
			asked := spanAttribute("asked")
			if want := map[string]int{"not traced": 0, "traced": 4}[name]; len(asked) != want {
				t.Errorf("%d requests were traced, want %d: this test shows nothing", len(asked), want)
			}
			for _, uri := range asked {
				if shownSegment(uri, external) != "" {
					t.Errorf("a span shows %d bytes of URI", len(uri))
				}
			}
		})
	}
}

// spanAttribute is what the spans that were exported say under a key.
func spanAttribute(key string) (values []string) {
	for _, span := range spans.take() {
		for _, a := range span.Attributes() {
			if string(a.Key) == key {
				values = append(values, a.Value.AsString())
			}
		}
	}
	return values
}
