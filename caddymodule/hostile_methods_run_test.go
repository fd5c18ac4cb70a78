package caddymodule_test

import (
	"strings"
	"testing"
)

// methodCase is one request whose method differs from that of a request which is known to
// reach the upstream, or to be refused, by what it needs.
type methodCase struct {
	method, path string
	want         int // 400 is also what the server says itself, if it says anything, to what is no request
}

// runMethods sends each of the cases over every protocol, by somebody who has a session.
func runMethods(t *testing.T, g *running, cases []methodCase) {
	t.Helper()
	bearer := [][2]string{{"Authorization", "Bearer " + g.external("alice")}}
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, c := range cases {
			before := g.upstream.count()
			got := send(wireRequest{method: c.method, target: c.path, lines: bearer})
			if got.status == 0 {
				got.status = 400
			}
			if got.status != c.want {
				t.Errorf("%s %s: %d %s, want %d", c.method, c.path, got.status, got.body, c.want)
			}
			if reached := g.upstream.count() > before; reached != (c.want == 200) {
				t.Errorf("%s %s reached the upstream: %t", c.method, c.path, reached)
			}
		}
	})
}

// An upstream that takes `post` or an unknown method for the POST that it has would export a wallet
// for a session alone, which no line of the table lets anybody do.
func TestMethodDoesNotPassBesideTheTable(t *testing.T) {
	g := startWire(t, plainEnvironment, plainSite)
	runMethods(t, g, []methodCase{
		{"GET", "/wallets/1", 200},
		{"HEAD", "/wallets/1", 200},
		{"get", "/wallets/1", 400},
		{"Get", "/wallets/1", 400},
		{"TRACE", "/wallets/1", 400},
		{"POST", "/wallets/1", 403},
		{"OPTIONS", "/wallets/1", 403}, // no preflight
		{"POST", "/wallets/1/export", 403},
		{"post", "/wallets/1/export", 400},
		{"pOST", "/wallets/1/export", 400},
		{"TRACE", "/wallets/1/export", 400},
		{"trace", "/wallets/1/export", 400},
		{"GET", "/wallets/1/export", 403},
		{"HEAD", "/wallets/1/export", 403},
		{"OPTIONS", "/wallets/1/export", 403},
		{"PROPFIND", "/wallets/1/export", 403},
		{"M-SEARCH", "/wallets/1/export", 403},
		{"GET%20", "/wallets/1/export", 403},
		{"POSTX", "/wallets/1/export", 403},
		{"POST ", "/wallets/1/export", 400},
		{"PO\tST", "/wallets/1/export", 400},
		{"", "/wallets/1/export", 400},
		{"TRACE", "/open/x", 400},
		{"FOO", "/open/x", 200}, // a line for any method
	})
}

// `default session` lets on what nobody thought of, and nobody thinks of FOO: not what has a line.
func TestMethodDoesNotPassBesideTheDefault(t *testing.T) {
	g := startWire(t, plainEnvironment, `byoa
	step_up {
		POST /wallets/{id}/export wallet:export
		default session
	}
	reverse_proxy {{upstream}}`)
	runMethods(t, g, []methodCase{
		{"POST", "/wallets/1/export", 403},
		{"PUT", "/wallets/1/export", 200}, // an ordinary one: the default says what becomes of it
		{"FOO", "/wallets/1/export", 403},
		{"PROPFIND", "/wallets/1/export", 403},
		{"TRACE", "/wallets/1/export", 400},
		{"post", "/wallets/1/export", 400},
		{"FOO", "/elsewhere", 200},
		{"TRACE", "/elsewhere", 400},
	})
}

// Caddy's matcher compares methods letter by letter. What it takes for another method than POST,
// the gate must not hand to an upstream that takes it for POST.
func TestMethodDoesNotPassBesideAMatcher(t *testing.T) {
	g := startWire(t, plainEnvironment, `byoa
	@export {
		method POST
		path /wallets/*/export
	}
	step_up @export wallet:export
	reverse_proxy {{upstream}}`)
	runMethods(t, g, []methodCase{
		{"POST", "/wallets/1/export", 403},
		{"post", "/wallets/1/export", 400},
		{"Post", "/wallets/1/export", 400},
		{"TRACE", "/wallets/1/export", 400},
		{"GET", "/wallets/1/export", 200},
		{"FOO", "/wallets/1/export", 200}, // as Caddy matches: guard by path, not by method
	})
}

// Where the gate itself has such a matcher, what it leaves out is not even asked for a token.
func TestMethodDoesNotPassBesideAGateWithAMatcher(t *testing.T) {
	g := startWire(t, plainEnvironment, `@writes method POST PUT
	byoa @writes
	reverse_proxy {{upstream}}`)
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for method, want := range map[string]int{
			"POST": 401, "post": 400, "pUT": 400, "PUT": 401, "GET": 200, "get": 400,
			"TRACE": 400, "PROPFIND": 200, // an upstream would say what proxies in front have added
		} {
			if got := send(wireRequest{method: method, target: "/"}); got.status != want {
				t.Errorf("%s: %d %s, want %d", method, got.status, got.body, want)
			}
		}
	})
}

// TRACE is refused because of what an upstream answers to it: all that it was given.
func TestTraceDoesNotBringTheTokenBack(t *testing.T) {
	g := startWire(t, plainEnvironment, `byoa {
		optional
	}
	reverse_proxy {{upstream}}`)
	for _, lines := range [][][2]string{nil, {{"Authorization", "Bearer " + g.external("alice")}}} {
		overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
			before := g.upstream.count()
			if got := send(wireRequest{method: "TRACE", target: "/", lines: lines}); got.status != 400 || !strings.Contains(got.body, `"bad_request"`) {
				t.Errorf("TRACE: %d %s", got.status, got.body)
			}
			if g.upstream.count() != before {
				t.Error("TRACE reached the upstream")
			}
			if got := send(wireRequest{method: "PROPFIND", target: "/", lines: lines}); got.status != 200 {
				t.Errorf("the control: %d %s", got.status, got.body)
			}
		})
	}
}

// A framework that honours such a header serves another method than the one that was decided on.
func TestOverrideOfTheMethodDoesNotArrive(t *testing.T) {
	names := []string{"X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"}
	for _, c := range []struct {
		name      string
		servers   []string
		spellings func(name string) []string
	}{
		{"as it is written", nil, func(name string) []string { return []string{name, strings.ToLower(name), strings.ToUpper(name)} }},
		{"as CGI writes it", admitting(names...), aliases},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines [][2]string
			for _, name := range names {
				for _, spelling := range c.spellings(name) {
					lines = append(lines, [2]string{spelling, "DELETE"}, [2]string{neighbour(spelling), "harmless"})
				}
			}
			g := startWire(t, plainEnvironment, plainSite, c.servers...)
			external := g.external("alice")
			overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
				g.wantMethodKept(t, send, wireRequest{method: "GET", target: "/wallets/1", lines: append([][2]string{
					{"Authorization", "Bearer " + external},
				}, lines...)})
				g.wantMethodKept(t, send, wireRequest{method: "OPTIONS", target: "/wallets/1", lines: append([][2]string{ // is passed on
					{"Origin", "https://app.example"}, {"Access-Control-Request-Method", "POST"},
				}, lines...)})
			})
		})
	}
}

// wantMethodKept fails the test unless the request reaches the upstream with its method, all
// that is harmless, and nothing that says DELETE.
func (g *running) wantMethodKept(t *testing.T, send func(wireRequest) wireAnswer, r wireRequest) {
	t.Helper()
	before := g.upstream.count()
	if got := send(r); got.status != 200 || g.upstream.count() != before+1 {
		t.Fatalf("%s: %d %s", r.method, got.status, got.body)
	}
	seen := g.upstream.last(t)
	if seen.Method != r.method {
		t.Errorf("%s became %s", r.method, seen.Method)
	}
	sent := 0
	for _, line := range r.lines {
		if line[1] == "harmless" {
			sent++
		}
	}
	if arrived := timesIn(seen.Header, "harmless"); sent == 0 || arrived != sent {
		t.Errorf("%s: of %d headers that are harmless, %d arrived", r.method, sent, arrived)
	}
	if timesIn(seen.Header, "DELETE") != 0 {
		t.Errorf("%s: another method arrived in %v", r.method, seen.Header)
	}
}
