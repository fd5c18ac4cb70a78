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

// Whoever reads that a session is revoked believes that its token is worth nothing: that is to be said only
// when the gateway has said so.
func TestExampleWithoutTheGateway(t *testing.T) {
	app, b := startWalletExport(t), startBrowser(t)
	app.openIn(t, b, onDesktop.in("light"), "Failed to ", "Client initialization failed") // says the SDK
	b.click(t, signInButton)
	b.wait(t, outcome, "200 OK")
	app.demo.end()
	b.click(t, exportButton)
	b.wait(t, outcome, "It did not work")
	b.wait(t, outcome, "If caddy byoa demo is not running")
	b.click(t, signOutButton)
	b.wait(t, outcome, "This page has forgotten the session. The gateway did not confirm that it is revoked.")
	b.wait(t, "#steps .call", "/revokeno answer")
	b.waitGone(t, "#signed-in")

	b.do(t, claims{"do": "reload"})
	b.wait(t, outcome, "start it and reload")
	b.click(t, signInButton)
	b.wait(t, outcome, "Reload the page")
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
	ask := fmt.Sprintf(`fetch(%q).then(() => 'read', ({ message }) => message)`, app.outside[1]+"/login?user=alice")
	if seen := b.evaluate(t, ask); seen != "Failed to fetch" {
		t.Errorf("the page asks the login system: %v, want Failed to fetch", seen)
	}
	app.openIn(t, b, onDesktop.in("light"))
	if seen := b.evaluate(t, ask); seen != "read" {
		t.Errorf("the page that the demo is for asks the login system: %v, want it to read the answer", seen)
	}
}
