package e2e_test

import "testing"

// holdChecks keeps the answers of checks back until releaseCheck.
func (b *browser) holdChecks(t *testing.T) {
	t.Helper()
	b.evaluate(t, `(() => {
		const send = window.fetch
		window.held = []
		window.fetch = (path, init) => path.endsWith('/check')
			? new Promise((resolve) => window.held.push(() => { resolve(send(path, init)) }))
			: send(path, init)
	})()`)
}

// releaseCheck lets the nth answer come, and returns when it is there.
func (b *browser) releaseCheck(t *testing.T, n string) {
	t.Helper()
	before := b.asked(t, "/check")
	b.evaluate(t, `window.held[`+n+`]()`)
	b.awaitAsked(t, "/check", before+1)
	b.evaluate(t, `new Promise((resolve) => setTimeout(resolve, 200))`)
}

func (b *browser) mustHaveEmptyTokenField(t *testing.T, when string) {
	t.Helper()
	if left := b.evaluate(t, `document.querySelector('#check-token').value`); left != "" {
		t.Errorf("%s the token is still in the field", when)
	}
}

func TestConsoleShowsTheAnswerToTheLatestCheckAlone(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	b.holdChecks(t)
	ask := func(token string) {
		t.Helper()
		b.fill(t, tokenField, token)
		b.click(t, checkButton)
		b.mustHaveEmptyTokenField(t, "before the answer")
	}
	ask("no token")
	ask(g.issuer.token(t, nil))
	b.releaseCheck(t, "1")
	b.wait(t, "#check-result", "checks passed")
	b.releaseCheck(t, "0")
	b.wait(t, "#check-result", "checks passed")

	ask(g.issuer.token(t, nil))
	b.click(t, checkButton) // twice
	b.releaseCheck(t, "2")
	b.wait(t, "#check-result", "checks passed")

	ask(g.issuer.token(t, nil))
	b.do(t, claims{"do": "check", "at": `role=radio[name="Assertion, to step up"]`})
	b.releaseCheck(t, "3")
	if got := b.text(t, "#check"); b.evaluate(t, `document.querySelector('#check-result').childNodes.length`) != 0.0 {
		t.Errorf("an answer about an external JWT is shown to one who asks about an assertion: %s", got)
	}
}

func TestConsoleKeepsNoTokenThatCouldNotBeChecked(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	b.evaluate(t, `window.fetch = () => Promise.reject(new TypeError('Failed to fetch'))`)
	b.fill(t, tokenField, g.issuer.token(t, nil))
	b.click(t, checkButton)
	b.wait(t, "#check-error", "The console does not answer")
	b.mustHaveEmptyTokenField(t, "after an error")
}
