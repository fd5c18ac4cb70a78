package caddymodule_test

import (
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
)

const adminSite = `byoa_api
	byoa
	step_up {
		/admin/ deny
		default session
	}
	reverse_proxy {{upstream}}`

// twoWays are paths that some upstream takes for one below /admin, and the gateway, if it did not
// refuse them, for another; each with one that differs in nothing but the odd byte, and is ordinary.
// Most were measured with a path matcher of Caddy; others are what broke other gateways.
var twoWays = []struct{ odd, plain, why string }{
	// A matcher of Caddy sees through these.
	{"//admin", "/1/admin", "empty_segment"},
	{"/public//admin", "/public/1/admin", "empty_segment"},
	{"/./admin", "/1/admin", "dot_segment"},
	{"/public/../admin", "/public/.1/admin", "dot_segment"},
	{"/public/%2e%2e/admin", "/public/%2e%31/admin", "dot_segment"},
	{"/public/..%2fadmin", "/public/..%31admin", "encoded_slash"},
	{"/admin%2fx", "/admin%31x", "encoded_slash"},

	// And takes these for other paths (CVE-2026-33494 of Oathkeeper, CVE-2025-66490 and
	// CVE-2026-48020 of Traefik, CVE-2021-31920 of Istio).
	{"/admin%252fx", "/admin%312fx", "double_encoding"},
	{"/public/%252e%252e/admin/x", "/public/%312e%312e/admin/x", "double_encoding"},
	{"/admin;a=b", "/admin,a=b", "semicolon"},
	{"/admin;/x", "/admin,/x", "semicolon"},
	{"/public/..;/admin/x", "/public/..,/admin/x", "dot_segment"},
	{"/admin%00", "/admin%31", "control_character"},
	{"/admin%09", "/admin%31", "control_character"},
	{"/admin%7f", "/admin%31", "control_character"},
	{"/admin%5cx", "/admin%31x", "backslash"},
	{"/public/..%5cadmin", "/public/..%31admin", "dot_segment"},
	{`/public/..\admin`, "/public/..1admin", "dot_segment"},
	{"/admin.", "/admin1", "trailing_dot"},
	{"/admin%20", "/admin%31", "trailing_dot"},
	{"/admin.%20", "/admin.%31", "trailing_dot"},
	{"/public/..%c0%af..%c0%afadmin", "/public/..%c3%af..%c3%afadmin", "invalid_utf8"},
}

// An upstream reads some paths in another way than the gateway does, and so serves /admin for a
// request that was decided on as one for something public.
func TestPathIsNotReadInTwoWays(t *testing.T) {
	g := startWire(t, plainEnvironment, adminSite)
	bearer := [][2]string{{"Authorization", "Bearer " + g.external("alice")}}
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, c := range twoWays {
			g.wantTarget(t, send, wireRequest{target: c.odd, lines: bearer}, 400, `ambiguous_path`)
			g.wantTarget(t, send, wireRequest{target: c.odd, lines: bearer}, 400, "("+c.why+")")
			g.wantTarget(t, send, wireRequest{target: c.plain, lines: bearer}, 200, "upstream")
		}
		for _, target := range []string{"/admin", "/admin/", "/ADMIN", "/%61dmin", "/admin/x", "/Admin/x/", "/admin?a=/public", "/%41dmi%6E/x"} {
			g.wantTarget(t, send, wireRequest{target: target, lines: bearer}, 403, "route_denied") // odd, but there is one way to read them
		}
	})
}

// Where there is no table, the gate alone stands before an upstream that has rules of its own for
// paths; and `optional` does not mean that anything goes.
func TestPathIsNotReadInTwoWaysBehindTheGateAlone(t *testing.T) {
	g := startWire(t, plainEnvironment, "byoa {\n optional\n }\n reverse_proxy {{upstream}}")
	bearer := [][2]string{{"Authorization", "Bearer " + g.external("alice")}}
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, c := range twoWays {
			for _, lines := range [][][2]string{bearer, nil} {
				g.wantTarget(t, send, wireRequest{target: c.odd, lines: lines}, 400, `ambiguous_path`)
				g.wantTarget(t, send, wireRequest{target: c.plain, lines: lines}, 200, "upstream")
			}
		}
	})
}

// wantTarget fails the test unless a GET is answered so, and reaches the upstream as it was written
// if it is answered with 200, and not at all if it is not.
func (g *running) wantTarget(t *testing.T, send func(wireRequest) wireAnswer, r wireRequest, want int, because string) {
	t.Helper()
	r.method = "GET"
	before := g.upstream.count()
	if got := send(r); got.status != want || !strings.Contains(got.body, because) {
		t.Errorf("%s: %d %s, want %d (%s)", r.target, got.status, got.body, want, because)
	}
	if reached := g.upstream.count() > before; reached != (want == 200) {
		t.Errorf("%s reached the upstream: %t", r.target, reached)
	}
	if want == 200 && g.upstream.last(t).RequestURI != r.target {
		t.Errorf("%s: the upstream got %s", r.target, g.upstream.last(t).RequestURI)
	}
}

// All that the gateway's own list knows, over the wire: whether the gate or the server refuses it, it
// does not reach the upstream.
func TestNoAmbiguousPathReachesTheUpstream(t *testing.T) {
	g := startWire(t, plainEnvironment, adminSite)
	bearer := [][2]string{{"Authorization", "Bearer " + g.external("alice")}}
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, target := range append(caddymodule.AmbiguousPaths(), "x:admin", "admin", `\admin`, "") {
			if got := send(wireRequest{method: "GET", target: target, lines: bearer}); got.status != 400 && got.status != 0 {
				t.Errorf("%q: %d %s, want 400", target, got.status, got.body)
			}
		}
		if n := g.upstream.count(); n != 0 {
			t.Errorf("%d ambiguous paths reached the upstream, the last as %s", n, g.upstream.last(t).RequestURI)
		}
	})
}

// HTTP/1.1 has forms of a target that are no path: whole URLs, which are another way to write one,
// and whatever else begins with a scheme, which would be sent on as a path without its slash.
func TestTargetInAnotherFormIsNotReadInTwoWays(t *testing.T) {
	g := start(t, plainEnvironment, adminSite)
	external := g.external("alice")
	for _, c := range []struct {
		target string
		want   string
	}{
		{"http://{{site}}/public", "200 OK"},
		{"http://{{site}}/admin", "403 Forbidden"},
		{"http://{{site}}/public/..;/admin", "400 Bad Request"},
		{"http://{{site}}//admin", "400 Bad Request"},
		{"http://{{site}}/1/admin", "200 OK"},
		{"http:///admin", "403 Forbidden"},
		{"x:/admin", "403 Forbidden"}, // the path is what stands behind the scheme
		{"x:admin", "400 Bad Request"},
		{"/x:admin", "200 OK"},
		{"admin", "400 Bad Request"},
	} {
		before := g.upstream.count()
		got := g.raw("GET " + strings.ReplaceAll(c.target, "{{site}}", g.address) + " HTTP/1.1\r\nHost: " + g.address +
			"\r\nAuthorization: Bearer " + external + "\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+c.want) {
			t.Errorf("%s: %s, want %s", c.target, got, c.want)
		}
		if reached := g.upstream.count() > before; reached != (c.want == "200 OK") {
			t.Errorf("%s reached the upstream: %t", c.target, reached)
		}
	}
}

// Before the endpoints there is no gate: what they do not take for theirs comes to it all the same.
func TestPathOfAnEndpointIsNotReadInTwoWays(t *testing.T) {
	g := startWire(t, plainEnvironment, adminSite)
	bearer := [][2]string{{"Authorization", "Bearer " + g.external("alice")}}
	const ours = "/api/v0/sdk/" + environmentID
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, c := range []struct {
			target string
			want   int
		}{
			{ours + "/settings", 200},
			{ours + "/settings;x", 400},
			{ours + "/settings,x", 404},
			{ours + "/settings%00", 400},
			{ours + "/settings%31", 404},
			{ours + "/x/..%2fsettings", 400},
			{ours + "/x/..%31settings", 404},
			{ours + "/%252e%252e/users", 400},
			{ours + "//settings", 400},
			{ours + "/1/settings", 404},
			{"/api/v0//sdk/" + environmentID + "/settings", 400},
			{"/api/v0/1/sdk/" + environmentID + "/settings", 200}, // the upstream's
			{"/api/v0;x/sdk/" + environmentID + "/settings", 400},
			{"/api/v0,x/sdk/" + environmentID + "/settings", 200},
			{"/public/..%2fapi/v0/sdk/" + environmentID + "/settings", 400},
			{ours + "/../../../../admin", 400},
		} {
			if got := send(wireRequest{method: "GET", target: c.target, lines: bearer}); got.status != c.want {
				t.Errorf("%s: %d %s, want %d", c.target, got.status, got.body, c.want)
			}
		}
	})
}

// Who allows a class of paths says that the upstream reads them as the gateway does. Should that be
// wrong, the route that the upstream may serve needs what it always needs.
func TestAllowedPathStillNeedsItsRoute(t *testing.T) {
	g := startWire(t, plainEnvironment, `byoa {
		allow_path encoded_slash double_encoding dot_segment empty_segment semicolon backslash trailing_dot
	}
	step_up {
		/public/ -
		/admin/ admin
		/wallets/{id} admin
		/wallets/{id}/{part} -
	}
	reverse_proxy {{upstream}}`)
	bearer := [][2]string{{"Authorization", "Bearer " + g.external("alice")}}
	overEveryProtocol(t, g, func(t *testing.T, send func(wireRequest) wireAnswer) {
		for _, c := range []struct{ odd, plain string }{
			{"/public/..%2fadmin", "/public/..%31admin"},
			{"/public/%2e%2e/admin", "/public/%2e%31/admin"},
			{"/public/../admin", "/public/.1/admin"},
			{"/public/%252e%252e/admin", "/public/%312e%312e/admin"},
			{"/public/%25252e%25252e/admin", "/public/%3125252e%3125252e/admin"},
			{"/public/..;/admin", "/public/..,/admin"},
			{"/public/..;a=b/admin", "/public/..,a=b/admin"},
			{"/public/..%5cadmin", "/public/..%31admin"},
			{"/public/..%20/admin", "/public/..%31/admin"},
			{"/public/..%252fadmin/x", "/public/..%312fadmin/x"},
			{"/wallets/1%2fx", "/wallets/1/x"}, // one segment, unless it is decoded before the table is asked
		} {
			for target, want := range map[string]int{c.odd: 403, c.plain: 200} {
				before := g.upstream.count()
				got := send(wireRequest{method: "GET", target: target, lines: bearer})
				if got.status != want || want == 403 && !strings.Contains(got.body, "step_up_required") {
					t.Errorf("%s: %d %s, want %d", target, got.status, got.body, want)
				}
				if reached := g.upstream.count() > before; reached != (want == 200) {
					t.Errorf("%s reached the upstream: %t", target, reached)
				}
			}
		}
		for _, target := range []string{"/public/a%2fb", "/public/a;b", "/public//b", "/public/a.", "/public/a%5cb"} {
			if got := send(wireRequest{method: "GET", target: target, lines: bearer}); got.status != 200 {
				t.Errorf("%s: %d %s, want 200", target, got.status, got.body)
			}
		}
	})
}
