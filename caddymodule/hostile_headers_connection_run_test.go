package caddymodule_test

import (
	"net/http"
	"strings"
	"testing"
)

const connectionSite = `handle /plain {
		request_header X-Session set
		request_header X-Elevated set
		request_header X-User-Id set
		request_header X-Second set
		reverse_proxy {{upstream}}
	}
	handle {
		byoa {
			token_header X-Session
			elevated_header X-Elevated
			claim_header X-User-Id external_id
		}
		step_up * wallet:export
		route {
			byoa {
				token_header X-Session
				elevated_header X-Elevated
				claim_header X-Second external_id
			}
			reverse_proxy {{upstream}}
		}
	}`

// A proxy deletes every header that Connection names (RFC 9110 section 7.6.1): a client that
// names what the gateway has set has the upstream decide without it (GHSA-w9mr-28mw-j8hg of
// Oathkeeper, CVE-2024-45410 and CVE-2026-29054 of Traefik). It does on the same server, where
// the gateway has no part.
func TestClientCannotHaveInjectedHeadersDeleted(t *testing.T) {
	g := startWire(t, plainEnvironment, connectionSite)
	external := g.external("alice")
	injected := []string{"X-Session", "X-Elevated", "X-User-Id", "X-Second"}
	attacks := map[string][][2]string{
		"in one line":      {{"Connection", "close, X-Session, X-Elevated, X-User-Id, X-Second"}},
		"in lower case":    {{"connection", "close,x-session,x-elevated,x-user-id,x-second"}},
		"in several lines": {{"Connection", "close"}, {"CONNECTION", ",X-Session,,X-ELEVATED ,"}, {"connection", "\tx-User-Id"}, {"Connection", "X-Second, Authorization"}},
		"beside others":    {{"Connection", "keep-alive, Upgrade, X-Session, TE, X-Elevated, X-User-Id, X-Second"}},
	}
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		said := func(target string, lines ...[2]string) wireRequest {
			lines = append(lines, [2]string{"Authorization", "Bearer " + external}, [2]string{"X-Step-Up-Assertion", g.assertion("alice", "wallet:export")})
			return wireRequest{method: "GET", target: target, lines: lines}
		}
		for name, lines := range attacks {
			before := g.upstream.count()
			got := send(said("/", lines...))
			if !strings.HasSuffix(t.Name(), "HTTP/1.1") { // no request at all (RFC 9113 section 8.2.2, RFC 9114 section 4.2)
				if got.status == 200 || g.upstream.count() != before {
					t.Errorf("%s: %d, %d requests upstream", name, got.status, g.upstream.count()-before)
				}
				continue
			}
			if got.status != 200 {
				t.Fatalf("%s: %d %s", name, got.status, got.body)
			}
			if gone := missing(g.upstream.last(t).Header, injected); len(gone) > 0 {
				t.Errorf("%s: %q were deleted on the client's behalf", name, gone)
			}
			send(said("/plain", lines...))
			if gone := missing(g.upstream.last(t).Header, injected); len(gone) != len(injected) {
				t.Errorf("%s: without the gateway only %q are deleted: this test shows nothing", name, gone)
			}
		}
		for _, target := range []string{"/", "/plain"} {
			if got := send(said(target)); got.status != 200 {
				t.Fatalf("%s: %d %s", target, got.status, got.body)
			}
			if gone := missing(g.upstream.last(t).Header, injected); len(gone) > 0 {
				t.Errorf("%s, where nobody asked for it: %q are gone", target, gone)
			}
		}
	})
}

func missing(h http.Header, names []string) (gone []string) {
	for _, name := range names {
		if h.Get(name) == "" {
			gone = append(gone, name)
		}
	}
	return gone
}

// What makes a connection a WebSocket stands in the same line as what is to be deleted.
func TestWebSocketCannotHaveInjectedHeadersDeleted(t *testing.T) {
	g := startWire(t, plainEnvironment, `byoa {
		claim_header X-User-Id external_id
	}
	reverse_proxy {{upstream}}`)
	g.upstream.answer(echo)
	external := g.external("alice")
	for _, connection := range []string{"Upgrade", "Upgrade, Authorization, X-User-Id", "x-user-id,AUTHORIZATION,upgrade"} {
		got := g.sendHTTP1(wireRequest{method: "GET", target: "/", lines: [][2]string{
			{"Authorization", "Bearer " + external}, {"Connection", connection}, {"Upgrade", "websocket"},
		}})
		if got.status != http.StatusSwitchingProtocols {
			t.Fatalf("Connection: %s: %d %s, want 101", connection, got.status, got.body)
		}
		seen := g.upstream.last(t).Header
		if gone := missing(seen, []string{"Authorization", "X-User-Id"}); len(gone) > 0 {
			t.Errorf("Connection: %s: %q were deleted", connection, gone)
		}
		if use := claimsOf(t, seen.Get("Authorization"))["token_use"]; use != "session" {
			t.Errorf("Connection: %s: the upstream got a token for %q", connection, use)
		}
	}
}
