package caddymodule_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

const (
	plainEnvironment = `environment {
			{{environment}}
		}`
	plainSite = `byoa_api
	byoa
	step_up {
		GET  /wallets/{id}        -
		POST /wallets/{id}/export wallet:export
		POST /wallets/{id}/sign   wallet:sign
		/open/{rest...}           -
		/closed                   deny
	}
	reverse_proxy {{upstream}}`
)

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(strings.TrimPrefix(token, "Bearer "), ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts, want a compact JWS", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestUpstreamGetsTheSessionInsteadOfTheExternalJWT(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	external := g.external("alice")
	g.want(request{path: "/wallets/1", bearer: external}, 200, "")
	got := g.upstream.last(t).Header.Get("Authorization")
	if strings.Contains(got, external) {
		t.Fatal("the external JWT reached the upstream")
	}
	claims := claimsOf(t, got)
	if claims["token_use"] != "session" || claims["external_user_id"] != "alice" || claims["environment_id"] != environmentID {
		t.Errorf("injected %v", claims)
	}
	// A session token is as good as the JWT it came from.
	g.want(request{path: "/wallets/1", bearer: strings.TrimPrefix(got, "Bearer ")}, 200, "")
}

func TestRefusalsBeforeTheUpstream(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	good := g.external("alice")
	g.want(request{path: "/wallets/1", bearer: good}, 200, "")
	before := g.upstream.count()
	for _, c := range []struct {
		name      string
		r         request
		status    int
		code      string
		challenge string
	}{
		{"no token", request{path: "/wallets/1"}, 401, "token_missing", `Bearer realm="byoa"`},
		{"garbage", request{path: "/wallets/1", bearer: "x"}, 401, "token_malformed", `Bearer realm="byoa", error="invalid_token"`},
		{"a basic login", request{path: "/wallets/1", header: http.Header{"Authorization": {"Basic eDp5"}}}, 401, "token_missing", `Bearer realm="byoa"`},
		{"two credentials", request{path: "/wallets/1", header: http.Header{"Authorization": {"Bearer " + good, "Bearer " + good}}}, 400, "bad_request", ""},
		{"no elevated token", request{method: "POST", path: "/wallets/1/export", bearer: good}, 403, "step_up_required", `Bearer realm="byoa", error="insufficient_scope", scope="wallet:export"`},
		{"a route for nobody", request{path: "/closed", bearer: good}, 403, "route_denied", `Bearer realm="byoa", error="insufficient_scope"`},
		{"a route nobody thought of", request{path: "/unlisted", bearer: good}, 403, "route_denied", `Bearer realm="byoa", error="insufficient_scope"`},
		{"another method", request{method: "DELETE", path: "/wallets/1", bearer: good}, 403, "route_denied", `Bearer realm="byoa", error="insufficient_scope"`},
		{"an ambiguous path", request{path: "/wallets/..%2fclosed", bearer: good}, 400, "ambiguous_path", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := g.want(c.r, c.status, c.code)
			if challenge := got.header.Get("WWW-Authenticate"); challenge != c.challenge {
				t.Errorf("challenge %q, want %q", challenge, c.challenge)
			}
			if got.header.Get("Cache-Control") != "no-store" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", got.header)
			}
		})
	}
	if n := g.upstream.count() - before; n != 0 {
		t.Errorf("%d refused requests reached the upstream", n)
	}
}

func TestStepUpByElevatedTokenAndByAssertion(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	for name, r := range map[string]request{
		"elevated":  {method: "POST", path: "/wallets/1/export", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")},
		"assertion": {method: "POST", path: "/wallets/1/export", bearer: session, assertion: g.assertion("alice", "wallet:export")},
	} {
		t.Run(name, func(t *testing.T) {
			g.want(r, 200, "")
			seen := g.upstream.last(t)
			claims := claimsOf(t, seen.Header.Get("Authorization"))
			if claims["token_use"] != "elevated" || claims["scope"] != "wallet:export" || claims["singleUse"] != true {
				t.Errorf("injected %v", claims)
			}
			for _, proof := range []string{"X-Dyn-Elevated-Access-Token", "X-Step-Up-Assertion"} {
				if seen.Header.Get(proof) != "" {
					t.Errorf("%s reached the upstream", proof)
				}
			}
			again := g.do(r)
			if again.status != 403 && again.status != 401 || again.code != map[string]string{"elevated": "elevated_used", "assertion": "replayed"}[name] {
				t.Errorf("the second use: %d %s", again.status, again.code)
			}
		})
	}
}

func TestOfSixtyFourRacersOneReachesTheUpstream(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	r := request{method: "POST", path: "/wallets/1/export", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")}
	before := g.upstream.count()
	var ok atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if g.do(r).status == 200 {
				ok.Add(1)
			}
		})
	}
	wg.Wait()
	if ok.Load() != 1 || g.upstream.count()-before != 1 {
		t.Errorf("%d answered 200, %d reached the upstream; want 1 and 1", ok.Load(), g.upstream.count()-before)
	}
}

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
	return string(answer)
}

// Trailers arrive after everything was decided; many servers merge them into the headers.
func TestForgedTrailersNeverReachTheUpstream(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		claim_header X-User-Id user_id
	}
	reverse_proxy {{upstream}}`)
	raw := g.raw("POST / HTTP/1.1\r\nHost: " + g.address + "\r\nAuthorization: Bearer " + g.external("alice") +
		"\r\nConnection: close\r\nTrailer: X-Honest, X-User-Id\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"2\r\nhi\r\n0\r\nX-Honest: kept\r\nX-User-Id: evil\r\n\r\n")
	if !strings.HasPrefix(raw, "HTTP/1.1 200") {
		t.Fatalf("answer %q", raw)
	}
	seen := g.upstream.last(t)
	if got := seen.Trailer.Get("X-User-Id"); got != "" {
		t.Errorf("the trailer X-User-Id: %q reached the upstream", got)
	}
	if got := seen.Trailer.Get("X-Honest"); got != "kept" {
		t.Errorf("the trailer X-Honest is %q", got)
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

func TestPassErrors(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		pass_errors
	}
	reverse_proxy {{upstream}}
	handle_errors {
		respond "{err.status_code} {http.error.byoa.code}"
	}`)
	got := g.do(request{path: "/"})
	if got.status != 401 || got.raw != "401 token_missing" || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("%d %q %v", got.status, got.raw, got.header)
	}
}

func TestCookies(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			cookie_name ext
			session {
				cookie byoa
			}
			cors https://app.example.com
		}`, plainSite)
	external := g.external("alice")
	cookie := `a=1; ext=` + external + `; b="odd value"; c`
	g.want(request{path: "/open/x", cookie: cookie}, 200, "")
	if got := g.upstream.last(t).Header.Get("Cookie"); got != `a=1; b="odd value"; c` {
		t.Errorf("the upstream got the cookies %q", got)
	}
	t.Run("a page of another origin cannot use them", func(t *testing.T) {
		for name, h := range map[string]http.Header{
			"fetch metadata": {"Sec-Fetch-Site": {"cross-site"}},
			"origin":         {"Origin": {"https://evil.example"}},
		} {
			r := request{method: "POST", path: "/open/x", cookie: cookie, header: h}
			g.want(r, 403, "cross_origin")
			r.method = "GET"
			g.want(r, 200, "")
			r.header["Upgrade"], r.header["Connection"] = []string{"websocket"}, []string{"Upgrade"}
			g.want(r, 403, "cross_origin")
			r.header.Del("Upgrade")
			r.header.Del("Connection")
			r.method, r.cookie, r.bearer = "POST", "", external
			if got := g.do(r); got.status != 200 {
				t.Errorf("%s: a token in a header was refused: %d %s", name, got.status, got.code)
			}
		}
	})
	t.Run("an origin of cors can", func(t *testing.T) {
		r := request{method: "POST", path: "/open/x", cookie: cookie, header: http.Header{"Origin": {"https://app.example.com"}, "Sec-Fetch-Site": {"cross-site"}}}
		got := g.want(r, 200, "")
		if got.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" || got.header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("headers %v", got.header)
		}
	})
	t.Run("twice is one too many", func(t *testing.T) {
		g.want(request{path: "/open/x", cookie: "ext=" + external + "; ext=" + external}, 400, "bad_request")
	})
	t.Run("a session left over from somebody else is dropped", func(t *testing.T) {
		mallory := g.cookieSession("mallory")
		got := g.want(request{path: "/open/x", cookie: "ext=" + external + "; byoa=" + mallory}, 200, "")
		if claims := claimsOf(t, g.upstream.last(t).Header.Get("Authorization")); claims["external_user_id"] != "alice" {
			t.Errorf("the upstream was told %v", claims["external_user_id"])
		}
		if cleared := got.header.Get("Set-Cookie"); !strings.HasPrefix(cleared, "byoa=;") {
			t.Errorf("Set-Cookie %q, want it cleared", cleared)
		}
		got = g.want(request{path: "/open/x", cookie: "ext=" + external + "; byoa=" + g.cookieSession("alice")}, 200, "")
		if set := got.header.Get("Set-Cookie"); set != "" {
			t.Errorf("alice's own session was cleared: %q", set)
		}
	})
}

// cookieSession signs in at the endpoints and returns the value of the session cookie.
func (g *running) cookieSession(user string) string {
	g.t.Helper()
	got := g.want(request{
		method: "POST", path: "/api/v0/sdk/" + environmentID + "/externalAuth/signin",
		body: `{"jwt":"` + g.external(user) + `"}`,
	}, 200, "")
	cookies := (&http.Response{Header: got.header}).Cookies()
	if len(cookies) != 1 {
		g.t.Fatalf("%d cookies", len(cookies))
	}
	return g.secret(cookies[0].Value)
}

func TestOptional(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			cookie_name ext
		}`, `byoa {
		optional
	}
	step_up /admin admin
	reverse_proxy {{upstream}}`)
	for _, r := range []request{{path: "/"}, {path: "/", cookie: "ext=garbage"}} {
		g.want(r, 200, "")
		if got := g.upstream.last(t).Header.Get("Authorization"); got != "" {
			t.Errorf("somebody's token for nobody: %q", got)
		}
	}
	g.want(request{path: "/", bearer: "garbage"}, 401, "token_malformed")
	g.want(request{path: "/", bearer: g.external("alice")}, 200, "")
	g.want(request{path: "/admin"}, 401, "token_missing")
	g.want(request{path: "/admin", bearer: g.external("alice")}, 403, "step_up_required")
}

func TestClaimHeadersAndPlaceholders(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		token_header X-Session
		claim_header X-User user_id
		claim_header X-External external_id
		claim_header X-Sid session
		claim_header X-Name name
		claim_header X-Level profile.level
		claim_header X-Absent absent
		claim_header X-Split evil
		claim_header X-Umlaut umlaut
		claim_header X-Long long
		claim_header X-List list
		claim_header X-Expand expand
	}
	header >X-Seen "{http.auth.user.external_id} {byoa.claims.profile.level} {byoa.claims.expand}"
	reverse_proxy {{upstream}}`)
	claims := map[string]any{
		"name": "Alice A", "profile": map[string]any{"level": 3}, "evil": "a\r\nX-Evil: 1", "umlaut": "ä",
		"long": strings.Repeat("x", 64<<10/8), "list": []string{"a"}, "expand": "{env.PATH}",
	}
	for _, bearer := range []string{g.external("alice", claims)} {
		got := g.want(request{path: "/", bearer: bearer}, 200, "")
		h := g.upstream.last(t).Header
		session := claimsOf(t, h.Get("X-Session"))
		for name, want := range map[string]string{
			"X-User": fmt.Sprint(session["sub"]), "X-External": "alice", "X-Sid": fmt.Sprint(session["sid"]),
			"X-Name": "Alice A", "X-Level": "3", "X-Expand": "{env.PATH}",
			"X-Absent": "", "X-Split": "", "X-Evil": "", "X-Umlaut": "", "X-Long": "", "X-List": "", "Authorization": "",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, h.Get(name), want)
			}
		}
		if seen := got.header.Get("X-Seen"); seen != "alice 3 {env.PATH}" {
			t.Errorf("placeholders %q", seen)
		}
	}
}

// What the external JWT said is not forgotten when the client goes on with the session token.
func TestClaimHeadersWithASessionToken(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api
	byoa {
		claim_header X-External external_id
		claim_header X-Aud aud
	}
	reverse_proxy {{upstream}}`)
	g.want(request{path: "/", bearer: g.signIn("alice")}, 200, "")
	if h := g.upstream.last(t).Header; h.Get("X-External") != "alice" || h.Get("X-Aud") != audience {
		t.Errorf("headers %v", h)
	}
}

func TestElevatedHeaderLeavesTheSession(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api
	byoa {
		elevated_header X-Elevated
	}
	step_up wallet:export
	reverse_proxy {{upstream}}`)
	session := g.signIn("alice")
	g.want(request{path: "/", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")}, 200, "")
	h := g.upstream.last(t).Header
	if claimsOf(t, h.Get("Authorization"))["token_use"] != "session" || claimsOf(t, h.Get("X-Elevated"))["token_use"] != "elevated" {
		t.Errorf("headers %v", h)
	}
}

func TestKeepExternal(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			cookie_name ext
		}`, `byoa {
		keep_external
		token_header X-Session
	}
	reverse_proxy {{upstream}}`)
	external := g.external("alice")
	g.want(request{path: "/", bearer: external}, 200, "")
	if got := g.upstream.last(t).Header.Get("Authorization"); got != "Bearer "+external {
		t.Errorf("Authorization %q", got)
	}
	session := g.upstream.last(t).Header.Get("X-Session")
	g.want(request{path: "/", cookie: "ext=" + external}, 200, "")
	if got := g.upstream.last(t).Header.Get("Cookie"); got != "ext="+external {
		t.Errorf("Cookie %q", got)
	}
	g.want(request{path: "/", bearer: session}, 200, "")
	if got := g.upstream.last(t).Header.Get("Authorization"); got != "" {
		t.Errorf("a session token is no external JWT, and was passed on as one: %q", got)
	}
}

func TestAllowQuery(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		allow_query token
	}
	reverse_proxy {{upstream}}`)
	external := g.external("alice")
	g.want(request{path: "/x?a=%201&token=" + external + "&b=2"}, 200, "")
	if got := g.upstream.last(t).URL.RawQuery; got != "a=%201&b=2" {
		t.Errorf("the upstream got the query %q", got)
	}
	g.want(request{path: "/x?token=" + external + "&token=" + external}, 400, "bad_request")
	g.want(request{path: "/x?other=token"}, 401, "token_missing")
}

func TestAllowPath(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		allow_path encoded_slash
	}
	reverse_proxy {{upstream}}`)
	external := g.external("alice")
	g.want(request{path: "/a%2fb", bearer: external}, 200, "")
	if got := g.upstream.last(t).URL.EscapedPath(); got != "/a%2fb" {
		t.Errorf("the upstream got %q", got)
	}
	g.want(request{path: "/a%5cb", bearer: external}, 400, "ambiguous_path")
}

func TestSeveralStepUpsOnOneRequest(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api
	byoa
	step_up /both/* one
	step_up * two
	reverse_proxy {{upstream}}`)
	session := g.signIn("alice")
	g.want(request{path: "/both/x", bearer: session, elevated: g.elevate(session, "alice", "one two")}, 200, "")
	g.want(request{path: "/both/x", bearer: session, elevated: g.elevate(session, "alice", "one")}, 403, "step_up_required")
	g.want(request{path: "/other", bearer: session, elevated: g.elevate(session, "alice", "two")}, 200, "")
}

func TestStepUpWithoutAGateRefusesEverything(t *testing.T) {
	g := start(t, plainEnvironment, `step_up admin
	reverse_proxy {{upstream}}`)
	g.want(request{path: "/", bearer: g.external("alice"), assertion: g.assertion("alice", "admin")}, 500, "internal_error")
	if g.upstream.count() != 0 {
		t.Error("it reached the upstream")
	}
}

func TestReportOnlyRefusesNothingAndStillSpends(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api
	byoa
	step_up /new/* wallet:export {
		report_only
	}
	step_up /old/* wallet:export
	reverse_proxy {{upstream}}`)
	session := g.signIn("alice")
	g.want(request{path: "/new/x", bearer: session}, 200, "")
	elevated := g.elevate(session, "alice", "wallet:export")
	g.want(request{path: "/new/x", bearer: session, elevated: elevated}, 200, "")
	g.want(request{path: "/old/x", bearer: session, elevated: elevated}, 403, "elevated_used")
}

func TestReauthentication(t *testing.T) {
	g := start(t, plainEnvironment, `byoa
	step_up admin {
		max_age 5m
		acr mfa
	}
	reverse_proxy {{upstream}}`)
	now := time.Now().Unix()
	fresh := g.external("alice", map[string]any{"auth_time": now, "acr": "mfa"})
	old := g.external("alice", map[string]any{"auth_time": now - 400, "acr": "mfa"})
	g.want(request{path: "/", bearer: fresh, assertion: g.assertion("alice", "admin")}, 200, "")
	assertion := g.assertion("alice", "admin")
	got := g.want(request{path: "/", bearer: old, assertion: assertion}, 401, "reauthentication_required")
	if want := `Bearer realm="byoa", error="insufficient_user_authentication", acr_values="mfa", max_age="300"`; got.header.Get("WWW-Authenticate") != want {
		t.Errorf("challenge %q, want %q", got.header.Get("WWW-Authenticate"), want)
	}
	g.want(request{path: "/", bearer: fresh, assertion: assertion}, 200, "") // what was refused had spent nothing
}

func TestPreflights(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			cors https://app.example.com
		}`, plainSite)
	preflight := func(origin, path string) response {
		return g.do(request{method: "OPTIONS", path: path, header: http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type"},
		}})
	}
	for _, path := range []string{"/wallets/1/export", "/api/v0/sdk/" + environmentID + "/externalAuth/signin"} {
		before := g.upstream.count()
		got := preflight("https://app.example.com", path)
		if got.status/100 != 2 || got.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
			!strings.Contains(got.header.Get("Access-Control-Allow-Methods"), "POST") || got.header.Get("Access-Control-Max-Age") != "600" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
		if g.upstream.count() != before {
			t.Errorf("%s: an answered preflight reached the upstream", path)
		}
		if got := preflight("https://evil.example", path); got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: another origin was allowed", path)
		}
	}
	// Errors are readable for the page too, or the SDK would only know that something failed.
	got := g.do(request{path: "/wallets/1", header: http.Header{"Origin": {"https://app.example.com"}}})
	if got.status != 401 || got.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("%d %v", got.status, got.header)
	}
	g.upstream.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	})
	got = g.do(request{path: "/wallets/1", bearer: g.external("alice"), header: http.Header{"Origin": {"https://app.example.com"}}})
	if values := got.header.Values("Access-Control-Allow-Origin"); len(values) != 1 || values[0] != "https://app.example.com" {
		t.Errorf("the upstream's own CORS headers got through: %q", values)
	}
}

func TestSwitchedOff(t *testing.T) {
	g := start(t, `environment {
			{{environment}}
			enabled off
		}`, plainSite)
	g.want(request{path: "/wallets/1"}, 403, "external_auth_disabled")
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 403, "external_auth_disabled")
	g.want(request{method: "POST", path: "/api/v0/sdk/" + environmentID + "/externalAuth/signin", body: `{"jwt":"` + g.external("alice") + `"}`}, 403, "external_auth_disabled")
}

func TestEndpointsLeaveOtherPathsAlone(t *testing.T) {
	g := start(t, plainEnvironment, `byoa_api /api/v0
	reverse_proxy {{upstream}}`)
	g.want(request{path: "/api/v0/users"}, 200, "")
	g.want(request{path: "/api/v0/sdk/11111111-1111-4111-8111-111111111111/refresh", method: "POST"}, 404, "not_found")
	g.want(request{path: "/api/v0/sdk/" + environmentID + "/refresh", method: "POST"}, 401, "token_missing")
	g.want(request{path: "/api/v0/sdk/" + environmentID + "/.well-known/jwks.json"}, 200, "")
}

func TestCheckIsPublicOnlyIfItIsSaidTo(t *testing.T) {
	check := request{method: "POST", path: "/api/v0/environments/" + environmentID + "/externalJwt/check"}
	g := start(t, plainEnvironment, `byoa_api {
		check public
	}
	reverse_proxy {{upstream}}`)
	g.signIn("alice") // so that the issuer's keys are here: a check fetches none
	check.body = `{"encodedJwt":"` + g.external("alice", map[string]any{"aud": "elsewhere"}) + `"}`
	if got := g.want(check, 200, ""); got.body["valid"] != false || !strings.Contains(got.raw, `"errors":["audience_mismatch"]`) {
		t.Errorf("answer %s", got.raw)
	}
	fetches := g.issuer.Fetches()
	other := verifiertest.NewIssuer(t)
	check.body = `{"encodedJwt":"` + g.secret(other.Token(map[string]any{"iss": g.issuer.URL(), "aud": audience})) + `"}`
	if got := g.want(check, 200, ""); !strings.Contains(got.raw, `"errors":["key_not_found"]`) {
		t.Errorf("answer %s", got.raw)
	}
	if n := g.issuer.Fetches() - fetches; n != 0 {
		t.Errorf("a stranger's question caused %d fetches", n)
	}
	g.load(plainEnvironment, "byoa_api\n\treverse_proxy {{upstream}}")
	if got := g.want(check, 200, ""); got.raw != "upstream" {
		t.Errorf("answered without being told to: %s", got.raw)
	}
}

// Without a place for signing keys there would be tokens that nobody can verify after a restart.
func TestStorageThatCannotBeWrittenRefusesTheConfig(t *testing.T) {
	g := prepare(t)
	blocked := filepath.Join(g.storage(), "storage")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := g.tryLoad(plainEnvironment, plainSite)
	if err == nil || !strings.Contains(err.Error(), "environment default") || !strings.Contains(err.Error(), blocked) {
		t.Fatalf("error %v, want one that names the environment and the path", err)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	g.load(plainEnvironment, plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
}

// A second gate of the same environment decides nothing anew, but what it says must hold.
func TestASecondGateKeepsItsPromises(t *testing.T) {
	g := start(t, plainEnvironment, `byoa {
		optional
	}
	route /private {
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
	handle_errors {
		redir https://login.example/?next={http.request.orig_uri} 303
	}`)
	external := g.external("alice")
	g.want(request{path: "/x?a=1&token=" + external}, 200, "")
	if h := g.upstream.last(t).Header; h.Get("X-Original-Uri") != "/x?a=1" || h.Get("X-Uri") != "/x?a=1" {
		t.Errorf("the upstream got %q and %q", h.Get("X-Original-Uri"), h.Get("X-Uri"))
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

func TestEndpointPathsMustBePlain(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	endpoint := "/api/v0/sdk/" + environmentID + "/"
	g.want(request{method: "POST", path: endpoint + "x/..%2frefresh"}, 400, "ambiguous_path")
	g.want(request{method: "POST", path: endpoint + "refresh"}, 401, "token_missing")
}

// A browser's question carries no credential and is asked for none; with a body it is no question.
func TestPreflightWithABodyIsARequest(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	r := request{method: "OPTIONS", path: "/closed", header: http.Header{
		"Origin": {"https://other.example"}, "Access-Control-Request-Method": {"POST"},
	}}
	g.want(r, 200, "")
	r.body = "pay"
	g.want(r, 401, "token_missing")
}

// What was remembered under an old config is not believed under a stricter one.
func TestStricterConfigForgetsWhatWasVerified(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	alice := g.external("alice")
	g.want(request{path: "/wallets/1", bearer: alice}, 200, "")
	g.load(strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\n\t\t\talgorithms EdDSA", 1), plainSite)
	g.want(request{path: "/wallets/1", bearer: alice}, 401, "algorithm_not_allowed")
}

// What was used and revoked stays so through a reload, and one that is refused changes nothing.
func TestReload(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	r := request{method: "POST", path: "/wallets/1/export", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")}
	g.want(r, 200, "")
	g.load(plainEnvironment, plainSite+"\n\theader X-Config two")
	got := g.want(r, 403, "elevated_used")
	if got.header.Get("X-Config") != "two" {
		t.Error("the new config does not run")
	}
	if err := g.tryLoad(strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\n\t\t\tscope \"not a scope\"", 1), plainSite); err == nil {
		t.Fatal("a broken config was taken")
	}
	unopenable := "environment {\nissuer " + g.issuer.URL() + "\njwks_url " + g.issuer.JWKSURL() + "\nstore file /dev/null/store.db\n}"
	if err := g.tryLoad(unopenable, plainSite); err == nil || !strings.Contains(err.Error(), "/dev/null/store.db") {
		t.Fatalf("error %v, want one that names the store", err)
	}
	g.want(r, 403, "elevated_used")
	g.want(request{path: "/wallets/1", bearer: session}, 200, "")
}

// The README's recipe: a browser without a session is sent to the login page, and nothing else is.
func TestBrowserIsSentToTheLoginPage(t *testing.T) {
	recipe := ""
	for _, s := range snippets(t, "caddyfile") {
		if _, site, ok := strings.Cut(s, "\napp.example.com {\n"); ok {
			recipe = strings.ReplaceAll(strings.TrimSuffix(site, "}\n"), "localhost:3000", "{{upstream}}")
		}
	}
	g := start(t, `environment {
			{{environment}}
			cookie_name session_jwt
		}`, recipe)
	got := g.do(request{path: "/account?next=//evil.example"})
	if got.status != 303 || got.header.Get("Location") != "https://auth.example.com/login" {
		t.Errorf("%d to %q", got.status, got.header.Get("Location"))
	}
	g.want(request{path: "/account", cookie: "session_jwt=" + g.external("alice")}, 200, "")
	if got := g.do(request{method: "POST", path: "/account"}); got.status != 401 || got.raw != "401 token_missing" {
		t.Errorf("%d %q", got.status, got.raw)
	}
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
