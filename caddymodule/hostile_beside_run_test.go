package caddymodule_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

const besideSite = `byoa /private/* {
		token_header X-Session
		elevated_header X-Elevated
		claim_header X-User-Id external_id
		claim_header X-Level level
	}
	reverse_proxy {{upstream}}`

// besideNames are what only the gate of besideSite may set, and what asks for another route or
// proves a step-up: none of these is a client's to say to an upstream behind a gate.
var besideNames = []string{
	"X-Session", "X-Elevated", "X-User-Id", "X-Level",
	"X-HTTP-Method-Override", "X-Original-URL", "X-Dyn-Elevated-Access-Token", "X-Step-Up-Assertion",
}

// One upstream has both kinds of routes, and believes X-User-Id wherever it reads it: with a gate
// for /private alone, a client wrote it on /public (CVE-2026-30851 of Caddy was of that kind).
func TestClientCannotSayWhoItIsBesideTheGate(t *testing.T) {
	for _, c := range []struct {
		name      string
		servers   []string
		spellings func(name string) []string
	}{
		{"as it is written", nil, func(name string) []string { return []string{name, strings.ToUpper(name)} }},
		{"as CGI writes it", admitting("X-User-Id", "X-Level"), aliases},
	} {
		t.Run(c.name, func(t *testing.T) {
			names := besideNames
			if c.servers != nil {
				names = []string{"X-User-Id", "X-Level"}
			}
			r := wireRequest{method: "GET", target: "/public", lines: [][2]string{{"Authorization", "Basic b3duOm93bg=="}}}
			for _, name := range names {
				for _, spelling := range c.spellings(name) {
					r.lines = append(r.lines, [2]string{spelling, "evil"}, [2]string{neighbour(spelling), "harmless"})
				}
			}
			g := startWire(t, plainEnvironment, besideSite, c.servers...)
			overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
				if got := send(r); got.status != 200 {
					t.Fatalf("%d %s", got.status, got.body)
				}
				h := g.upstream.last(t).Header
				if n := timesIn(h, "evil"); n != 0 {
					t.Errorf("%d headers that only the gate may set arrived: %v", n, h)
				}
				if n := timesIn(h, "harmless"); n == 0 || n != (len(r.lines)-1)/2 {
					t.Errorf("%d of %d headers that are nobody's arrived", n, (len(r.lines)-1)/2)
				}
				if h.Get("Authorization") != "Basic b3duOm93bg==" {
					t.Errorf("what is between the client and the upstream was taken: %q", h.Get("Authorization"))
				}
			})
		})
	}
}

// timesIn counts the headers of a value.
func timesIn(h http.Header, value string) int {
	n := 0
	for _, values := range h {
		for _, v := range values {
			if v == value {
				n++
			}
		}
	}
	return n
}

// On a route without a gate, Authorization is between the client and the upstream, even where the
// gate puts its token there, as it does by default.
func TestAuthorizationBesideTheGateIsTheClients(t *testing.T) {
	g := start(t, plainEnvironment, "byoa /private/*\n reverse_proxy {{upstream}}")
	const own = "Basic b3duOm93bg=="
	g.want(request{path: "/public", header: http.Header{"Authorization": {own}}}, 200, "")
	if got := g.upstream.last(t).Header.Get("Authorization"); got != own {
		t.Errorf("the upstream got %q, want %q", got, own)
	}
	g.want(request{path: "/private/x", header: http.Header{"Authorization": {own}}}, 401, "token_missing")
}

// Servers merge trailers into the headers, and there the last one speaks.
func TestClientCannotSayWhoItIsInATrailerBesideTheGate(t *testing.T) {
	g := startWire(t, plainEnvironment, besideSite)
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, name := range []string{"X-User-Id", "x_user_id", "X.Level", "X-SESSION"} {
			for _, announced := range []string{"X-Honest", "X-Honest, " + name} {
				got := send(wireRequest{
					method: "POST", target: "/public", body: "hello", lines: [][2]string{{"Trailer", announced}},
					trailers: [][2]string{{"X-Honest", "kept"}, {name, "evil"}},
				})
				if got.status != 200 {
					t.Fatalf("%s: %d %s", name, got.status, got.body)
				}
				trailer := g.upstream.last(t).Trailer
				if timesIn(trailer, "evil") != 0 {
					t.Errorf("%s, announced as %q, arrived: %v", name, announced, trailer)
				}
				if !strings.HasSuffix(t.Name(), "/HTTP/3.0") && trailer.Get("X-Honest") != "kept" {
					t.Errorf("beside %s: X-Honest is %q", name, trailer.Get("X-Honest"))
				}
			}
		}
	})
}

// What cleans the requests beside a gate comes after it, and must leave alone what it has set.
func TestWhatTheGateSetIsNotTakenBesideIt(t *testing.T) {
	g := start(t, plainEnvironment, besideSite)
	g.want(request{path: "/private/x"}, 401, "token_missing")
	g.want(request{path: "/private/x", bearer: g.external("alice", map[string]any{"level": 3}), header: http.Header{"X-Level": {"9"}}}, 200, "")
	h := g.upstream.last(t).Header
	if h.Get("X-User-Id") != "alice" || !slices.Equal(h["X-Level"], []string{"3"}) || claimsOf(t, h.Get("X-Session"))["token_use"] != "session" {
		t.Errorf("the upstream got %v", h)
	}
}

// Each of two gates leaves out what the other one takes in, so what the one sets, a client could say on
// the routes of the other; and each has a handler beside it that comes after both.
func TestTwoGatesCleanBesideEachOther(t *testing.T) {
	g := start(t, plainEnvironment, `byoa /a/* {
		token_header X-A
		claim_header X-A-User external_id
		allow_path semicolon
	}
	byoa /b/* {
		token_header X-B
		claim_header X-B-User external_id
	}
	reverse_proxy {{upstream}}`)
	forged := http.Header{"X-A-User": {"evil"}, "X-B-User": {"evil"}, "X-A": {"evil"}, "X-B": {"evil"}, "X-C-User": {"harmless"}}
	for path, user := range map[string]string{"/a/x": "X-A-User", "/b/x": "X-B-User", "/c/x": ""} {
		r := request{path: path, header: forged}
		if user != "" {
			r.bearer = g.external("alice")
		}
		g.want(r, 200, "")
		h := g.upstream.last(t).Header
		if timesIn(h, "evil") != 0 || h.Get("X-C-User") != "harmless" || user != "" && h.Get(user) != "alice" {
			t.Errorf("%s: the upstream got %v", path, h)
		}
	}
	bearer := g.external("alice")
	g.want(request{path: "/a/x;y", bearer: bearer}, 200, "") // the gate that let it on has judged it
	g.want(request{path: "/b/x;y", bearer: bearer}, 400, "ambiguous_path")
	g.want(request{path: "/c/x;y", bearer: bearer}, 400, "ambiguous_path")
}

// An upgrade to h2c beside the gate would lead to an upstream that then reads requests for
// /private which no gate has seen.
func TestNoUpgradeLeadsPastTheGate(t *testing.T) {
	g := start(t, plainEnvironment, besideSite)
	for offer, want := range map[string]string{"h2c": "", "websocket": "websocket"} {
		g.raw("GET /public HTTP/1.1\r\nHost: " + g.address + "\r\nConnection: Upgrade, close\r\nUpgrade: " + offer + "\r\n\r\n")
		if got := g.upstream.last(t).Header.Get("Upgrade"); got != want {
			t.Errorf("the upstream was offered %q, want %q", got, want)
		}
	}
}

// oddPaths are what Caddy's matcher for /admin takes for another path, and what some upstream takes
// for one below /admin; beside each, one that differs in nothing but the odd byte.
var oddPaths = []struct{ odd, plain, seen string }{
	{"/admin%252fx", "/admin%41fx", "double_encoding"},
	{"/public/%252e%252e/admin/x", "/public/%41e%41e/admin/x", "double_encoding"},
	{"/admin;a=b", "/admin,a=b", "semicolon"},
	{"/admin;/x", "/admin,/x", "semicolon"},
	{"/public/..;/admin/x", "/public/..,/admin/x", "dot_segment"},
	{"/admin%00", "/admin%41", "control_character"},
	{"/admin%5cx", "/admin%41x", "backslash"},
	{"/public/..%5cadmin", "/public/..%41admin", "dot_segment"},
	{"/admin.", "/adminA", "trailing_dot"},
	{"/admin%20", "/admin%41", "trailing_dot"},
}

// These reach the upstream without any token if only the gate looks at paths, for it is not even
// asked (measured; CVE-2026-40912 of Traefik and GHSA-r9fw-vxmp-hwf2 of heimdall were of that kind).
func TestOddPathDoesNotPassBesideTheGate(t *testing.T) {
	g := startWire(t, plainEnvironment, `@admin path /admin /admin/*
	byoa @admin
	reverse_proxy {{upstream}}`)
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		g.wantTarget(t, send, wireRequest{target: "/admin/x"}, 401, "token_missing")
		g.wantTarget(t, send, wireRequest{target: "/ADMIN"}, 401, "token_missing")
		for _, c := range oddPaths {
			g.wantTarget(t, send, wireRequest{target: c.odd}, 400, c.seen)
			g.wantTarget(t, send, wireRequest{target: c.plain}, 200, "upstream")
		}
	})
}

// Whoever knows that the upstream reads such paths as Caddy does says so once, to the gate.
func TestAllowedPathPassesBesideTheGate(t *testing.T) {
	g := start(t, plainEnvironment, `byoa /admin/* {
		allow_path semicolon
		pass_errors
	}
	handle_errors {
		respond "code {http.error.byoa.code}"
	}
	reverse_proxy {{upstream}}`)
	g.want(request{path: "/public;a=b"}, 200, "")
	if got := g.want(request{path: "/public%5cb"}, 400, ""); got.raw != "code ambiguous_path" {
		t.Errorf("the error route says %q", got.raw)
	}
}

// Where a step_up is beside its gate it refuses, as without any: what is beside a gate is nobody's.
func TestBesideTheGateNobodyIsSignedIn(t *testing.T) {
	g := start(t, plainEnvironment, `byoa /private/* {
		allow_query access_token
	}
	step_up * wallet:export
	reverse_proxy {{upstream}}`)
	g.want(request{path: "/public", bearer: g.external("alice"), assertion: g.assertion("alice", "wallet:export")}, 500, "internal_error")
	g.want(request{path: "/private/x", bearer: g.external("alice"), assertion: g.assertion("alice", "wallet:export")}, 200, "")
}
