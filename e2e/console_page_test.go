package e2e_test

import (
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What did not change is not made anew: focus, selection and the place of everything stay.
func TestConsolePollsLeaveThePageAlone(t *testing.T) {
	g := startGateway(t, config{})
	for range 12 { // more than the table shows at once
		g.send(t, get(home)).mustRefuse(t, 401, "token_missing")
	}
	b := g.openConsole(t)
	b.wait(t, refusedRows, "token_missing")
	b.click(t, refusedRows+" >> nth=0 >> role=button")
	b.evaluate(t, `(() => {
		window.marked = [...document.querySelectorAll('#decisions tr, #settings dd, #health-store p')]
		getSelection().selectAllChildren(document.querySelector('#decisions tr.details dd'))
		window.moved = []
		new PerformanceObserver((list) => {
			for (const { node } of list.getEntries().flatMap((e) => e.sources)) {
				const element = node?.nodeType === Node.TEXT_NODE ? node.parentElement : node
				if (element && !element.closest('#decisions')) window.moved.push(element.outerHTML)
			}
		}).observe({ type: 'layout-shift' })
	})()`)
	const top = `document.activeElement.getBoundingClientRect().top`
	before := b.evaluate(t, top)
	selected := b.evaluate(t, `String(getSelection())`)
	g.send(t, post(sign)).mustRefuse(t, 401, "token_missing")
	b.wait(t, refusedRows, sign)
	b.awaitPolls(t, 2)
	if gone := b.evaluate(t, `window.marked.filter((e) => !e.isConnected).length`); gone != 0.0 {
		t.Errorf("%v of the elements that did not change were made anew", gone)
	}
	if label := b.evaluate(t, `document.activeElement.ariaExpanded`); label != "true" {
		t.Errorf("the focus has left the button that was clicked")
	}
	if got := b.evaluate(t, `String(getSelection())`); got != selected || got == "" {
		t.Errorf("selected is %q, want %q as before", got, selected)
	}
	if after := b.evaluate(t, top); after != before {
		t.Errorf("the row that is read has moved from %v to %v", before, after)
	}
	if moved := texts(b.evaluate(t, `window.moved`)); len(moved) > 0 {
		t.Errorf("moved under their reader: %q", moved)
	}
}

// Strings that somebody who sends requests can choose.
func TestConsoleShowsHostileTextAsText(t *testing.T) {
	const hostile = `<img src=x onerror="alert(1)"><script>alert(2)</script>`
	g := startGateway(t, config{})
	b := g.openConsole(t)
	g.send(t, get(home).bearer(g.issuer.token(t, claims{"sub": hostile}))).mustPass(t)
	g.send(t, get(`/wallets/<img/src=x/onerror=alert(3)>`)).mustRefuse(t, 401, "token_missing")
	b.wait(t, "#decisions", hostile)
	b.wait(t, "#decisions", "img/src=x/onerror=")
	b.fill(t, tokenField, g.issuer.token(t, claims{"iss": hostile}))
	b.click(t, checkButton)
	b.wait(t, "#check-result li.broken", "issuer_mismatch")
	if n := b.evaluate(t, `document.querySelectorAll('img, body script, [onerror]').length`); n != 0.0 {
		t.Errorf("%v elements were made of text", n)
	}
	b.awaitPolls(t, 1)
}

func TestConsoleWithTheKeyboardAlone(t *testing.T) {
	g := startGateway(t, config{})
	session := g.signIn(t, g.issuer.token(t, nil))
	g.send(t, post(export).bearer(session)).mustRefuse(t, 403, "step_up_required")
	b := g.openConsole(t)
	b.wait(t, refusedRows, "step_up_required")

	b.tabTo(t, "Skip to")
	b.press(t, "Enter")
	b.tabTo(t, "Disable…")
	b.press(t, "Enter")
	b.wait(t, "#confirm", "Disable production?")
	b.mustShowFocus(t, "Cancel")
	b.press(t, "Tab", "Enter")
	b.wait(t, "#verdicts", "Disabled")
	g.send(t, get(home).bearer(session)).mustRefuse(t, 403, "external_auth_disabled")
	if at := b.evaluate(t, `document.activeElement.id`); at != "toggle" {
		t.Errorf("after the dialog the focus is on %q, want it back on the switch", at)
	}
	b.press(t, "Enter", "Escape")
	b.waitGone(t, "#confirm")
	b.press(t, "Enter", "Tab", "Space")
	b.wait(t, "#verdicts", "Enabled")

	b.tabTo(t, "Refusals only")
	b.press(t, "Space")
	b.tabTo(t, "Pause")
	b.press(t, "Enter", "Enter")
	b.tabTo(t, "Details of")
	b.press(t, "Enter")
	b.wait(t, "#decisions tr.details", "Reason")

	b.tabTo(t, "External JWT")
	b.press(t, "ArrowDown", "ArrowUp")
	b.tabTo(t, "Token")
	b.evaluate(t, `document.activeElement.value = `+fmt.Sprintf("%q", g.issuer.token(t, nil))) // a paste
	b.tabTo(t, "Check")
	b.press(t, "Enter")
	b.wait(t, "#check-result", "checks passed")
	b.tabTo(t, "Session ID")
	b.press(t, "Enter")
	b.wait(t, "#revoke-error", "Give the Session ID")
	if at := b.evaluate(t, `document.activeElement.id`); at != "revoke-id" {
		t.Errorf("after an error the focus is on %q, want it on the field", at)
	}
}

// Every state in both colour schemes and at both widths: no violation, nothing wider
// than the window. With BYOA_SCREENSHOTS the pictures are kept in that directory.
func TestConsoleLooks(t *testing.T) {
	g := startGateway(t, config{})
	external := g.issuer.token(t, nil)
	g.send(t, get(home).bearer(external)).mustPass(t)
	g.send(t, get("/wallets/"+strings.Repeat("long", 200)).bearer(external)).mustPass(t)
	g.send(t, post(export).bearer(external)).mustRefuse(t, 403, "step_up_required")
	g.send(t, post(export).bearer(external).assertion(g.issuer.assertion(t, "wallet:export", nil))).mustPass(t)
	bad := g.issuer.token(t, claims{"aud": "x", "iss": issuerName + "/"})
	b, url := startBrowser(t), g.startConsole(t)
	for _, scheme := range []string{"light", "dark"} {
		for name, v := range map[string]view{"desktop": onDesktop, "phone": onPhone} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				b.open(t, url, v.in(scheme))
				b.wait(t, refusedRows, "step_up_required")
				b.mustLookWell(t, v, scheme+"-"+name)
				b.click(t, refusedRows+" >> role=button")
				b.fill(t, tokenField, bad)
				b.click(t, checkButton)
				b.wait(t, "#check-result", "failed")
				b.mustLookWell(t, v, scheme+"-"+name+"-checked")
				b.click(t, `role=button[name="Disable…"]`)
				b.wait(t, "#confirm", "Disable production?")
				b.mustLookWell(t, v, scheme+"-"+name+"-confirm")
			})
		}
	}
}

func (b *browser) mustLookWell(t *testing.T, v view, name string) {
	t.Helper()
	b.mustBeAccessible(t, name)
	if wide := b.evaluate(t, `document.documentElement.scrollWidth - document.documentElement.clientWidth`).(float64); wide > 0 {
		t.Errorf("%s: the page is wider than the window by %v", name, wide)
	}
	dir := os.Getenv("BYOA_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	path := filepath.Join(dir, name+".png")
	b.do(t, claims{"do": "screenshot", "path": path})
	picture, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer picture.Close()
	if size, err := png.DecodeConfig(picture); err != nil || size.Width != v.width || size.Height < v.height {
		t.Errorf("%s: the picture is %+v, %v, want one of the whole page", name, size, err)
	}
}
