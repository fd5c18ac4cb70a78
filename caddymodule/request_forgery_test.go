package caddymodule_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// A client must not be able to say in its own words what only the gateway may say,
// on no kind of route, in no spelling, whether the claim is there or not.
func TestForgedHeadersNeverReachTheUpstream(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		optional
		elevated_header X-Elevated
		claim_header X-User-Id user_id
		claim_header X-User-Email email
	}
	reverse_proxy {{upstream}}`)
	forged := http.Header{}
	for _, name := range []string{"X-User-Id", "X-User-Email", "X-Elevated", "X-Dyn-Elevated-Access-Token", "X-Step-Up-Assertion"} {
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), strings.Replace(name, "-", "_", 1)} {
			if http.CanonicalHeaderKey(spelling) == "X-Dyn-Elevated-Access-Token" || http.CanonicalHeaderKey(spelling) == "X-Step-Up-Assertion" {
				continue // these are read; here they would be garbage
			}
			forged[spelling] = []string{"evil", "evil again"}
		}
	}
	for _, name := range []string{"X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL", "x_original_url"} {
		forged[name] = []string{"/evil"}
	}
	forged["X-Honest"] = []string{"kept"}
	for who, bearer := range map[string]string{"anonymous": "", "alice": g.external("alice")} {
		g.want(request{path: "/", bearer: bearer, header: forged}, 200, "")
		seen := g.upstream.last(t)
		for name, values := range seen.Header {
			if strings.Contains(strings.Join(values, " "), "evil") {
				t.Errorf("%s: %s: %q reached the upstream", who, name, values)
			}
		}
		if seen.Header.Get("X-Honest") != "kept" {
			t.Errorf("%s: an honest header is gone", who)
		}
		if got := seen.Header.Get("X-User-Id") != ""; got != (who == "alice") {
			t.Errorf("%s: X-User-Id set: %t", who, got)
		}
	}
}

// With "Connection: x-user-id" a client would have the proxy delete what the gateway has set.
func TestConnectionCannotDeleteWhatWasInjected(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		claim_header X-User-Id user_id
	}
	reverse_proxy {{upstream}}`)
	raw := g.raw("GET / HTTP/1.1\r\nHost: " + g.address + "\r\nAuthorization: Bearer " + g.external("alice") +
		"\r\nConnection: close, Authorization\r\nconnection: X-USER-ID\r\n\r\n")
	if !strings.HasPrefix(raw, "HTTP/1.1 200") {
		t.Fatalf("answer %q", raw)
	}
	seen := g.upstream.last(t)
	if seen.Header.Get("Authorization") == "" || seen.Header.Get("X-User-Id") == "" {
		t.Errorf("deleted on the client's behalf: %v", seen.Header)
	}
}

// raw sends bytes as they are and returns the answer.
func (g *running) raw(request string) string {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		g.t.Fatal(err)
	}
	answer, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil {
		g.t.Fatal(err)
	}
	g.kept.Learn("a request", request)
	if res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil); err == nil {
		if got, err := readResponse(res); err == nil {
			g.said("a raw request", got.status, got.header, got.raw)
		}
	}
	return string(answer)
}

// A credential in a trailer is held against nothing, and many servers merge trailers into
// the headers: it would speak beside the session, or in its place.
func TestForgedTrailersNeverReachTheUpstream(t *testing.T) {
	g := start(t, strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\n\t\t\theader X-Login", 1), `byoa {
		token_header X-Session
		claim_header X-User-Id user_id
	}
	reverse_proxy {{upstream}}`)
	for _, forged := range []string{"X-User-Id", "X-Session", "Authorization", "Proxy-Authorization", "Cookie", "X-Login", "x_login", "AUTHORIZATION"} {
		raw := g.raw("POST / HTTP/1.1\r\nHost: " + g.address + "\r\nX-Login: " + g.external("alice") +
			"\r\nConnection: close\r\nTrailer: X-Honest\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"2\r\nhi\r\n0\r\nX-Honest: kept\r\n" + forged + ": evil\r\n\r\n")
		if !strings.HasPrefix(raw, "HTTP/1.1 200") {
			t.Fatalf("%s: answer %q", forged, raw)
		}
		seen := g.upstream.last(t)
		for name, values := range seen.Trailer {
			if slices.Contains(values, "evil") {
				t.Errorf("the trailer %s reached the upstream as %s", forged, name)
			}
		}
		if got := seen.Trailer.Get("X-Honest"); got != "kept" {
			t.Errorf("beside %s, the trailer X-Honest is %q", forged, got)
		}
	}
}

// An error route is another upstream: it must not get the token that was meant for the first.
func TestErrorRoutesGetNoToken(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		claim_header X-User-Id user_id
		allow_query token
	}
	reverse_proxy /dead 127.0.0.1:1
	reverse_proxy {{upstream}}
	handle_errors {
		rewrite * /error-page?{query}
		reverse_proxy {{upstream}}
	}`)
	external := g.external("alice")
	for name, r := range map[string]request{
		"in the header": {path: "/dead", bearer: external},
		"in the query":  {path: "/dead?token=" + external},
	} {
		g.do(r)
		seen := g.upstream.last(t)
		if seen.URL.Path != "/error-page" {
			t.Fatalf("%s: the error route was not asked, but %s", name, seen.URL.Path)
		}
		if seen.Header.Get("Authorization") != "" || seen.Header.Get("X-User-Id") != "" || strings.Contains(seen.URL.RawQuery, "ey") {
			t.Errorf("%s: the error route got %v, query %q", name, seen.Header, seen.URL.RawQuery)
		}
	}
	g.want(request{path: "/alive", bearer: external}, 200, "")
	if g.upstream.last(t).Header.Get("Authorization") == "" {
		t.Error("the upstream got no token either: this test shows nothing")
	}
}

// A second gate of the same environment decides nothing anew, but what it says must hold.
func TestASecondGateKeepsItsPromises(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		optional
		allow_path semicolon
	}
	route /private* {
		byoa {
			claim_header X-User external_id
			allow_query token
		}
		reverse_proxy {{upstream}}
	}
	route /public {
		byoa {
			optional
			claim_header X-User external_id
		}
		reverse_proxy {{upstream}}
	}`)
	mallory := g.external("mallory")
	forged := http.Header{"X-User": {"alice"}, "x_user": {"alice"}}
	g.want(request{path: "/private"}, 401, "token_missing")
	g.want(request{path: "/private?a=1&token=" + g.external("bob"), bearer: mallory, header: forged}, 200, "")
	seen := g.upstream.last(t)
	if seen.Header.Get("X-User") != "mallory" || seen.Header.Get("x_user") != "" || seen.URL.RawQuery != "a=1" || seen.Header.Get("Authorization") == "" {
		t.Errorf("the upstream got %v, query %q", seen.Header, seen.URL.RawQuery)
	}
	g.want(request{path: "/private;a", bearer: mallory}, 400, "ambiguous_path") // what the first one allows
	g.want(request{path: "/private,a", bearer: mallory}, 200, "")
	g.want(request{path: "/public", header: forged}, 200, "")
	if seen := g.upstream.last(t); len(seen.Header.Values("X-User")) != 0 {
		t.Errorf("nobody was called %q", seen.Header.Get("X-User"))
	}
}

func TestGatesOfTwoEnvironmentsRefuseTheRequest(t *testing.T) {
	g := start(t, `environment one {
			{{environment}}
			assertion {
				audience one
			}
		}
		environment two {
			issuer https://two.example
			jwks_url https://two.example/jwks
			store memory
		}`, `byoa one
	route /two {
		byoa two
		reverse_proxy {{upstream}}
	}
	reverse_proxy {{upstream}}`)
	alice := g.external("alice")
	g.want(request{path: "/two", bearer: alice}, 500, "internal_error")
	g.want(request{path: "/one", bearer: alice}, 200, "")
}

// Caddy keeps the URI as it came in two more places; a redirect or a header made of it would carry the token on.
func TestQueryTokenIsInNoPlaceholder(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		allow_query token
	}
	reverse_proxy /dead 127.0.0.1:1
	reverse_proxy {{upstream}} {
		header_up X-Original-Uri {http.request.orig_uri}
		header_up X-Uri {http.request.uri}
	}
	handle /page {
		templates
		respond "{{.Req.RequestURI}}"
	}
	handle_errors {
		redir https://login.example/?next={http.request.orig_uri} 303
	}`)
	external := g.external("alice")
	g.want(request{path: "/x?a=1&token=" + external}, 200, "")
	if h := g.upstream.last(t).Header; h.Get("X-Original-Uri") != "/x?a=1" || h.Get("X-Uri") != "/x?a=1" {
		t.Errorf("the upstream got %q and %q", h.Get("X-Original-Uri"), h.Get("X-Uri"))
	}
	if got := g.want(request{path: "/page?a=1&token=" + external}, 200, ""); got.raw != "/page?a=1" {
		t.Errorf("a template shows %q", got.raw)
	}
	got := g.do(request{path: "/dead?a=1&token=" + external})
	if location := got.header.Get("Location"); got.status != 303 || location != "https://login.example/?next=/dead?a=1" {
		t.Errorf("%d to %q", got.status, location)
	}
}

// What is rewritten between the gate and the guard is judged as it is then.
func TestPathRewrittenBehindTheGateIsJudged(t *testing.T) {
	g := start(t, plainEnvironment, `route {
		byoa
		rewrite /odd /open/..%2fclosed
		rewrite /even /open/x
		step_up {
			/open/{rest...} -
		}
		reverse_proxy {{upstream}}
	}`)
	alice := g.external("alice")
	g.want(request{path: "/odd", bearer: alice}, 400, "ambiguous_path")
	g.want(request{path: "/even", bearer: alice}, 200, "")
}

// With log_credentials Caddy writes Authorization out; the endpoints are called with it whatever the gates read.
func TestLoggedCredentialsOfTheEndpointsAreHidden(t *testing.T) {
	g := prepare(t)
	g.options = "servers {\nlog_credentials\n}"
	g.load(`environment {
			{{environment}}
			header X-External
		}`, `byoa_api
	byoa {
		token_header X-Session
	}
	reverse_proxy {{upstream}}`)
	g.elevate(g.signIn("alice"), "alice", "wallet:export")
	g.want(request{path: "/", header: http.Header{"X-External": {g.external("alice")}, "X-Honest": {"kept"}}}, 200, "")
	if log, err := os.ReadFile(g.logFile); err != nil || !strings.Contains(string(log), "X-Honest") {
		t.Errorf("the log shows no headers at all, so this test shows nothing (%v)", err)
	}
}

// It writes cookies out too, and those of a gate are as good as its header. Their names are of this test alone:
// what was hidden once stays hidden in this process.
func TestLoggedCookiesOfAGateAreHidden(t *testing.T) {
	g := prepare(t)
	g.options = "servers {\nlog_credentials\n}"
	g.load(`environment {
			{{environment}}
			cookie_name logged-ext
			session {
				cookie __Host-logged
			}
		}`, `byoa {
		token_header X-Session
	}
	reverse_proxy {{upstream}}`)
	external := g.external("alice")
	session := g.sessionFor(external)
	g.want(request{path: "/", cookie: "logged-ext=" + external + "; __Host-logged=" + session + "; DYNAMIC_JWT_TOKEN=" + session + "; other=honest"}, 200, "")
	if log, err := os.ReadFile(g.logFile); err != nil || !strings.Contains(string(log), "other=honest") {
		t.Errorf("the log shows no cookies at all, so this test shows nothing (%v)", err)
	}
}
