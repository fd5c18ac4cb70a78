package e2e_test

import (
	"fmt"
	"testing"
)

// loadEnvironments loads a config whose environments are called so.
func (g *gateway) loadEnvironments(t *testing.T, names ...string) {
	t.Helper()
	options := "byoa {\n"
	for _, name := range names {
		options += fmt.Sprintf("environment %s {\nissuer https://%[1]s.test\njwks_url %s\naudience x\nassertion {\naudience %[1]s\n}\n}\n", name, g.issuer.jwksURL())
	}
	g.load(t, options+"}")
}

// The address is a bookmark, or a reload has renamed what it names.
func TestConsoleStaysWithTheEnvironmentThatItSettledOn(t *testing.T) {
	g := startGateway(t, config{})
	g.loadEnvironments(t, "partners", "staff")
	b := startBrowser(t)
	b.open(t, g.startConsole(t)+"#/gone", view{})
	b.wait(t, "role=heading[level=1]", "partners")
	b.click(t, `role=button[name="Disable…"]`)
	b.click(t, confirmIt)
	b.wait(t, "#toast", "partners is disabled")
	b.awaitPolls(t, 2)
	b.wait(t, "#remark", "Switched off by the operator")
	b.wait(t, "role=heading[level=1]", "partners")
}

// The names of environments are the operator's to choose, those of elements are ours.
func TestConsoleScrollsToNoElementOfTheSameName(t *testing.T) {
	g := startGateway(t, config{})
	g.loadEnvironments(t, "partners", "settings")
	b := startBrowser(t)
	b.open(t, g.startConsole(t), view{})
	b.wait(t, "role=heading[level=1]", "partners")
	b.click(t, `role=navigation[name="Environments"] >> role=link[name="settings"]`)
	b.wait(t, "role=heading[level=1]", "settings")
	b.awaitPolls(t, 1)
	if y := b.evaluate(t, `scrollY`); y != 0.0 {
		t.Errorf("the page has scrolled by %v", y)
	}
}

func TestConsoleMarksTheEnvironmentInForcedColours(t *testing.T) {
	g := startGateway(t, config{})
	g.loadEnvironments(t, "partners", "staff")
	b := startBrowser(t)
	b.open(t, g.startConsole(t), view{forced: true})
	for state, want := range map[string]string{"[aria-current]": "underline", ":not([aria-current])": "none"} {
		b.wait(t, "#environments a"+state, "")
		if got := b.evaluate(t, `getComputedStyle(document.querySelector('#environments a`+state+`')).textDecorationLine`); got != want {
			t.Errorf("a%s is drawn with %v, want %s", state, got, want)
		}
	}
	b.mustBeAccessible(t, "forced colours")
}

// manyRefusals opens the console of a gateway with more than the table shows at once.
func manyRefusals(t *testing.T) *browser {
	t.Helper()
	g := startGateway(t, config{})
	g.send(t, get(home).bearer(g.issuer.token(t, nil))).mustPass(t)
	for range 40 {
		g.send(t, get(home)).mustRefuse(t, 401, "token_missing")
	}
	b := g.openConsole(t)
	b.wait(t, refusedRows, "token_missing")
	return b
}

func TestConsoleTableCanBeSkipped(t *testing.T) {
	b := manyRefusals(t)
	b.tabTo(t, "Skip the decisions")
	b.press(t, "Enter", "Tab")
	if at := b.evaluate(t, `document.activeElement.closest('section')?.getAttribute('aria-labelledby')`); at != "check-title" {
		t.Errorf("behind the table the focus is in %v, want it in the next section", at)
	}
}

func TestConsoleTableHidesNoFocusUnderItsHead(t *testing.T) {
	b := manyRefusals(t)
	b.do(t, claims{"do": "focus", "at": "#decisions button >> nth=-1"})
	for range 40 {
		b.press(t, "Shift+Tab")
		hidden, _ := b.evaluate(t, `document.querySelector('.decisions th').getBoundingClientRect().bottom - document.activeElement.getBoundingClientRect().top`).(float64)
		if hidden > 0 {
			t.Fatalf("%v pixels of the button with the focus are under the head of the table", hidden)
		}
	}
}

func TestConsoleTableKeepsTheFocusOfARowThatGoes(t *testing.T) {
	b := manyRefusals(t)
	b.do(t, claims{"do": "focus", "at": "#decisions tr:not(.refused) >> role=button"})
	b.evaluate(t, `document.getElementById('decisions-refusals').click()`)
	b.waitGone(t, "#decisions tr:not(.refused)")
	if at := b.evaluate(t, `document.activeElement.id`); at != "decisions-scroll" {
		t.Errorf("the focus is on %q, want it in the table", at)
	}
}

func TestConsoleTableNamesItsButtonsApart(t *testing.T) {
	b := manyRefusals(t)
	names := texts(b.evaluate(t, `[...document.querySelectorAll('#decisions button')].map((e) => e.ariaLabel)`))
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			t.Errorf("two buttons are called %q", name)
		}
		seen[name] = true
	}
	if len(seen) < 41 {
		t.Errorf("%d names, want one for each of 41 decisions", len(seen))
	}
}
