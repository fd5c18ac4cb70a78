package caddymodule_test

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// forwardedByCaddy are the headers that reverse_proxy writes itself, and takes over from a
// proxy that is trusted.
var forwardedByCaddy = []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// spoofedForwarding says what a proxy in front would say of a request, or one that rewrites: that
// it is for an open path, of a harmless method, on the host of the page, from this machine.
var spoofedForwarding = [][2]string{
	{"X-Forwarded-For", "127.0.0.1"},
	{"X-Forwarded-Host", "evil.example"},
	{"X-Forwarded-Proto", "http"},
	{"X-Forwarded-Scheme", "http"},
	{"X-Forwarded-Port", "80"},
	{"X-Forwarded-Prefix", "/open"},
	{"X-Forwarded-Server", "evil.example"},
	{"X-Forwarded-Uri", "/open/x"},
	{"X-Forwarded-Path", "/open/x"},
	{"X-Forwarded-Method", "GET"},
	{"X-Forwarded-User", "root"},
	{"Forwarded", `for=127.0.0.1;host=evil.example;proto=http`},
	{"X-Original-Uri", "/open/x"},
	{"X-Original-Path", "/open/x"},
	{"X-Original-Method", "GET"},
	{"X-Original-Host", "evil.example"},
	{"X-Original-Forwarded-For", "127.0.0.1"},
	{"X-Envoy-Original-Path", "/open/x"},
	{"X-Envoy-External-Address", "127.0.0.1"},
	{"X-Real-Ip", "127.0.0.1"},
	{"X-Client-Ip", "127.0.0.1"},
	{"True-Client-Ip", "127.0.0.1"},
	{"Cf-Connecting-Ip", "127.0.0.1"},
	{"X-Host", "evil.example"},
	{"X-Scheme", "http"},
	{"X-Accel-Redirect", "/open/x"},
	{"X-Accel-Internal", "/open/x"},
	{"X-Sendfile", "/etc/passwd"},
	{"Front-End-Https", "on"},
	{"Via", "1.1 evil.example"},
}

// spoofedSteering is what many frameworks obey; none of it is the upstream's to see.
var spoofedSteering = [][2]string{
	{"X-HTTP-Method", "GET"},
	{"X-HTTP-Method-Override", "GET"},
	{"X-Method-Override", "GET"},
	{"X-Original-URL", "/open/x"},
	{"X-Rewrite-URL", "/open/x"},
}

// Gateways were passed by a header that says that the request was one for an open path, or
// came from a page of the host itself (CVE-2026-40575, CVE-2026-33495, CVE-2023-27487). Such
// headers are data, even where a proxy that Caddy trusts has sent them on.
func TestSpoofedForwardingChangesNothing(t *testing.T) {
	for who, servers := range map[string][]string{
		"from anybody":         nil,
		"from a trusted proxy": {"trusted_proxies static 127.0.0.0/8"},
	} {
		t.Run(who, func(t *testing.T) {
			g := startWire(t, forwardedEnvironment, plainSite, servers...)
			requests := g.decidedRequests()
			var unlike []string // what arrives as it was sent
			for _, line := range spoofedForwarding {
				if servers != nil || !slices.Contains(forwardedByCaddy, line[0]) {
					unlike = append(unlike, line[0])
				}
			}
			overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
				for _, d := range requests {
					plain := g.whatCameOf(t, send, d.asks, unlike...)
					spoofed := d.asks
					spoofed.lines = slices.Concat(spoofedForwarding, d.asks.lines, spoofedSteering)
					wantSame(t, d.name, g.whatCameOf(t, send, spoofed, unlike...), plain)
					if elsewhere := g.whatCameOf(t, send, d.asksElsewhere, unlike...); elsewhere == plain {
						t.Errorf("%s: %s %s has the same outcome, so this test shows nothing", d.name, d.asksElsewhere.method, d.asksElsewhere.target)
					}
				}
			})
		})
	}
}

// A proxy that strips a prefix says so in a header, and so can anybody: a gate that took it off would find a
// closed path to be one that nobody thought of.
func TestForwardedPrefixOpensNothing(t *testing.T) {
	g := start(t, plainEnvironment, `byoa
	step_up {
		/closed/ deny
		default session
	}
	reverse_proxy {{upstream}}`)
	alice := g.external("alice")
	for _, prefix := range []string{"/closed", "/closed/", "/open"} {
		spoofed := http.Header{"X-Forwarded-Prefix": {prefix}}
		g.want(request{path: "/closed/x", bearer: alice, header: spoofed}, 403, "route_denied")
		g.want(request{path: "/open/x", bearer: alice, header: spoofed}, 200, "")
	}
}

// Who is asked for in Host is the client's to say, and what a virtual host or a cache makes of it is
// another matter: no decision depends on it, no challenge and no document names it. A page
// cannot choose it, which is why it counts for one thing: whose page this is.
func TestOddHostChangesNothing(t *testing.T) {
	g := startWire(t, forwardedEnvironment, plainSite)
	requests := g.decidedRequests()
	const unlike = "X-Forwarded-Host"
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, d := range requests {
			plain := g.whatCameOf(t, send, d.asks, unlike)
			for _, host := range []string{
				"elsewhere.example", "localhost:1", "localhost.", "LOCALHOST", "127.0.0.1", "[::1]:443", "evil.example.",
				"evil.example:8443", "xn--80ak6aa92e.example", "auth.example.com",
			} {
				odd := d.asks
				odd.authority = host
				wantSame(t, d.name+" at "+host, g.whatCameOf(t, send, odd, unlike), plain)
			}
		}
	})
	t.Run("the page's own host", func(t *testing.T) {
		overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
			for host, want := range map[string]int{hostOf(t, evilOrigin): 200, "elsewhere.example": 403} {
				if got := send(wireRequest{
					method: "POST", target: "/open/x", authority: host,
					lines: [][2]string{{"Cookie", "ext=" + g.external("alice")}, {"Origin", evilOrigin}},
				}); got.status != want {
					t.Errorf("at %s: %d, want %d", host, got.status, want)
				}
			}
		})
	})
}

// What only bytes can say: no Host at all, and a URL in the request line that names
// another host. An empty Host is no request to Caddy.
func TestOddRequestLineChangesNothing(t *testing.T) {
	g := startWire(t, forwardedEnvironment, plainSite)
	unlike := []string{"X-Forwarded-Host", "Via"} // which tells the version
	forms := map[string]func(target string) string{
		"HTTP/1.0 without Host": func(target string) string { return target + " HTTP/1.0\r\n" },
		"a URL of another host": func(target string) string {
			return "https://elsewhere.example" + target + " HTTP/1.1\r\nHost: localhost\r\n"
		},
		"a URL of another scheme": func(target string) string {
			return "ftp://elsewhere.example" + target + " HTTP/1.1\r\nHost: localhost\r\n"
		},
		"a URL with a user": func(target string) string {
			return "http://root:secret@elsewhere.example:80" + target + " HTTP/1.1\r\nHost: localhost\r\n"
		},
	}
	right := func(target string) string { return target + " HTTP/1.1\r\nHost: localhost\r\n" }
	empty := func(target string) string { return target + " HTTP/1.1\r\nHost:\r\n" }
	for _, d := range g.decidedRequests() {
		sendAs := func(form func(string) string) consequence {
			return g.whatCameOf(t, func(r wireRequest) wireAnswer {
				_, rest, _ := strings.Cut(r.http1(), "\r\nHost: localhost\r\n")
				return g.sendBytes(t, r.method, r.method+" "+form(r.target)+"Connection: close\r\n"+rest)
			}, d.asks, unlike...)
		}
		plain := sendAs(right)
		for name, form := range forms {
			wantSame(t, d.name+" with "+name, sendAs(form), plain)
		}
		if got := sendAs(empty); !strings.HasPrefix(got.answer, "400\n") || got.upstream != "" {
			t.Errorf("%s with an empty Host: %v", d.name, got)
		}
	}
}

// sendBytes sends a request of HTTP/1 over TLS as it is.
func (g *running) sendBytes(t *testing.T, method, request string) wireAnswer {
	t.Helper()
	conn, err := dialTLS(g, "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := readHTTP1(bufio.NewReader(conn), method)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}
