package e2e_test

import (
	"testing"
	"time"
)

// In the two modes that differ most: without a cookie, and with everything in cookies.
func TestReactIsToldWhy(t *testing.T) {
	b := startBrowser(t)
	for _, m := range []sdkMode{sdkModes[0], sdkModes[len(sdkModes)-1]} {
		t.Run(m.name, func(t *testing.T) {
			a := openReact(t, b, m)
			a.mustRefuseSignIns(t)
			a.signIn(t, a.gateway.issuer.token(t, nil))
			a.mustRefuseStepUps(t)
		})
	}
}

// mustRefuseSignIns: after each refusal nobody is signed in, and the good token signs in.
func (a *reactApp) mustRefuseSignIns(t *testing.T) {
	t.Helper()
	i := a.gateway.issuer
	for name, c := range map[string]struct{ jwt, reason string }{
		"one character changed":   {tampered(i.token(t, nil)), "signature_invalid"},
		"expired":                 {i.token(t, claims{"exp": inSeconds(-time.Minute)}), "expired"},
		"of another login system": {i.token(t, claims{"iss": "https://other.example.test"}), "issuer_mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			a.mustBeInvalid(t, a.signing(t, c.jwt), c.reason)
			a.mustSay(t, "signed out")
			if a.token(t) != "" {
				t.Error("the page has a token")
			}
			a.signIn(t, i.token(t, nil))
			a.request(t, "GET", home, "", 200, "")
			a.logOut(t)
		})
	}
}

// mustRefuseStepUps: after each refusal the user is still signed in, without a token for
// the scope, and the good assertion gives one.
func (a *reactApp) mustRefuseStepUps(t *testing.T) {
	t.Helper()
	const scope = "wallet:export"
	i := a.gateway.issuer
	used := i.assertion(t, scope, nil)
	a.elevate(t, used)
	a.request(t, "POST", export, a.take(t, scope), 200, "")
	for name, c := range map[string]struct{ assertion, reason string }{
		"presented before":  {used, "replayed"},
		"for somebody else": {i.assertion(t, scope, claims{"sub": "user-2"}), "subject_mismatch"},
		"without a scope":   {i.assertion(t, scope, claims{"scope": nil}), "scope_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			a.mustBeInvalid(t, claims{"do": "elevate", "jwt": c.assertion}, c.reason)
			a.mustSay(t, "signed in")
			if !a.required(t, scope) || a.take(t, scope) != "" {
				t.Error("the page has an elevated token")
			}
			a.request(t, "POST", export, "", 403, "step_up_required")
			a.elevate(t, i.assertion(t, scope, nil))
			a.request(t, "POST", export, a.take(t, scope), 200, "")
		})
	}
}
