package e2e_test

import (
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
