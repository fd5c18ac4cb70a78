package e2e_test

import (
	"slices"
	"strings"
	"testing"
)

// A browser is Chromium, driven by chromium/browser.mjs.
type browser struct{ *dialogue }

// startBrowser starts Chromium. It ends with the test, which then fails if a script
// failed, the page's policy was broken, or something was fetched from elsewhere.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	b := &browser{startDialogue(t, "chromium", "browser.mjs")}
	t.Cleanup(func() {
		if !t.Failed() {
			b.mustBeUntroubled(t)
		}
	})
	return b
}

// do has the browser do something, and fails the test if it cannot.
func (b *browser) do(t *testing.T, task claims) any {
	t.Helper()
	return b.ask(t, task)
}

// A view is how a page is looked at. The zero value is a desktop in light colours.
type view struct {
	scheme        string
	forced        bool // the system's colours alone
	width, height int
}

var (
	onDesktop = view{width: 1440, height: 900}
	onPhone   = view{width: 390, height: 844}
)

func (v view) in(scheme string) view {
	v.scheme = scheme
	return v
}

func (b *browser) open(t *testing.T, url string, v view) {
	t.Helper()
	task := claims{"do": "open", "url": url}
	if v.width > 0 {
		task["width"], task["height"] = v.width, v.height
	}
	if v.scheme != "" {
		task["colorScheme"] = v.scheme
	}
	if v.forced {
		task["forcedColors"] = "active"
	}
	b.do(t, task)
}

func (b *browser) click(t *testing.T, at string) {
	t.Helper()
	b.do(t, claims{"do": "click", "at": at})
}

func (b *browser) fill(t *testing.T, at, text string) {
	t.Helper()
	b.do(t, claims{"do": "fill", "at": at, "text": text})
}

// press presses keys one after the other, wherever the focus is.
func (b *browser) press(t *testing.T, keys ...string) {
	t.Helper()
	for _, key := range keys {
		b.do(t, claims{"do": "press", "key": key})
	}
}

// wait waits until an element is visible and holds the text.
func (b *browser) wait(t *testing.T, at, text string) {
	t.Helper()
	b.do(t, claims{"do": "wait", "at": at, "text": text})
}

func (b *browser) waitGone(t *testing.T, at string) {
	t.Helper()
	b.do(t, claims{"do": "wait", "at": at, "gone": true})
}

// text is what is visible of an element.
func (b *browser) text(t *testing.T, at string) string {
	t.Helper()
	s, _ := b.do(t, claims{"do": "text", "at": at}).(string)
	return s
}

func (b *browser) evaluate(t *testing.T, script string) any {
	t.Helper()
	return b.do(t, claims{"do": "evaluate", "script": script})
}

// mustBeAccessible fails the test for each rule of axe-core that the page breaks.
func (b *browser) mustBeAccessible(t *testing.T, what string) {
	t.Helper()
	for _, violation := range texts(b.do(t, claims{"do": "accessibility"})) {
		t.Errorf("%s: %s", what, violation)
	}
}

func (b *browser) mustBeUntroubled(t *testing.T) {
	t.Helper()
	for _, trouble := range texts(b.do(t, claims{"do": "troubles"})) {
		t.Errorf("the browser reports %s", trouble)
	}
}

// tabTo presses Tab until the focus is on an element whose accessible text begins so.
func (b *browser) tabTo(t *testing.T, text string) {
	t.Helper()
	const label = `(() => { const e = document.activeElement
		return e.ariaLabel || e.labels?.[0]?.innerText.trim() || e.innerText?.trim() || '' })()`
	var passed []string
	for range 80 {
		b.press(t, "Tab")
		at, _ := b.evaluate(t, label).(string)
		if strings.HasPrefix(at, text) {
			b.mustShowFocus(t, text)
			return
		}
		passed = append(passed, at)
	}
	t.Fatalf("%q cannot be reached with Tab; on the way were %q", text, slices.Compact(passed))
}

// mustShowFocus wants an outline around what has the focus.
func (b *browser) mustShowFocus(t *testing.T, what string) {
	t.Helper()
	style, _ := b.evaluate(t, `getComputedStyle(document.activeElement).outlineStyle`).(string)
	if style == "none" || style == "" {
		t.Errorf("%q has the focus and does not show it", what)
	}
}

func texts(v any) (all []string) {
	list, _ := v.([]any)
	for _, e := range list {
		s, _ := e.(string)
		all = append(all, s)
	}
	return all
}
