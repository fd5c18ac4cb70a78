package caddymodule_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	sessionCookie = "__Host-byoa"

	cookieEnvironment = `environment {
			{{environment}}
			cookie_name ext
			session {
				cookie ` + sessionCookie + `
			}
			cors https://app.example.com
		}`
)

// setCookie is the session cookie that an answer sets, or nil.
func setCookie(t *testing.T, got response) *http.Cookie {
	t.Helper()
	cookies := (&http.Response{Header: got.header}).Cookies()
	switch {
	case len(cookies) == 0:
		return nil
	case len(cookies) > 1 || cookies[0].Name != sessionCookie:
		t.Fatalf("%d cookies are set, the first is %s", len(cookies), cookies[0].Name)
	}
	return cookies[0]
}

// wantSessionCookie fails the test unless an answer sets the session cookie, out of
// everybody's reach, and tells the token nowhere else. It returns the cookie as a browser sends it.
func (g *running) wantSessionCookie(got response) string {
	g.t.Helper()
	c := setCookie(g.t, got)
	if c == nil {
		g.t.Fatal("no session cookie is set")
	}
	g.secret(c.Value)
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		g.t.Error("the session cookie is not HttpOnly, Secure, SameSite=Lax and for all of this host alone")
	}
	if exp := time.Unix(int64(date(g.t, claimsOf(g.t, c.Value), "exp")), 0); !c.Expires.Equal(exp) {
		g.t.Errorf("the cookie ends at %v, its session at %v", c.Expires, exp)
	}
	if _, told := got.body["minifiedJwt"]; told {
		g.t.Error("the body tells the session token, where scripts can read it")
	}
	return sessionCookie + "=" + c.Value
}

func (g *running) signedInCookie(external string) string {
	g.t.Helper()
	return g.wantSessionCookie(g.want(request{method: "POST", path: endpoints + "/externalAuth/signin", body: `{"jwt":"` + external + `"}`}, 200, ""))
}

// A page is what the browser says of the page that made it send a request.
type page struct {
	name    string
	header  http.Header
	allowed bool
}

func (g *running) pages() []page {
	own := "http://" + g.address
	return []page{
		{"a page of this origin", http.Header{"Origin": {own}, "Sec-Fetch-Site": {"same-origin"}}, true},
		{"a page of this origin, old browser", http.Header{"Origin": {own}}, true},
		{"a page of an origin of cors", http.Header{"Origin": {"https://app.example.com"}, "Sec-Fetch-Site": {"cross-site"}}, true},
		{"a page of another site", http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}, false},
		{"a page of another site, old browser", http.Header{"Origin": {"https://evil.example"}}, false},
		{"a page of another host of this site", http.Header{"Origin": {"https://www.example.com"}, "Sec-Fetch-Site": {"same-site"}}, false},
		{"a sandboxed page", http.Header{"Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}}, false},
	}
}

// A browser sends the session cookie along with whatever any page makes it send. Only
// pages that are trusted may change something by that.
func TestSessionCookieServesOnlyPagesThatAreTrusted(t *testing.T) {
	g := start(t, cookieEnvironment, plainSite)
	for _, p := range g.pages() {
		t.Run(p.name, func(t *testing.T) {
			external := g.external("alice", map[string]any{"jti": p.name}) // or two of one second could be one JWT
			use := g.signedInCookie(external)
			for _, r := range []request{
				{path: "/open/x", cookie: use},
				{path: endpoints + "/externalAuth/signin", body: "{}", cookie: "ext=" + external},
				{path: endpoints + "/stepUp/check", body: `{"scope":"wallet:export"}`, cookie: use},
				{path: endpoints + "/externalAuth/verify", body: `{"jwt":"` + g.assertion("alice", "wallet:export") + `"}`, cookie: use},
				{path: endpoints + "/refresh", cookie: use},
			} {
				g.wantServed(p, r, 200)
			}
			g.want(request{path: "/wallets/1", cookie: use}, 200, "")
			g.wantServed(p, request{path: endpoints + "/revoke", cookie: use}, 204)
			if p.allowed {
				g.want(request{path: "/wallets/1", cookie: use}, 401, "session_revoked")
			} else {
				g.want(request{path: "/wallets/1", cookie: use}, 200, "") // nobody else signs the user out
			}
		})
	}
}

// wantServed sends r as a POST that page p causes. It is served, or refused without a trace.
func (g *running) wantServed(p page, r request, status int) {
	g.t.Helper()
	r.method, r.header = "POST", p.header
	before := g.upstream.count()
	if p.allowed {
		g.want(r, status, "")
		return
	}
	if got := g.want(r, 403, "cross_origin"); setCookie(g.t, got) != nil {
		g.t.Errorf("%s: a page without a say sets or clears the user's cookie", r.path)
	}
	if g.upstream.count() != before {
		g.t.Errorf("%s: the request reached the upstream", r.path)
	}
}

// A form on any page can post to the gateway, and browsers leave a SameSite cookie out of
// that. The answer is another matter: what it sets is set.
func TestNobodyElsesFormSignsTheUserOut(t *testing.T) {
	g := start(t, cookieEnvironment, plainSite)
	own := "http://" + g.address
	form := func(origin, site, cookie string) request {
		return request{method: "POST", path: endpoints + "/revoke", body: "a=b", cookie: cookie, header: http.Header{
			"Origin": {origin}, "Sec-Fetch-Site": {site}, "Sec-Fetch-Mode": {"navigate"}, "Content-Type": {"application/x-www-form-urlencoded"},
		}}
	}
	use := g.signedInCookie(g.external("alice"))
	for _, c := range []struct {
		name    string
		r       request
		status  int
		code    string
		cleared bool
	}{
		{"a stranger's", form(strangerOrigin, "cross-site", ""), 401, "token_missing", false},
		{"a sandboxed one's", form("null", "cross-site", ""), 401, "token_missing", false},
		{"a stranger's, with the cookie", form(strangerOrigin, "cross-site", use), 403, "cross_origin", false},
		{"one's own, without the cookie", form(own, "same-origin", ""), 401, "token_missing", false},
		{"one's own", form(own, "same-origin", use), 204, "", true},
	} {
		if c.cleared {
			g.want(request{path: "/wallets/1", cookie: use}, 200, "")
		}
		if cleared := setCookie(t, g.want(c.r, c.status, c.code)) != nil; cleared != c.cleared {
			t.Errorf("%s form: the cookie is cleared: %t, want %t", c.name, cleared, c.cleared)
		}
	}
	g.want(request{path: "/wallets/1", cookie: use}, 401, "session_revoked")
}

// The cookie of the login system may be anything when the user logs out: most apps delete it first.
func TestSigningOutBesideALoginThatIsNoGood(t *testing.T) {
	g := start(t, cookieEnvironment, plainSite)
	for name, login := range map[string]string{
		"deleted": "deleted", "of somebody else": g.external("bob"), "expired": g.external("alice", map[string]any{"exp": 1}), "twice": "a; ext=b",
	} {
		use := g.signedInCookie(g.external("alice", map[string]any{"jti": name}))
		got := g.want(request{method: "POST", path: endpoints + "/revoke", cookie: use + "; ext=" + login}, 204, "")
		if c := setCookie(t, got); c == nil || c.MaxAge >= 0 {
			t.Errorf("%s: the cookie is set to %v, want it cleared", name, c)
		}
		g.want(request{path: "/wallets/1", cookie: use}, 401, "session_revoked")
	}
}

// Where somebody else is here now, the endpoints clear what is left of the session before, as the gate does.
func TestEndpointsClearTheCookieOfWhoWasHereBefore(t *testing.T) {
	g := start(t, cookieEnvironment, plainSite)
	use := g.signedInCookie(g.external("alice"))
	for login, want := range map[string]int{"bob": 401, "alice": 200} {
		brought := use + "; ext=" + g.external(login, map[string]any{"jti": login})
		for _, r := range []request{
			{path: endpoints + "/users", cookie: brought},
			{method: "POST", path: endpoints + "/stepUp/check", body: `{"scope":"wallet:export"}`, cookie: brought},
			{method: "POST", path: endpoints + "/externalAuth/verify", body: `{"jwt":"` + g.assertion("alice", "wallet:export") + `"}`, cookie: brought},
		} {
			got := g.do(r)
			if token, ok := got.body["elevatedAccessToken"].(string); ok {
				g.secret(token)
			}
			if got.status != want || (setCookie(t, got) != nil) != (want == 401) {
				t.Errorf("%s beside a login of %s: %d, and the cookie is set to %v; want %d", r.path, login, got.status, setCookie(t, got), want)
			}
		}
	}
}

// Browsers drop cookies that are too large, so whoever needs one is refused, and has not been here.
func TestSignInThatNeedsTooLargeACookieIsNoVisit(t *testing.T) {
	g := start(t, cookieEnvironment, plainSite)
	large := g.external("carol", map[string]any{"bio": strings.Repeat("x", 3500)})
	got := g.want(request{method: "POST", path: signInPath, body: `{"jwt":"` + large + `"}`}, 422, "invalid_external_auth")
	if got.body["reason"] != "token_too_large" || setCookie(t, got) != nil {
		t.Errorf("the sign-in is refused because of %v, and sets %v; want token_too_large, and nothing", got.body["reason"], setCookie(t, got))
	}
	got = g.want(request{method: "POST", path: signInPath, body: `{"jwt":"` + g.external("carol") + `"}`}, 200, "")
	g.wantSessionCookie(got)
	if userOf(t, got.body)["newUser"] != true {
		t.Error("carol has been here before")
	}
}

func TestSessionCookieIsRefreshedAndCleared(t *testing.T) {
	g := start(t, cookieEnvironment, plainSite)
	first := g.signedInCookie(g.external("alice"))
	fresh := g.wantSessionCookie(g.want(request{method: "POST", path: endpoints + "/refresh", cookie: first}, 200, ""))
	if fresh == first {
		t.Error("the refreshed cookie holds the old token")
	}
	g.want(request{path: "/wallets/1", cookie: "a=1; " + fresh + "; b=2"}, 200, "")
	if got := g.upstream.last(t).Header.Get("Cookie"); got != "a=1; b=2" {
		t.Errorf("the upstream got the cookies %q", got)
	}
	g.want(request{path: "/wallets/1", cookie: first}, 200, "") // until its own end

	for range 2 { // signing out twice is no reason to keep the cookie
		got := g.do(request{method: "POST", path: endpoints + "/revoke", cookie: fresh})
		if c := setCookie(t, got); c == nil || c.MaxAge >= 0 || c.Value != "" || c.Path != "/" {
			t.Errorf("%d, the cookie is set to %v, want it cleared", got.status, c)
		}
	}
	for _, use := range []string{first, fresh} {
		g.want(request{path: "/wallets/1", cookie: use}, 401, "session_revoked")
	}
	got := g.want(request{method: "POST", path: endpoints + "/refresh", cookie: fresh}, 401, "session_revoked")
	if c := setCookie(t, got); c == nil || c.MaxAge >= 0 {
		t.Errorf("a cookie of no use is set to %v, want it cleared", c)
	}
}

// A WebSocket is opened with a GET, and then says what it likes: with the user's cookies
// it belongs to the pages that may use them.
func TestWebSocketWithTheSessionCookie(t *testing.T) {
	g := start(t, cookieEnvironment, plainSite)
	g.upstream.answer(echo)
	for _, p := range g.pages() {
		t.Run(p.name, func(t *testing.T) {
			use := g.signedInCookie(g.external("alice", map[string]any{"jti": p.name}))
			before := g.upstream.count()
			conn, in, res := g.upgrade(request{path: "/open/socket", cookie: use, header: p.header})
			if !p.allowed {
				if res.StatusCode != http.StatusForbidden || g.upstream.count() != before {
					t.Errorf("%s, %d requests upstream, want 403 and none", res.Status, g.upstream.count()-before)
				}
				return
			}
			if res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%s, want 101", res.Status)
			}
			said := make([]byte, 5)
			if _, err := io.WriteString(conn, "hello"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(in, said); err != nil || string(said) != "hello" {
				t.Fatalf("the echo is %q, %v", said, err)
			}
			g.want(request{method: "POST", path: endpoints + "/revoke", cookie: use, header: p.header}, 204, "")
			if rest, err := io.ReadAll(in); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after the user has signed out the connection gives %q, %v, want its end", rest, err)
			}
		})
	}
}

// echo switches protocols and says what it is told.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		return
	}
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.Copy(conn, in)
}

// upgrade asks for a WebSocket and returns the connection, with the answer.
func (g *running) upgrade(r request) (net.Conn, *bufio.Reader, *http.Response) {
	g.t.Helper()
	req, err := g.newRequest(r)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		g.t.Fatal(err)
	}
	if err := req.Write(conn); err != nil {
		g.t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, req)
	if err != nil {
		g.t.Fatal(err)
	}
	return conn, in, res
}
