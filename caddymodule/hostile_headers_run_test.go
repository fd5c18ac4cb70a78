package caddymodule_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// guardedNames are all headers that the gates of [guardedSite] keep for themselves, but
// for those that the credential and the proofs are read from, which a client does send.
var guardedNames = []string{
	"X-Session", "X-Elevated", "X-User-Id", "X-User-Email", // the gateway sets these
	"X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL",
}

// readNames are those: no other spelling of them is read, or passed on.
var readNames = []string{"X-Login", "X-Dyn-Elevated-Access-Token", "X-Step-Up-Assertion"}

const (
	guardedSite = `handle /optional {
		byoa {
			optional
			token_header X-Session
			elevated_header X-Elevated
			claim_header X-User-Id external_id
			claim_header X-User-Email email
		}
		reverse_proxy {{upstream}}
	}
	handle {
		byoa {
			token_header X-Session
			elevated_header X-Elevated
			claim_header X-User-Id external_id
			claim_header X-User-Email email
		}
		reverse_proxy {{upstream}}
	}`
	guardedEnvironment = `environment {
			{{environment}}
			header X-Login
			cookie_name ext
			session {
				cookie ` + sessionCookie + `
			}
		}`
)

// foldings are the ways to write a name with '-', '_' or '.' where it has '-': CGI and its heirs
// make '_' of all three (CVE-2025-64484 of oauth2-proxy, CVE-2026-54763 of Traefik, CVE-2026-52845 of Caddy).
func foldings(name string) []string {
	all := []string{""}
	for i, word := range strings.Split(name, "-") {
		var longer []string
		for _, begun := range all {
			if i == 0 {
				longer = append(longer, word)
				continue
			}
			for _, separator := range []string{"-", "_", "."} {
				longer = append(longer, begun+separator+word)
			}
		}
		all = longer
	}
	return all
}

// aliases are the foldings of a name but for the name itself.
func aliases(name string) []string { return foldings(name)[1:] }

// neighbour is a name that differs from the one given in its last letter, and is nobody's.
func neighbour(name string) string { return name[:len(name)-1] + "q" }

// admitting are the lines for the option `servers` with which Caddy lets all aliases of these
// names through, which it drops by itself otherwise.
func admitting(names ...string) []string {
	var underscores, dots []string
	for _, name := range names {
		for _, alias := range slices.Concat(aliases(name), aliases(neighbour(name))) {
			if strings.Contains(alias, "_") {
				underscores = append(underscores, alias)
			} else {
				dots = append(dots, alias)
			}
		}
	}
	return []string{
		"expected_underscore_headers " + strings.Join(underscores, " "),
		"expected_dot_headers " + strings.Join(dots, " "),
	}
}

// A visitor is a way to come to the upstream, with what the gateway says there of who it is.
type visitor struct {
	name string
	r    wireRequest
	want http.Header // of the gateway's headers; the session token is not looked into
}

func (g *running) visitors(protocol string) []visitor {
	first := g.external("alice", map[string]any{"jti": protocol}) // remembered after the first request
	named := http.Header{"X-User-Id": {"alice"}}
	upgrade := wireRequest{method: "GET", target: "/", lines: [][2]string{{"Cookie", "ext=" + first}, {"Connection", "Upgrade"}, {"Upgrade", "websocket"}}}
	switch protocol {
	case "HTTP/2.0": // nothing there becomes a WebSocket unless a server is told so
		upgrade.lines = upgrade.lines[:1]
	case "HTTP/3.0":
		upgrade.method, upgrade.lines = "CONNECT", append(upgrade.lines[:1:1], [2]string{":protocol", "websocket"})
	}
	return []visitor{
		{"without the claim", wireRequest{method: "GET", target: "/", lines: [][2]string{{"Cookie", "ext=" + first}}}, named},
		{"with the claim", wireRequest{method: "POST", target: "/", lines: [][2]string{
			{"Cookie", "ext=" + g.external("alice", map[string]any{"email": "a@example.com", "email_verified": true})},
		}}, http.Header{"X-User-Id": {"alice"}, "X-User-Email": {"a@example.com"}}},
		{"with a session", wireRequest{method: "GET", target: "/", lines: [][2]string{{"Cookie", sessionCookie + "=" + g.sessionOf(first)}}}, named},
		{"as nobody", wireRequest{method: "GET", target: "/optional"}, http.Header{}},
		{"as a preflight", wireRequest{method: "OPTIONS", target: "/", lines: [][2]string{
			{"Origin", "https://evil.example"}, {"Access-Control-Request-Method", "GET"},
		}}, http.Header{}},
		{"for a WebSocket", upgrade, named},
	}
}

// sessionOf is what an external JWT is exchanged for.
func (g *running) sessionOf(external string) string {
	g.t.Helper()
	got := g.sendHTTP1(wireRequest{method: "GET", target: "/", lines: [][2]string{{"Cookie", "ext=" + external}}})
	if got.status != 200 {
		g.t.Fatalf("%d %s", got.status, got.body)
	}
	return g.secret(g.upstream.last(g.t).Header.Get("X-Session"))
}

// sendHTTP1 sends one request over a connection of its own.
func (g *running) sendHTTP1(r wireRequest) wireAnswer {
	g.t.Helper()
	return (&wirePool{g: g, dial: dialHTTP1}).send(g.t, r)
}

// Whoever reads X-User-Id at the upstream believes it. A client that could write it, in a
// spelling that its framework takes for the same, on a request for which the gateway has
// nothing to say there, would be whom it likes (CVE-2026-30851 of Caddy, CVE-2026-33433 and
// CVE-2026-88011 of Traefik).
func TestClientCannotSayWhoItIs(t *testing.T) {
	t.Run("in the name itself", func(t *testing.T) {
		g := startWire(t, guardedEnvironment, guardedSite)
		g.forgeOverEveryProtocol(t, guardedNames, func(name string) []string {
			return []string{name, strings.ToLower(name), strings.ToUpper(name), name, "x" + name[1:]}
		})
	})
	t.Run("in a name that is taken for it", func(t *testing.T) {
		names := slices.Concat(guardedNames, readNames)
		g := startWire(t, guardedEnvironment, guardedSite, admitting(names...)...)
		g.forgeOverEveryProtocol(t, names, aliases)
	})
}

// forgeOverEveryProtocol has each visitor send each name in these spellings, with a value
// that is forged, and as many neighbours of it, which all have to arrive.
func (g *running) forgeOverEveryProtocol(t *testing.T, names []string, spell func(string) []string) {
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, v := range g.visitors(t.Name()[strings.LastIndex(t.Name(), "HTTP/"):]) {
			for _, name := range names {
				r := v.r
				r.lines = append(slices.Clone(r.lines), forged(spell(name), "forged")...)
				r.lines = append(r.lines, forged(spell(neighbour(name)), "honest")...)
				before := g.upstream.count()
				if got := send(r); got.status != 200 || g.upstream.count() != before+1 {
					t.Fatalf("%s: %d %s", v.name, got.status, got.body)
				}
				seen := g.upstream.last(t).Header
				if problem := misled(seen, v.want, len(spell(neighbour(name)))); problem != "" {
					t.Errorf("%s, saying %s: %s", v.name, name, problem)
				}
			}
		}
	})
}

func forged(names []string, value string) (lines [][2]string) {
	for _, name := range names {
		lines = append(lines, [2]string{name, value})
	}
	return lines
}

// misled says what an upstream was told that it must not be, or not told that it must.
func misled(seen, want http.Header, honest int) string {
	kept := 0
	for name, values := range seen {
		if slices.Contains(values, "forged") {
			return "the upstream got the forged " + name
		}
		for _, value := range values {
			if value == "honest" {
				kept++
			}
		}
	}
	if kept != honest {
		return fmt.Sprintf("of the names beside it %d arrived, want %d", kept, honest)
	}
	for _, name := range []string{"X-User-Id", "X-User-Email"} {
		if !slices.Equal(seen[name], want[name]) {
			return fmt.Sprintf("the upstream got %s %q, want %q", name, seen[name], want[name])
		}
	}
	if got := len(seen["X-Session"]) == 1; got != (want.Get("X-User-Id") != "") {
		return fmt.Sprintf("the upstream got a session: %t", got)
	}
	return ""
}
