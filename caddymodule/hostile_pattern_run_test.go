package caddymodule_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// wire sends a GET of a target exactly as it is written, and reads the answer.
func (g *running) wire(target, bearer, assertion string) response {
	g.t.Helper()
	return g.wireTo(g.address, target, bearer, assertion)
}

// wireTo names another host than that of the address.
func (g *running) wireTo(host, target, bearer, assertion string) response {
	g.t.Helper()
	lines := "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n"
	if bearer != "" {
		lines += "Authorization: Bearer " + bearer + "\r\n"
	}
	if assertion != "" {
		lines += "X-Step-Up-Assertion: " + assertion + "\r\n"
	}
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := fmt.Fprint(conn, lines+"\r\n"); err != nil {
		g.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		g.t.Fatal(err)
	}
	got, err := readResponse(res)
	if err != nil {
		g.t.Fatal(err)
	}
	g.said("GET "+target, got.status, got.header, got.raw)
	return got
}

// A literal is a pattern with a character in it that means more in other languages of patterns.
type literal struct {
	pattern, path string
	near          []string // what it would match there
}

var literals = []literal{
	{"/a.b", "/a.b", []string{"/aXb", "/ab", "/a/b"}},
	{"/c+", "/c+", []string{"/c", "/cc"}},
	{"/(d|e)", "/(d|e)", []string{"/d", "/e"}},
	{"/[fg]", "/[fg]", []string{"/f", "/g"}},
	{"/^h$", "/^h$", []string{"/h"}},
	{"/i$", "/i$", []string{"/i"}},
	{"/.+", "/.+", []string{"/anything"}},
	{"/j%2A", "/j*", []string{"/jx", "/j"}},
	{"/k%3F", "/k%3F", []string{"/kx", "/k"}},
	{"/l%7B2%7D", "/l{2}", []string{"/ll"}},
	{"/~m", "/~m", []string{"/m"}},
	{"/!n", "/!n", []string{"/n", "/x"}},
}

// literalTable has a line for every literal, with this for what it needs.
func literalTable(need, fallback string) string {
	var lines strings.Builder
	for _, l := range literals {
		_, _ = fmt.Fprintf(&lines, "%q %s\n", l.pattern, need)
	}
	return "byoa\nstep_up {\n" + lines.String() + "default " + fallback + "\n}\nreverse_proxy {{upstream}}"
}

// A dot that is taken for "any character" opens a route that nobody named (Istio
// CVE-2026-39350). The patterns of a table are literal, but for what stands in braces; there
// are no regular expressions among them. (In front of `byoa` and `step_up` stand matchers of
// Caddy, of which path has a star, and path_regexp is what its name says.)
func TestDotInAPatternIsADot(t *testing.T) {
	for name, c := range map[string]struct {
		site           string
		itself, others string // what comes of a request without a scope: "" is that it passes
	}{
		"that opens":  {literalTable("-", "deny"), "", "route_denied"},
		"that guards": {literalTable("admin", "session"), "step_up_required", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, plainEnvironment, c.site)
			alice := g.external("alice")
			for _, l := range literals {
				want := map[string]string{l.path: c.itself}
				for _, near := range l.near {
					want[near] = c.others
				}
				for path, code := range want {
					before := g.upstream.count()
					got := g.wire(path, alice, "")
					if got.code != code || got.status != map[bool]int{true: 200, false: 403}[code == ""] {
						t.Errorf("%s under the pattern %s: %d %q, want %q", path, l.pattern, got.status, got.code, code)
					}
					if passed := g.upstream.count() > before; passed != (code == "") {
						t.Errorf("%s reached the upstream: %t", path, passed)
					}
				}
			}
		})
	}
}

// What looks like an expression or a placeholder and cannot be meant literally is no pattern at all.
func TestExpressionIsNoPattern(t *testing.T) {
	g := prepare(t)
	for _, c := range []struct{ pattern, mention, good string }{
		{"/a/*", "* is no wildcard", "/a/{rest...}"},
		{"/a/.*", "* is no wildcard", "/a/{any}"},
		{"/a?", "is a path", "/a%3F"},
		{`/a\.b`, "is a path", "/a.b"},
		{"/a{2}", "is no wildcard", "/a/{2}"},
		{"^/a", "nor a path", "/^a"},
		{"~/a", "nor a path", "/~a"},
		{"/{env.HOME}/a", "{env.HOME} is a placeholder", "/{home}/a"}, // it would be open to whatever stands there
		{"/{header.X-Tenant}/a", "{http.request.header.X-Tenant} is a placeholder", "/{header}/a"},
		{"/{http.request.host}x/a", "is no wildcard", "/{host}/a"},
		{"/{path.0}/a", "{http.request.uri.path.0} is a placeholder", "/{path}/a"},
		{"/{http.request.orig_uri.nothing}/a", "is a placeholder", "/{remote_host}/{client_ip}/{orig_path}/a"},
	} {
		site := func(pattern string) string {
			return fmt.Sprintf("byoa\nstep_up {\n%q -\n}\nreverse_proxy {{upstream}}", pattern)
		}
		if err := g.tryLoad(plainEnvironment, site(c.pattern)); err == nil || !strings.Contains(err.Error(), c.mention) {
			t.Errorf("%s: error %v, want one that says %q", c.pattern, err, c.mention)
		}
		if err := g.tryLoad(plainEnvironment, site(c.good)); err != nil {
			t.Errorf("%s: %v", c.good, err)
		}
	}
}

// A namesake is what nearly has the name that the config trusts.
type namesake struct {
	what       string
	good, near request
	status     int
	code       string
}

// Whatever else names somebody has dots in it too: whoever owns the name with another letter
// there is not who is trusted.
func TestDotInANameIsADot(t *testing.T) {
	const app, appAlmost = "https://app.example.com", "https://appXexample.com"
	g := start(t, `environment {
			{{environment}}
			cookie_name session_jwt
			cors `+app+`
		}`, `byoa
	step_up {
		/paid wallet.pay
		/{rest...} -
	}
	reverse_proxy {{upstream}}`)
	alice := g.external("alice")
	from := func(origin string) request {
		return request{method: "POST", path: "/x", cookie: "session_jwt=" + alice, header: http.Header{"Origin": {origin}}}
	}
	with := func(claims map[string]any) request {
		return request{path: "/x", bearer: g.external("alice", claims)}
	}
	asserting := func(scope string) request {
		return request{path: "/paid", bearer: alice, assertion: g.assertion("alice", scope)}
	}
	for _, n := range []namesake{
		{"an issuer", with(nil), with(map[string]any{"iss": strings.Replace(g.issuer.URL(), ".", "X", 1)}), 401, "issuer_mismatch"},
		{"an audience", with(nil), with(map[string]any{"aud": strings.Replace(audience, ".", "X", 1)}), 401, "audience_mismatch"},
		{
			"an audience of several", with(map[string]any{"aud": []string{"x", audience}}),
			with(map[string]any{"aud": []string{"x", strings.Replace(audience, ".", "X", 1)}}), 401, "audience_mismatch",
		},
		{"an origin", from(app), from(appAlmost), 403, "cross_origin"},
		{"a scope", asserting("wallet.pay"), asserting("walletXpay"), 403, "step_up_required"},
		{"a cookie", from(app), request{path: "/x", cookie: "sessionXjwt=" + alice}, 401, "token_missing"},
	} {
		t.Run(n.what, func(t *testing.T) {
			g.want(n.good, 200, "")
			before := g.upstream.count()
			got := g.want(n.near, n.status, n.code)
			if g.upstream.count() != before {
				t.Error("it reached the upstream")
			}
			if origin := n.near.header.Get("Origin"); origin != "" && got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s may read the answer", origin)
			}
		})
	}
}
