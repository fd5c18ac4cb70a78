package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

func TestConsoleChecksTokens(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	ask := func(token string) {
		t.Helper()
		b.fill(t, tokenField, token)
		b.click(t, checkButton)
	}

	ask(" Bearer " + g.issuer.token(t, nil) + "\n")
	b.wait(t, "#check-result", "checks passed")
	if left := b.evaluate(t, `document.querySelector('#check-token').value`); left != "" {
		t.Error("the token is still in the field after the answer")
	}

	ask(g.issuer.sign(t, signing{Payload: tokenClaims(claims{"aud": "https://elsewhere.test", "exp": time.Now().Add(-time.Hour).Unix()}), Stray: true}))
	b.wait(t, "#check-result", "3 of ")
	for _, want := range []string{
		"Expiry failed expired", "Get a new one",
		"Audience failed audience_mismatch", "https://elsewhere.test",
		"Signature failed signature_invalid", "Do not trust it",
	} {
		b.wait(t, "#check-result li.broken", want)
	}
	b.wait(t, "#announcer", "3 of ")

	ask("no token")
	b.wait(t, "#check-result", "Form failed token_malformed")
	ask("")
	b.wait(t, "#check-error", "Paste a token")

	b.do(t, claims{"do": "check", "at": `role=radio[name="Assertion, to step up"]`})
	ask(g.issuer.assertion(t, "wallet:export", nil))
	b.wait(t, "#check-error", "Name the subject")
	b.fill(t, `role=textbox[name="Subject"]`, "user-1")
	b.click(t, checkButton)
	b.wait(t, "#check-result", "checks passed")
	b.fill(t, `role=textbox[name="Subject"]`, "user-2")
	ask(g.issuer.assertion(t, "wallet:export", nil))
	b.wait(t, "#check-result li.broken", "subject_mismatch")
}

// A checked token leaves the page's memory only as the body of its one request.
func TestConsoleKeepsNoToken(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	token := g.issuer.token(t, nil)
	b.fill(t, tokenField, token)
	b.click(t, checkButton)
	b.wait(t, "#check-result", "checks passed")
	for what, script := range map[string]string{
		"the page":         `document.documentElement.outerHTML`,
		"its fields":       `[...document.querySelectorAll('input, textarea')].map((e) => e.value).join()`,
		"its storage":      `JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])`,
		"its address":      `location.href + JSON.stringify(history.state)`,
		"what it asked of": `performance.getEntriesByType('resource').map((e) => e.name).join()`,
	} {
		text, _ := b.evaluate(t, script).(string)
		g.secrets.mustNotBeIn(t, what, text)
	}
}

func TestConsoleSwitchesTheEnvironmentOffAndOn(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	session := g.signIn(t, g.issuer.token(t, nil))
	g.send(t, get(home).bearer(session)).mustPass(t)

	b.click(t, `role=button[name="Disable…"]`)
	b.click(t, `role=button[name="Cancel"]`)
	b.waitGone(t, "#confirm")
	g.send(t, get(home).bearer(session)).mustPass(t)

	b.click(t, `role=button[name="Disable…"]`)
	b.click(t, confirmIt)
	b.wait(t, "#toast", "production is disabled") // first: it fades
	b.wait(t, "#verdicts", "Disabled")
	b.wait(t, "#remark", "Switched off by the operator")
	g.send(t, get(home).bearer(session)).mustRefuse(t, 403, "external_auth_disabled")

	b.click(t, `role=button[name="Enable…"]`)
	b.click(t, confirmIt)
	b.wait(t, "#verdicts", "Enabled")
	g.send(t, get(home).bearer(session)).mustPass(t)
}

// What the page promises of the switch is what happens.
func TestConsoleSaysHowLongTheSwitchIsKept(t *testing.T) {
	for _, test := range []struct{ name, store, asks, remark, keeps, afterwards string }{
		{"file", "", "Reloads and restarts do not change that", "off through reloads and restarts", "what is used and revoked", "Disabled"},
		{"memory", "store memory", "a restart of Caddy does", "A restart of Caddy switches it on again", "what is used and revoked, until Caddy ends", "Enabled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := startGateway(t, config{Store: test.store, Gate: "optional", Guarded: export})
			b := g.openConsole(t)
			if got := b.text(t, "#health-store dd"); got != test.keeps {
				t.Errorf("the store keeps %q, want %q", got, test.keeps)
			}
			b.click(t, `role=button[name="Disable…"]`)
			b.wait(t, "#confirm-text", test.asks)
			b.click(t, confirmIt)
			b.wait(t, "#remark", test.remark)
			b.wait(t, "#remark", "routes that are optional stay open")
			g.send(t, get(home)).mustPass(t)
			g.send(t, get(home).bearer(g.issuer.token(t, nil))).mustRefuse(t, 403, "external_auth_disabled")
			g.stop(t)
			g.restart(t)
			b.awaitPolls(t, 1)
			b.wait(t, "#verdicts", test.afterwards)
		})
	}
}

func TestConsoleSaysWhereOnlyTheConfigSwitches(t *testing.T) {
	g := startGateway(t, config{Environment: "enabled off"})
	b := g.openConsole(t)
	b.wait(t, "#remark", "Switched off in the config")
	b.waitGone(t, "#toggle")
}

func TestConsoleRevokes(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	externals := []string{g.issuer.token(t, nil), g.issuer.token(t, nil), g.issuer.token(t, nil)}
	sessions := make([]string, len(externals))
	ids := make([]verified, len(externals))
	for i, external := range externals {
		sessions[i] = g.signIn(t, external)
		ids[i] = g.issuer.verify(t, sessions[i], g.jwksURL(), nil)
	}

	b.fill(t, `role=textbox[name="Session ID"]`, fmt.Sprint(ids[0].Payload["sid"]))
	b.click(t, `role=button[name="Revoke…"]`)
	b.click(t, confirmIt)
	b.wait(t, "#toast", "is revoked")
	g.send(t, get(home).bearer(sessions[0])).mustRefuse(t, 401, "session_revoked")
	g.send(t, get(home).bearer(sessions[1])).mustPass(t)

	b.do(t, claims{"do": "check", "at": `role=radio[name="All sessions of a user"]`})
	b.fill(t, `role=textbox[name="User ID"]`, fmt.Sprint(ids[1].Payload["jti"])) // a UUID of no user
	b.click(t, `role=button[name="Revoke…"]`)
	b.click(t, confirmIt)
	b.wait(t, "#confirm-error", "UUID")
	g.send(t, get(home).bearer(sessions[1])).mustPass(t)
	b.press(t, "Escape")
	b.fill(t, `role=textbox[name="User ID"]`, fmt.Sprint(ids[1].Payload["sub"]))
	b.click(t, `role=button[name="Revoke…"]`)
	b.click(t, confirmIt)
	b.wait(t, "#toast", "are revoked")
	for _, session := range sessions[1:] {
		g.send(t, get(home).bearer(session)).mustRefuse(t, 401, "session_revoked")
	}
}

// What is pasted for an ID may be a token, and Caddy logs the paths that it is asked
// for. That no token is in its log is tested when it ends.
func TestConsoleRevokesNothingThatIsNoID(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	for what, says := range map[string]string{"One session": "This is no session ID", "All sessions of a user": "This is no user ID"} {
		b.do(t, claims{"do": "check", "at": `role=radio[name="` + what + `"]`})
		for _, id := range []string{g.issuer.token(t, nil), "nobody", "15CCFB32-C86D-8F40-9289-1485073E2A32", `<img src=x onerror=alert(1)>`} {
			b.fill(t, "#revoke-id", id)
			b.click(t, `role=button[name="Revoke…"]`)
			b.wait(t, "#revoke-error", says)
			b.waitGone(t, "#confirm")
		}
	}
	if n := b.evaluate(t, `performance.getEntriesByType('resource').filter((e) => /sessions/.test(e.name)).length`); n != 0.0 {
		t.Errorf("%v requests were sent, want none", n)
	}
}

func TestConsoleRevokesWhatADecisionShows(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	session := g.signIn(t, g.issuer.token(t, nil))
	g.send(t, post(export).bearer(session)).mustRefuse(t, 403, "step_up_required")
	b.wait(t, refusedRows, "step_up_required")
	b.click(t, refusedRows+" >> role=button")
	b.click(t, `role=button[name="Revoke session…"]`)
	b.click(t, confirmIt)
	b.wait(t, "#toast", "is revoked")
	g.send(t, get(home).bearer(session)).mustRefuse(t, 401, "session_revoked")
}

func TestConsoleRotatesKeys(t *testing.T) {
	g := startGateway(t, config{})
	b := g.openConsole(t)
	b.wait(t, "#health-keys", "Published1 key")
	b.click(t, `role=button[name="Rotate keys…"]`)
	b.click(t, confirmIt)
	b.wait(t, "#toast", "next signing key of production is published")
	b.wait(t, "#health-keys", "Published2 keys")
}
