package e2e_test

import (
	"slices"
	"testing"
)

// Two login systems, of which one user knows both.
func startTwoProviders(t *testing.T) (ours, others *issuer) {
	t.Helper()
	s := newSecrets()
	return startIssuer(t, s), startIssuer(t, s)
}

func TestSDKLinksIdentities(t *testing.T) {
	ours, others := startTwoProviders(t)
	front := startFront(t)
	node := onNode(t)
	second := func(sub string) string { return others.token(t, claims{"iss": otherIssuer, "sub": sub}) }
	start := func(t *testing.T, m sdkMode) *sdkApp {
		t.Helper()
		c := m.config(front.origin)
		c.Environment += "\n" + also(otherIssuer, "jwks_url "+others.jwksURL())
		a := node.app(t, front, startWire(t, startGatewayFor(t, ours, c)), m.cookies())
		a.open(t)
		return a
	}

	t.Run("link on", func(t *testing.T) {
		a := start(t, sdkMode{lines: "link on"})
		a.signIn(t, ours.token(t, nil))
		first := a.state(t).User
		a.signIn(t, second("other-1"))
		linked := a.state(t).User
		if ids := linked.external(); linked.ID != first.ID || !slices.Contains(ids, "user-1") || !slices.Contains(ids, "other-1") || len(ids) != 2 {
			t.Fatalf("the SDK says %+v, want user-1 and other-1 to be %s", linked, first.ID)
		}
		a.elevate(t, others.assertion(t, "wallet:export", claims{"sub": "other-1"}))
		a.request(t, "POST", export, a.take(t, "wallet:export"), 200, "")

		for name, external := range map[string]string{"the first": ours.token(t, nil), "the second": second("other-1")} {
			a.open(t) // on a device that knows nothing
			a.signIn(t, external)
			if got := a.state(t).User; got.ID != linked.ID || len(got.external()) != 2 {
				t.Errorf("signed in with %s, the SDK says %+v, want %+v", name, got, linked)
			}
		}

		a.open(t)
		a.signIn(t, ours.token(t, claims{"sub": "user-2"}))
		a.mustBeInvalid(t, claims{"do": "signIn", "jwt": second("other-1")}, "identity_taken")
		a.signIn(t, second("other-2"))
		if ids := a.state(t).User.external(); len(ids) != 2 {
			t.Errorf("what is free is not linked: %q", ids)
		}
	})

	for _, m := range []sdkMode{
		{name: "link off"},
		{name: "link on, and the session in a cookie", lines: "link on", session: "__Host-byoa"},
	} {
		t.Run(m.name, func(t *testing.T) {
			a := start(t, m)
			a.signIn(t, ours.token(t, nil))
			first := a.state(t).User
			a.signIn(t, second("other-1"))
			if got := a.state(t).User; got.ID == first.ID || !slices.Equal(got.external(), []string{"other-1"}) {
				t.Errorf("the SDK says %+v, want other-1 to be somebody else than %+v", got, first)
			}
		})
	}
}
