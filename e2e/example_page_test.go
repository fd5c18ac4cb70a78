package e2e_test

import (
	"slices"
	"strings"
	"testing"
)

const (
	signInButton  = `role=button[name="Sign in as alice"]`
	exportButton  = `role=button[name="Export key"]`
	againButton   = `role=button[name="Export again same token"]`
	signOutButton = `role=button[name="Sign out"]`
	confirmButton = `role=dialog >> role=button[name="Confirm"]`
	outcome       = `role=status`
)

// openIn shows the app. A request to anybody else than the gateway and the login system
// fails the test, and so does an error on the console that is none of the expected.
func (app *walletExport) openIn(t *testing.T, b *browser, v view, expected ...string) {
	t.Helper()
	task := claims{"do": "open", "url": app.url, "origins": app.outside, "width": v.width, "height": v.height, "colorScheme": v.scheme}
	if expected != nil {
		task["expected"] = expected
	}
	b.do(t, task)
	b.wait(t, "#steps .call", "/nonces200")
}

// calls are the calls that the page shows, but for those that the SDK makes by itself.
func (b *browser) calls(t *testing.T) []string {
	t.Helper()
	shown := texts(b.evaluate(t, `[...document.querySelectorAll('.call')].map((call) =>
		['.who', '.request', '.verdict'].map((part) => call.querySelector(part).innerText.trim()).join(' '))`))
	return slices.DeleteFunc(shown, func(call string) bool {
		return strings.Contains(call, "/settings") || strings.Contains(call, "/nonces")
	})
}

// sdkPath is how the page shows the paths of the endpoints.
const sdkPath = "/api/v0/sdk/95b11417…/"

func TestExampleShowsTheProtocol(t *testing.T) {
	app, b := startWalletExport(t), startBrowser(t)
	app.openIn(t, b, onDesktop.in("light"))
	var want []string
	mustShow := func(calls ...string) {
		t.Helper()
		want = append(want, calls...)
		if got := b.calls(t); !slices.Equal(got, want) {
			t.Fatalf("the page shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	mustShow()

	b.click(t, signInButton)
	b.wait(t, outcome, "200 OK")
	mustShow("Login system POST /login 200", "Gateway POST "+sdkPath+"externalAuth/signin 200", "API GET /wallets/1 200")
	b.wait(t, "#signed-in", "alice@example.com")
	b.wait(t, "#received", "session token")

	b.click(t, exportButton)
	b.wait(t, "role=dialog", "wallet:export")
	mustShow("Gateway POST /wallets/1/export 403 step_up_required")
	b.click(t, `role=dialog >> role=button[name="Cancel"]`)
	b.wait(t, outcome, "Nothing was exported")
	mustShow()

	b.click(t, exportButton)
	b.click(t, confirmButton)
	b.wait(t, outcome, "Exported")
	mustShow(
		"Gateway POST /wallets/1/export 403 step_up_required",
		"Login system POST /step-up 200", "Gateway POST "+sdkPath+"externalAuth/verify 200",
		"API POST /wallets/1/export 200")
	b.wait(t, "#received", "POST /wallets/1/export")
	b.wait(t, "#received .token", "elevated token wallet:export · one use · for\u00a05\u00a0min")
	b.click(t, "#received summary")
	b.wait(t, "#received .token dl", "external_user_id")

	b.click(t, againButton)
	b.wait(t, outcome, "403 elevated_used")
	mustShow("Gateway POST /wallets/1/export 403 elevated_used")
	b.waitGone(t, "#received")
	if page, _ := b.evaluate(t, `document.documentElement.outerHTML`).(string); firstToken(page) != "" {
		t.Error("a token as it is stands in the page")
	}

	b.click(t, signOutButton)
	b.wait(t, outcome, "Signed out")
	mustShow("Gateway POST " + sdkPath + "revoke 204")
	b.waitGone(t, "#signed-in")
	b.click(t, signInButton)
	b.wait(t, outcome, "200 OK")
	b.waitGone(t, againButton)
}

func TestExampleWithTheKeyboardAlone(t *testing.T) {
	app, b := startWalletExport(t), startBrowser(t)
	app.openIn(t, b, onPhone.in("dark"))
	b.tabTo(t, "Sign in as alice")
	b.press(t, "Enter")
	b.wait(t, outcome, "200 OK")
	if at := b.evaluate(t, `document.activeElement.id`); at != "wallet-title" {
		t.Errorf("after signing in the focus is on %q, want it on what is there now", at)
	}
	b.tabTo(t, "Export key")
	b.press(t, "Enter")
	b.wait(t, "role=dialog", "")
	b.mustShowFocus(t, "Cancel")
	b.press(t, "Escape")
	b.wait(t, outcome, "Nothing was exported")
	if at := b.evaluate(t, `document.activeElement.id`); at != "export" {
		t.Errorf("after the dialog the focus is on %q, want it back on the button", at)
	}
	b.press(t, "Enter")
	b.wait(t, "role=dialog", "")
	b.press(t, "Tab", "Enter")
	b.wait(t, outcome, "Exported")
	b.tabTo(t, "Export again")
	b.press(t, "Space")
	b.wait(t, outcome, "403 elevated_used")
	b.tabTo(t, "elevated token")
	b.press(t, "Enter")
	b.wait(t, "#steps .token[open]", "singleUse")
	b.tabTo(t, "Sign out")
	b.press(t, "Enter")
	b.wait(t, outcome, "Signed out")
	b.mustShowFocus(t, "Sign in as alice")
	b.press(t, "Enter")
	b.wait(t, outcome, "200 OK")
}

// Every state in both colour schemes and at both widths, as the console's are looked at.
func TestExampleLooks(t *testing.T) {
	app, b := startWalletExport(t), startBrowser(t)
	for _, scheme := range []string{"light", "dark"} {
		for name, v := range map[string]view{"desktop": onDesktop, "phone": onPhone} {
			t.Run(scheme+" "+name, func(t *testing.T) {
				look := func(state string) {
					b.evaluate(t, `scrollTo(0, 0)`)
					b.mustLookWell(t, v, "example-"+scheme+"-"+name+"-"+state)
				}
				app.openIn(t, b, v.in(scheme))
				look("signed-out")
				b.click(t, signInButton)
				b.wait(t, outcome, "200 OK")
				look("signed-in")
				b.click(t, exportButton)
				b.wait(t, "role=dialog", "wallet:export")
				look("confirm")
				b.click(t, confirmButton)
				b.wait(t, outcome, "Exported")
				look("exported")
				b.click(t, againButton)
				b.wait(t, outcome, "403 elevated_used")
				b.click(t, `#steps summary:has-text("elevated token") >> nth=-1`)
				look("refused")
			})
		}
	}
}
