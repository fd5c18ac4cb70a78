package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// An sdkMode is how an app and the gateway pass sessions and external JWTs on.
type sdkMode struct {
	name     string
	lines    string // of the environment
	external bool   // the external JWT is in a cookie, where the login system left it
	session  string // name of the cookie that holds the session; empty: the SDK holds its token
}

var sdkModes = []sdkMode{
	{name: "headers"},
	{name: "external JWT in a cookie", external: true},
	{name: "session in a cookie", session: "__Host-byoa"},
	{name: "both in cookies", external: true, session: "__Host-byoa"},
}

func (m sdkMode) cookies() bool { return m.external || m.session != "" }

func (m sdkMode) config(origins ...string) config {
	lines := m.lines + "\ncors " + strings.Join(origins, " ")
	if m.session != "" {
		lines += "\nsession {\ncookie " + m.session + "\n}"
	}
	// With log_credentials Caddy writes out what it would else hide by itself.
	return config{Global: "servers {\nlog_credentials\n}", Environment: lines, NoCookie: !m.external}
}

func TestSDK(t *testing.T) {
	node, chromium := onNode(t), onChromium(t)
	for _, m := range sdkModes {
		front := startFront(t)
		g := startGateway(t, m.config(front.origin))
		for _, p := range []platform{node, chromium} {
			t.Run(m.name+"/"+p.name, func(t *testing.T) {
				l := &life{sdkMode: m, platform: p, gateway: g, sdkApp: p.app(t, front, startWire(t, g), m.cookies())}
				l.begin(t)
				l.signIn(t)
				l.stepUp(t)
				l.refresh(t)
				l.goOn(t)
				l.end(t)
			})
		}
	}
}

// A life is that of one app, from its first start to the user's logout.
type life struct {
	*sdkApp
	sdkMode
	platform
	gateway *gateway
	jwt     string // the external one
	user    sdkUser
}

// begin: nobody is signed in, and in the cookie modes the SDK asks whether somebody is.
func (l *life) begin(t *testing.T) {
	t.Helper()
	l.open(t)
	if s := l.state(t); s.SignedIn || !s.Settings.Security.ExternalAuth.Enabled {
		t.Fatalf("at first the SDK says %+v, want nobody signed in, and external sign-in enabled", s)
	}
	refreshes := l.wire.calls(http.MethodPost, apiPath+"/refresh")
	if !l.cookies() {
		if len(refreshes) != 0 {
			t.Errorf("the SDK asked for a session %d times", len(refreshes))
		}
		return
	}
	if len(refreshes) != 1 || refreshes[0].status != http.StatusUnauthorized || refreshes[0].text("error") == "" {
		t.Errorf("the SDK asked for a session and got %v, want one 401 with an error in words", refreshes)
	}
	l.request(t, "GET", home, "", 401, "token_missing")
}

func (l *life) signIn(t *testing.T) {
	t.Helper()
	l.jwt = l.gateway.issuer.token(t, claims{"email": "a@example.test", "emailVerified": true})
	if l.external {
		l.do(t, claims{"do": "login", "jwt": l.jwt})
		l.do(t, claims{"do": "signIn"})
	} else {
		l.sdkApp.signIn(t, l.jwt)
	}
	s := l.state(t)
	l.user = s.User
	if !s.SignedIn || s.User.ID == "" || s.User.Email != "a@example.test" || !slices.Equal(s.User.external(), []string{"user-1"}) {
		t.Fatalf("the SDK says %+v, want user-1 signed in", s)
	}
	if hidden := l.session != ""; hidden != (s.Token == "") {
		t.Errorf("the SDK has a token: %v, want %v", s.Token != "", !hidden)
	}
	l.checkCookies(t)
	l.checkEnd(t, "/externalAuth/signin")
	l.checkDevice(t, l.wire.last(t, http.MethodPost, "/externalAuth/signin"))
	l.request(t, "GET", home, "", 200, "")
}

// checkEnd wants the SDK to know when the session ends that an endpoint has answered with: when its token does.
func (l *life) checkEnd(t *testing.T, endpoint string) {
	t.Helper()
	s := l.state(t)
	if l.session != "" {
		s.Token = l.wire.last(t, http.MethodPost, endpoint).cookie(t, l.session).Value
	}
	end := l.gateway.issuer.verify(t, s.Token, l.gateway.jwksURL(), claims{"audience": environmentID}).date(t, "exp")
	if got, err := time.Parse(time.RFC3339, s.SessionExpiresAt); err != nil || !got.Equal(end) {
		t.Errorf("%s: for the SDK the session ends at %s, want %v, the token's exp", endpoint, s.SessionExpiresAt, end.UTC())
	}
}

// checkCookies wants the session where scripts do not reach it, if it is in a cookie. A
// token that the SDK holds it keeps in a cookie of its own too, where it uses cookies at all.
func (l *life) checkCookies(t *testing.T) {
	t.Helper()
	if l.session != "" {
		set := l.wire.last(t, http.MethodPost, "/externalAuth/signin").cookie(t, l.session)
		if !set.HttpOnly || !set.Secure || set.SameSite != http.SameSiteLaxMode {
			t.Errorf("the session cookie is HttpOnly %v, Secure %v, SameSite %v", set.HttpOnly, set.Secure, set.SameSite)
		}
	}
	if l.browse == nil {
		return
	}
	seen, _ := l.browse.evaluate(t, "document.cookie").(string)
	if own := l.external && l.session == ""; strings.HasPrefix(seen, "DYNAMIC_JWT_TOKEN=ey") != own || !own && seen != "" {
		t.Errorf("scripts see %d bytes of cookies, want a token of the SDK there: %v", len(seen), own)
	}
}

// checkDevice wants the device's signature in a call if it is the SDK's to send it.
func (l *life) checkDevice(t *testing.T, c call) {
	t.Helper()
	for _, name := range deviceHeaders {
		if sent := c.header.Get(name) != ""; sent == l.cookies() {
			t.Errorf("%s: %s was sent: %v, want %v", c.path, name, sent, !l.cookies())
		}
	}
}

func (l *life) stepUp(t *testing.T) {
	t.Helper()
	const scope = "wallet:export"
	if required := l.required(t, scope); !required {
		t.Errorf("%s needs no step-up, says the SDK", scope)
	}
	l.request(t, "POST", export, "", 403, "step_up_required")
	l.elevate(t, l.gateway.issuer.assertion(t, scope, nil))
	if required := l.required(t, scope); required {
		t.Errorf("with a token for %s, the SDK says that step-up is required", scope)
	}
	proof := l.take(t, scope)
	l.request(t, "POST", export, proof, 200, "")
	if seen := l.gateway.upstream.all(); seen[len(seen)-1].bearer(t) != proof {
		t.Error("the upstream got another token than the elevated one")
	}
	l.request(t, "POST", export, proof, 403, "elevated_used")
	if left := l.take(t, scope); left != "" {
		t.Error("the SDK still has the token that can be used once")
	}
	if required := l.required(t, scope); !required {
		t.Errorf("once the token is used, %s needs no step-up, says the SDK", scope)
	}
}

// required asks the SDK whether a scope needs step-up. Where the gateway was asked, it must name the credential to do it with.
func (l *life) required(t *testing.T, scope string) bool {
	t.Helper()
	var got struct {
		IsRequired  bool
		Credentials []struct{ ID, Format string }
	}
	convert(t, l.do(t, claims{"do": "check", "scope": scope}), &got)
	if !got.IsRequired {
		return false
	}
	if len(got.Credentials) != 1 || got.Credentials[0].Format != "externalUser" || got.Credentials[0].ID != l.user.VerifiedCredentials[0].ID {
		t.Errorf("to step up there are %+v, want the user's external credential of %+v", got.Credentials, l.user)
	}
	return true
}

func (l *life) refresh(t *testing.T) {
	t.Helper()
	before := l.state(t)
	l.do(t, claims{"do": "refresh"})
	after := l.state(t)
	if after.User.ID != l.user.ID || (l.session == "" && after.Token == before.Token) {
		t.Errorf("refreshed, the SDK says %+v, want the same user with a new token", after)
	}
	l.checkEnd(t, "/refresh")
	l.checkDevice(t, l.wire.last(t, http.MethodPost, "/refresh"))
	l.request(t, "GET", home, "", 200, "")
	l.checkNewCookie(t)
	l.do(t, claims{"do": "refreshUser"})
	if got := l.state(t).User; got.ID != l.user.ID || got.Email != l.user.Email || !slices.Equal(got.external(), l.user.external()) {
		t.Errorf("asked who it is, the gateway says %+v, want %+v", got, l.user)
	}
}

// checkNewCookie wants the session that was refreshed in another cookie than the one that was
// sent, and that one with the next request.
func (l *life) checkNewCookie(t *testing.T) {
	t.Helper()
	if l.session == "" {
		return
	}
	refreshed := l.wire.last(t, http.MethodPost, "/refresh")
	set := refreshed.cookie(t, l.session).Value
	next := l.wire.calls(http.MethodGet, home)
	before, after := refreshed.header.Get("Cookie"), next[len(next)-1].header.Get("Cookie")
	if strings.Contains(before, set) || !strings.Contains(after, set) {
		t.Errorf("the session cookie that the refresh sets was there before: %v, and is sent from then on: %v; want another one, and it sent",
			strings.Contains(before, set), strings.Contains(after, set))
	}
}

// goOn: after a reload, what the SDK and the browser have kept is enough.
func (l *life) goOn(t *testing.T) {
	t.Helper()
	const scope = "wallet:sign"
	l.elevate(t, l.gateway.issuer.assertion(t, scope, nil))
	l.reload(t, l.platform)
	if s := l.state(t); !s.SignedIn || s.User.ID != l.user.ID {
		t.Fatalf("after a reload the SDK says %+v, want user-1 signed in", s)
	}
	l.request(t, "GET", home, "", 200, "")
	for range 2 {
		l.request(t, "POST", sign, l.take(t, scope), 200, "")
	}
}

// end: what the app held is worth nothing from then on.
func (l *life) end(t *testing.T) {
	t.Helper()
	held := get(home).bearer(l.state(t).Token)
	if l.session != "" {
		c := l.wire.last(t, http.MethodGet, "/users") // the latest call that carried the cookie as it is now
		held = get(home).cookies(c.header.Get("Cookie"))
	}
	anew := post(sign).bearer(l.gateway.issuer.token(t, nil)).elevated(l.take(t, "wallet:sign")) // the same user, by another JWT
	l.gateway.send(t, anew).mustPass(t)
	l.do(t, claims{"do": "logout"})
	s := l.state(t)
	if s.SignedIn || s.Token != "" || l.take(t, "wallet:sign") != "" {
		t.Errorf("after the logout the SDK says %+v, want nobody signed in", s)
	}
	for _, message := range s.Logged {
		if message != "Session expired during initialization" { // as the SDK logs that nobody is signed in yet
			t.Errorf("the SDK logged the error %q", message)
		}
	}
	if got := l.wire.last(t, http.MethodPost, "/revoke"); got.status != http.StatusNoContent || got.header.Get("X-Dyn-Logout-Reason") != "user-intent" {
		t.Errorf("the logout was answered with %d, want 204", got.status)
	}
	l.gateway.send(t, held).mustRefuse(t, 401, "session_revoked")
	l.gateway.send(t, get(home).bearer(l.jwt)).mustRefuse(t, 401, "session_revoked")
	l.gateway.send(t, anew).mustRefuse(t, 403, "elevated_invalid")
	code := "token_missing"
	if l.external {
		code = "session_revoked" // the login system's cookie is still there
	}
	l.request(t, "GET", home, "", 401, code)
}
