package e2e_test

import (
	"fmt"
	"testing"
)

// The session is kept by the SDK, and believed after a reload without a question.
func TestExampleGoesOnAfterAReload(t *testing.T) {
	app, b := startWalletExport(t), startBrowser(t)
	app.openIn(t, b, onDesktop.in("light"))
	b.click(t, signInButton)
	b.wait(t, outcome, "200 OK")
	b.do(t, claims{"do": "reload"})
	b.wait(t, outcome, "200 OK")
	b.click(t, exportButton)
	b.click(t, confirmButton)
	b.wait(t, outcome, "Exported")
}

// A session can end without the page: another device revokes it, or the demo was started anew.
func TestExampleSaysThatTheSessionIsOver(t *testing.T) {
	app, b := startWalletExport(t), startBrowser(t)
	app.openIn(t, b, onDesktop.in("light"), "Failed to revoke session") // which is revoked already
	b.click(t, signInButton)
	b.wait(t, outcome, "200 OK")
	revoked := b.evaluate(t, fmt.Sprintf(`(async () => {
		const [token] = JSON.stringify(localStorage).match(/eyJ[\w-]+\.[\w-]+\.[\w-]+/)
		const { status } = await fetch(%q, { method: 'POST', headers: { Authorization: 'Bearer ' + token } })
		return status
	})()`, app.api+"/api/v0/sdk/95b11417-f18f-457f-8804-68e361f9164f/revoke"))
	if revoked != 204.0 {
		t.Fatalf("revoking the session: %v, want 204", revoked)
	}
	b.click(t, exportButton)
	b.wait(t, outcome, "401 session_revokedThe session is over. Sign in again.")
	b.waitGone(t, "#signed-in")
	b.click(t, signInButton)
	b.wait(t, outcome, "200 OK")
}

// The demo is for pages of one origin, letter by letter.
func TestExampleOfAnotherOriginIsTurnedAway(t *testing.T) {
	app, b := startWalletExport(t), startBrowser(t)
	b.do(t, claims{
		"do": "open", "url": app.alias, "origins": app.outside,
		"expected": []string{"blocked by CORS policy", "Failed to fetch"},
	})
	b.wait(t, outcome, "for pages of "+app.alias)
	b.wait(t, "#steps .call", "no answer")
	b.click(t, signInButton)
	b.wait(t, "#steps .call", "/loginno answer")
}
