package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// A browser asks before it sends what the SDK sends to another origin, and keeps the answers from
// pages that the gateway does not name.
func TestSDKOnAPageOfAnotherOrigin(t *testing.T) {
	front := startFront(t)
	g := startGateway(t, sdkMode{}.config(front.origin))
	chromium := onChromium(t)

	w := startWire(t, g)
	named := chromium.app(t, front, w, false)
	named.open(t)
	named.signIn(t, g.issuer.token(t, nil))
	named.request(t, "GET", home, "", 200, "")
	for _, path := range []string{apiPath + "/settings", apiPath + "/nonces", apiPath + "/externalAuth/signin", home} {
		asked := w.calls(http.MethodOptions, path)
		if len(asked) != 1 {
			t.Errorf("%s: Chromium asked %d times whether it may, want once", path, len(asked))
			continue
		}
		mustBePreflight(t, asked[0], front.origin)
	}

	w = startWire(t, g)
	stranger := chromium.strange(t, front, w)
	_, got := stranger.try(t, stranger.opening())
	if got == nil || got.Class != "TypeError" || got.Message != "Failed to fetch" {
		t.Errorf("on a page of a stranger the SDK throws %v, want TypeError Failed to fetch", got)
	}
	if asked, sent := len(w.calls(http.MethodOptions, apiPath+"/settings")), len(w.calls(http.MethodGet, apiPath+"/settings")); asked == 0 || sent != 0 {
		t.Errorf("on a page of a stranger Chromium asked %d times whether it may, and sent %d requests, want none", asked, sent)
	}
}

// strange is the app on the same page under another name.
func (p platform) strange(t *testing.T, front *front, w *wire) *sdkApp {
	t.Helper()
	p.browse.do(t, claims{
		"do": "open", "url": front.alias, "origins": []string{w.url}, "expected": []string{"has been blocked by CORS policy"},
	})
	t.Cleanup(func() { p.browse.do(t, claims{"do": "open", "url": "about:blank"}) })
	return &sdkApp{wire: w, front: front, ask: p.ask}
}

// mustBePreflight wants a question without credentials that was answered with yes, to this origin alone.
func mustBePreflight(t *testing.T, c call, origin string) {
	t.Helper()
	for _, name := range []string{"Authorization", "Cookie"} {
		if c.header.Get(name) != "" {
			t.Errorf("%s: Chromium asked with %s", c.path, name)
		}
	}
	if got := c.answer.Get("Access-Control-Allow-Origin"); c.status/100 != 2 || got != origin {
		t.Errorf("%s: the answer is %d for %q, want yes for %s", c.path, c.status, got, origin)
	}
	allowed := strings.Split(strings.ToLower(strings.ReplaceAll(c.answer.Get("Access-Control-Allow-Headers"), " ", "")), ",")
	for name := range strings.SplitSeq(c.header.Get("Access-Control-Request-Headers"), ",") {
		if !slices.Contains(allowed, name) {
			t.Errorf("%s: Chromium wants to send %s, and may send %q", c.path, name, allowed)
		}
	}
}

// A browser sends the cookies of a site with whatever pages of the same site ask for, and of
// those another port of the same host is one. What a stranger there may not do is for the gateway to say.
func TestSDKOnAStrangersPageWithTheUsersCookies(t *testing.T) {
	m := sdkMode{external: true, session: "__Host-byoa"}
	ours, strangers := startFront(t), startFront(t)
	g := startGateway(t, m.config(ours.origin))
	chromium, w := onChromium(t), startWire(t, g)
	a := chromium.app(t, ours, w, true)
	a.open(t)
	a.do(t, claims{"do": "login", "jwt": g.issuer.token(t, nil)})
	a.do(t, claims{"do": "signIn"})

	mustBeRefusedStranger(t, chromium, strangers, startWire(t, g))

	chromium.browse.do(t, claims{"do": "open", "url": ours.origin, "kept": true, "origins": []string{w.url}})
	a.do(t, merged(a.opening(), claims{"kept": true}))
	a.request(t, "GET", home, "", 200, "")
	for _, c := range changingCalls(t, g.issuer) {
		if seen := c.from(t, chromium.browse, w); seen != "done" {
			t.Errorf("%s: the app's page sees %s, want it done", c.endpoint, seen)
		}
	}
}

// mustBeRefusedStranger opens a stranger's page in the user's browser, and has it try what the app's own may.
func mustBeRefusedStranger(t *testing.T, chromium platform, strangers *front, w *wire) {
	t.Helper()
	chromium.browse.do(t, claims{
		"do": "open", "url": strangers.origin, "kept": true,
		"origins": []string{w.url}, "expected": []string{"has been blocked by CORS policy"},
	})
	for _, c := range changingCalls(t, w.gateway.issuer) {
		if seen := c.from(t, chromium.browse, w); seen != "TypeError" {
			t.Errorf("%s: a stranger's page sees %s, want TypeError", c.endpoint, seen)
		}
		sent := w.calls(http.MethodPost, apiPath+c.endpoint)
		if c.body == "" {
			mustBeCrossOrigin(t, sent, "__Host-byoa=ey", "session_jwt=ey")
		} else if len(sent) != 0 {
			t.Errorf("%s: Chromium sent what it has to ask for first", c.endpoint)
		}
	}
	stranger := &sdkApp{wire: w, front: strangers, withCookies: true, ask: chromium.ask}
	if _, got := stranger.try(t, stranger.opening()); got == nil || got.Class != "TypeError" {
		t.Errorf("on a stranger's page the SDK throws %v, want TypeError", got)
	}
}

// mustBeCrossOrigin wants one request with these cookies, and a refusal that no page can read and that sets nothing.
func mustBeCrossOrigin(t *testing.T, sent []call, cookies ...string) {
	t.Helper()
	if len(sent) != 1 {
		t.Fatalf("Chromium sent %d requests, want one", len(sent))
	}
	c := sent[0]
	if c.status != http.StatusForbidden || c.text("code") != "cross_origin" {
		t.Errorf("%s: the gateway answered %d %s, want 403 cross_origin", c.path, c.status, c.text("code"))
	}
	for _, cookie := range cookies {
		if !strings.Contains(c.header.Get("Cookie"), cookie) {
			t.Errorf("%s: Chromium did not send %s…, so nothing was tried", c.path, cookie)
		}
	}
	for _, name := range []string{"Access-Control-Allow-Origin", "Set-Cookie"} {
		if c.answer.Get(name) != "" {
			t.Errorf("%s: a stranger's page got %s", c.path, name)
		}
	}
}

// A changingCall is a POST as a page can make it: JSON a browser asks for before it sends it,
// and without a body it does not (Fetch standard, CORS-safelisted request-header).
type changingCall struct{ endpoint, body string }

// changingCalls are one to every endpoint that changes something. The last one ends the session.
func changingCalls(t *testing.T, i *issuer) []changingCall {
	t.Helper()
	return []changingCall{
		{"/externalAuth/signin", `{}`},
		{"/externalAuth/verify", `{"jwt":"` + i.assertion(t, "wallet:export", nil) + `"}`},
		{"/stepUp/check", `{"scope":"wallet:export"}`},
		{"/refresh", ""},
		{"/revoke", ""},
	}
}

// from makes the call from the page that is open, and returns what the page sees.
func (c changingCall) from(t *testing.T, b *browser, w *wire) string {
	t.Helper()
	seen, _ := b.evaluate(t, fmt.Sprintf(`(() => {
		const [url, body] = [%q, %q]
		const json = body ? { body, headers: { 'content-type': 'application/json' } } : {}
		return fetch(url, { method: 'POST', credentials: 'include', ...json }).then(({ ok, status }) => ok ? 'done' : String(status), ({ name }) => name)
	})()`, w.url+apiPath+c.endpoint, c.body)).(string)
	return seen
}
