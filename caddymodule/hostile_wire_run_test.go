package caddymodule_test

import (
	"strings"
	"testing"
)

// What is to show that no client can do a thing must be able to say it: each protocol
// reaches the upstream with the method, the path, the names and the trailers that were written.
func TestEveryProtocolReachesTheSite(t *testing.T) {
	g := startWire(t, plainEnvironment, `header >X-Protocol {http.request.proto}
	byoa {
		allow_path semicolon encoded_slash
	}
	reverse_proxy {{upstream}}`, "expected_underscore_headers X_Odd")
	external := g.external("alice")
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		_, protocol, _ := strings.Cut(t.Name(), "/")
		for range 2 { // also on a connection that was used before
			got := send(wireRequest{
				method:    "POST",
				target:    "/a%2Fb;c?d=%zz",
				authority: "anything.example",
				lines: [][2]string{
					{"Authorization", "Bearer " + external},
					{"X_Odd", "as written"},
					{"X-Twice", "1"},
					{"X-Twice", "2"},
					{"Trailer", "X-End"},
				},
				trailers: [][2]string{{"X-End", "kept"}},
				body:     "hello",
			})
			if got.status != 200 || got.body != "upstream" || got.header.Get("X-Protocol") != protocol {
				t.Fatalf("%+v", got)
			}
			seen := g.upstream.last(t)
			if seen.Method != "POST" || seen.RequestURI != "/a%2Fb;c?d=%zz" || seen.Host != "anything.example" {
				t.Errorf("the upstream got %s %s for %s", seen.Method, seen.RequestURI, seen.Host)
			}
			if h := seen.Header; h.Get("X_Odd") != "as written" || strings.Join(h["X-Twice"], "") != "12" {
				t.Errorf("the upstream got %v", h)
			}
			want := "kept"
			if protocol == "HTTP/3.0" {
				want = "" // Caddy works on a copy of the request, and quic-go puts trailers into its own
			}
			if got := seen.Trailer.Get("X-End"); got != want {
				t.Errorf("the upstream got the trailers %v", seen.Trailer)
			}
		}
		if got := send(wireRequest{method: "HEAD", target: "/"}); got.status != 401 || got.body != "" {
			t.Errorf("HEAD: %+v", got)
		}
		before := g.upstream.count()
		if got := send(wireRequest{method: "GET", target: "no path", lines: [][2]string{{"Authorization", "Bearer " + external}}}); got.status == 200 {
			t.Errorf("no request at all: %+v", got)
		}
		if g.upstream.count() != before {
			t.Error("what is no request reached the upstream")
		}
	})
}
