package caddymodule_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

const refusedSite = `handle /strict/* {
		byoa {
			allow_query token
			token_header X-Session
		}
		reverse_proxy {{upstream}}
	}
	handle /kept/* {
		byoa {
			allow_query token
			token_header X-Session
			keep_external
		}
		reverse_proxy {{upstream}}
	}
	handle /optional/* {
		byoa {
			optional
			allow_query token
			token_header X-Session
			keep_external
		}
		reverse_proxy {{upstream}}
	}
	handle /page/* {
		byoa {
			allow_query token
			token_header X-Session
			keep_external
			pass_errors
		}
		reverse_proxy {{upstream}}
	}
	handle_errors {
		rewrite * /error-page?{query}
		reverse_proxy {{upstream}} {
			method GET # the body may be gone
			header_up X-Asked-For {http.request.orig_uri}
		}
	}`

// refusedTokens are such as no route lets on. Each may be a good one to another server.
func (g *running) refusedTokens() map[string]string {
	foreign := verifiertest.NewIssuer(g.t, verifiertest.WithIssuer(g.issuer.URL()))
	good := g.external("alice")
	return map[string]string{
		"expired":              g.external("alice", map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}),
		"for another audience": g.external("alice", map[string]any{"aud": "https://other.example"}),
		"of another key":       g.secret(foreign.Token(map[string]any{"sub": "alice", "aud": audience})),
		"changed":              g.secret(good[:len(good)-8] + strings.Repeat("A", 8)),
		"without a signature":  g.secret(good[:strings.LastIndex(good, ".")+1]),
	}
}

// tokenPlaces are where in a request a token can stand.
var tokenPlaces = map[string]func(target, token string) wireRequest{
	"header": func(target, token string) wireRequest {
		return wireRequest{method: "GET", target: target, lines: [][2]string{{"Authorization", "Bearer " + token}}}
	},
	"cookie": func(target, token string) wireRequest {
		return wireRequest{method: "GET", target: target, lines: [][2]string{{"Cookie", "a=1; ext=" + token}}}
	},
	"session's cookie": func(target, token string) wireRequest {
		return wireRequest{method: "GET", target: target, lines: [][2]string{{"Cookie", sessionCookie + "=" + token}}}
	},
	"query": func(target, token string) wireRequest {
		return wireRequest{method: "GET", target: target + "?a=1&token=" + token}
	},
	"header of a WebSocket": func(target, token string) wireRequest {
		return wireRequest{method: "GET", target: target, lines: [][2]string{
			{"Authorization", "Bearer " + token}, {"Connection", "Upgrade"}, {"Upgrade", "websocket"},
		}}
	},
	"query of a WebSocket": func(target, token string) wireRequest {
		return wireRequest{method: "GET", target: target + "?token=" + token, lines: [][2]string{{"Connection", "Upgrade"}, {"Upgrade", "websocket"}}}
	},
}

// What the gateway has not verified, or has found to be no good, is nobody's to have: it is
// a login at some other server, or becomes one when that is less strict. Where an optional
// gate goes on with nobody, and where an error page is asked, it stays behind.
func TestRefusedTokenNeverLeavesTheGateway(t *testing.T) {
	g := startWire(t, cookieEnvironment, refusedSite)
	refused := g.refusedTokens()
	good := g.external("alice")
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for place, bring := range tokenPlaces {
			if strings.Contains(place, "WebSocket") && !strings.HasSuffix(t.Name(), "HTTP/1.1") {
				continue // Connection makes it no request there
			}
			for _, target := range []string{"/strict/x", "/kept/x", "/optional/x", "/page/x"} {
				for kind, token := range refused {
					before := g.upstream.count()
					got := send(bring(target, token))
					goesOn := target == "/page/x" || target == "/optional/x" && !strings.HasPrefix(place, "header")
					if arrived := g.upstream.count() - before; goesOn != (arrived == 1) || !goesOn && got.status != http.StatusUnauthorized {
						t.Fatalf("%s, %s in the %s: %d %s, %d requests upstream", target, kind, place, got.status, got.body, arrived)
					}
					if !goesOn {
						continue
					}
					if held := heldBy(g.upstream.last(t), []string{token}); held != "" {
						t.Errorf("%s: what was %s in the %s left the gateway in %s", target, kind, place, held)
					}
				}
				if got := send(bring(target, good)); place != "session's cookie" && got.status != 200 {
					t.Fatalf("%s with a good one in the %s: %d %s, want 200", target, place, got.status, got.body)
				}
				if place == "session's cookie" {
					continue // of which an external JWT is not a good one
				}
				seen := g.upstream.last(t)
				if kept := heldBy(seen, []string{good}) != ""; seen.Header.Get("X-Session") == "" || kept == (target == "/strict/x") {
					t.Errorf("%s with a good one in the %s: a session: %t, the JWT: %t", target, place, seen.Header.Get("X-Session") != "", kept)
				}
			}
		}
	})
}

// In a trailer a token is verified by nobody, be it good or not.
func TestTokenInATrailerNeverLeavesTheGateway(t *testing.T) {
	g := startWire(t, cookieEnvironment, refusedSite)
	alice, bob := g.external("alice"), g.external("bob")
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, target := range []string{"/strict/x", "/kept/x", "/optional/x", "/page/x"} {
			for _, trailer := range [][2]string{
				{"Authorization", "Bearer " + bob}, {"Cookie", "ext=" + bob}, {"X-Session", bob}, {"X-Step-Up-Assertion", bob}, {"X-Honest", bob},
			} {
				send(wireRequest{
					method: "POST", target: target, body: "pay",
					lines:    [][2]string{{"Authorization", "Bearer " + alice}, {"Trailer", trailer[0]}},
					trailers: [][2]string{trailer},
				})
			}
		}
	})
	honest := 0
	for _, seen := range g.upstream.all() { // also those that HTTP/2 and HTTP/3 broke off for their trailers
		honest += len(seen.Trailer["X-Honest"])
		delete(seen.Trailer, "X-Honest")
		if held := heldBy(seen, []string{bob}); held != "" || len(seen.Trailer) > 0 {
			t.Errorf("%s: a token left the gateway in %q, with the trailers %v", seen.URL.Path, held, seen.Trailer)
		}
		if seen.URL.Path == errorPage {
			continue // which is told nobody's name
		}
		if who := claimsOf(t, seen.Header.Get("X-Session"))["external_user_id"]; who != "alice" {
			t.Errorf("%s: the session is that of %v", seen.URL.Path, who)
		}
	}
	if want := 2 * 4; honest != want { // HTTP/3 passes on no values
		t.Errorf("in a trailer of no meaning %d arrived, want %d: this test shows nothing", honest, want)
	}
}
