package e2e_test

import (
	"net/http"
	"testing"
	"time"
)

// sdkRefusals are tasks that differ from a good one in what the reason names.
type sdkRefusal struct{ name, bad, reason string }

func sdkSignIns(t *testing.T, i *issuer) []sdkRefusal {
	t.Helper()
	return []sdkRefusal{
		{"expired", i.token(t, claims{"exp": inSeconds(-time.Second)}), "expired"},
		{"tampered with", tampered(i.token(t, nil)), "signature_invalid"},
		{"of another issuer", i.token(t, claims{"iss": otherIssuer}), "issuer_mismatch"},
		{"for another audience", i.token(t, claims{"aud": otherIssuer}), "audience_mismatch"},
		{"of nobody", i.token(t, claims{"sub": nil}), "subject_missing"},
		{"not signed", unsigned(i.token(t, nil)), "algorithm_not_allowed"},
		{"an assertion", i.assertion(t, "wallet:export", claims{"iss": issuerName, "aud": audienceName}), "type_mismatch"},
		{"garbage", "garbage", "token_malformed"},
		{"not there", "", "token_missing"},
	}
}

const unknownScope = "wallet:delete" // to the gateway

func sdkElevations(t *testing.T, i *issuer) []sdkRefusal {
	t.Helper()
	const scope = "wallet:export"
	return []sdkRefusal{
		{"of another user", i.assertion(t, scope, claims{"sub": "user-2"}), "subject_mismatch"},
		{"without a scope", i.assertion(t, scope, claims{"scope": nil}), "scope_missing"},
		{"for a scope unknown here", i.assertion(t, unknownScope, nil), "scope_not_allowed"},
		{"expired", i.assertion(t, scope, claims{"exp": inSeconds(-time.Second)}), "expired"},
		{"tampered with", tampered(i.assertion(t, scope, nil)), "signature_invalid"},
		{"of another issuer", i.assertion(t, scope, claims{"iss": otherIssuer}), "issuer_mismatch"},
		{"without a jti", i.assertion(t, scope, claims{"jti": nil}), "jti_missing"},
		{"for too long", i.assertion(t, scope, claims{"exp": inSeconds(2 * time.Hour)}), "lifetime_too_long"},
		{"an external JWT", i.token(t, nil), "type_mismatch"},
	}
}

func TestSDKIsRefused(t *testing.T) {
	node, chromium := onNode(t), onChromium(t)
	t.Run("tokens", func(t *testing.T) { refuseTokens(t, node, chromium) })
	t.Run("a session that has ended", func(t *testing.T) { refuseEnded(t, node) })
	t.Run("a session in a cookie", func(t *testing.T) { refuseCookie(t, node) })
	t.Run("everybody", func(t *testing.T) { refuseEverybody(t, node) })
	t.Run("a device", func(t *testing.T) { refuseDevices(t, node) })
}

func refuseTokens(t *testing.T, platforms ...platform) {
	front := startFront(t)
	g := startGateway(t, sdkMode{}.config(front.origin))
	for _, p := range platforms {
		t.Run(p.name, func(t *testing.T) {
			a := p.app(t, front, startWire(t, g), false)
			a.open(t)
			for _, c := range sdkSignIns(t, g.issuer) {
				t.Run("signing in with a JWT "+c.name, func(t *testing.T) {
					a.mustBeInvalid(t, claims{"do": "signIn", "jwt": c.bad}, c.reason)
					if s := a.state(t); s.SignedIn {
						t.Errorf("the SDK says %+v, want nobody signed in", s)
					}
					a.signIn(t, g.issuer.token(t, nil))
					a.do(t, claims{"do": "logout"})
				})
			}
			a.signIn(t, g.issuer.token(t, nil))
			for _, c := range sdkElevations(t, g.issuer) {
				t.Run("an assertion "+c.name, func(t *testing.T) { mustNotElevate(t, a, c) })
			}
			t.Run("an assertion again", func(t *testing.T) {
				used := g.issuer.assertion(t, "wallet:export", nil)
				a.elevate(t, used)
				a.take(t, "wallet:export")
				mustNotElevate(t, a, sdkRefusal{"", used, "replayed"})
			})
		})
	}
}

// mustNotElevate wants an assertion refused, the user still signed in, and another assertion taken.
func mustNotElevate(t *testing.T, a *sdkApp, c sdkRefusal) {
	t.Helper()
	const scope = "wallet:export"
	a.mustBeInvalid(t, claims{"do": "elevate", "jwt": c.bad}, c.reason)
	for _, asked := range []string{scope, unknownScope} {
		if a.take(t, asked) != "" {
			t.Errorf("the SDK has an elevated token for %s all the same", asked)
		}
	}
	if !a.state(t).SignedIn {
		t.Error("the user is signed out")
	}
	a.elevate(t, a.wire.gateway.issuer.assertion(t, scope, nil))
	a.request(t, "POST", export, a.take(t, scope), 200, "")
}

func refuseEnded(t *testing.T, node platform) {
	front := startFront(t)
	g := startGateway(t, sdkMode{}.config(front.origin))
	w := startWire(t, g)
	a := node.app(t, front, w, false)
	tasks := func() []claims {
		return []claims{{"do": "refresh"}, {"do": "refreshUser"}, {"do": "elevate", "jwt": g.issuer.assertion(t, "wallet:sign", nil)}}
	}
	mustHaveEnded := func(t *testing.T, code string) {
		t.Helper()
		for _, task := range tasks() {
			a.mustThrow(t, task, "APIError", http.StatusUnauthorized, code)
		}
		a.request(t, "GET", home, "", 401, code)
	}

	t.Run("revoked elsewhere", func(t *testing.T) {
		a.open(t)
		a.signIn(t, g.issuer.token(t, nil))
		for _, task := range tasks() {
			a.do(t, task)
		}
		a.request(t, "GET", home, "", 200, "")
		g.revoke(t, a.state(t).Token)
		mustHaveEnded(t, "session_revoked")
	})

	// The SDK goes by the clock of its device, which may be behind.
	t.Run("expired", func(t *testing.T) {
		w.saying("/externalAuth/signin", func(said claims) { said["expiresAt"] = inSeconds(time.Hour) })
		a.open(t)
		a.signIn(t, g.issuer.token(t, claims{"exp": inSeconds(11 * time.Second)})) // ten, in whole seconds
		a.request(t, "GET", home, "", 200, "")
		waitForExpiry(t, g, a.state(t).Token)
		mustHaveEnded(t, "expired")
	})

	t.Run("expired, as the SDK knows", func(t *testing.T) {
		w.saying("/externalAuth/signin", func(said claims) { said["expiresAt"] = inSeconds(2 * time.Second) })
		a.open(t)
		a.signIn(t, g.issuer.token(t, nil))
		for deadline := time.Now().Add(patience); a.state(t).SignedIn; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the SDK still says that the user is signed in")
			}
		}
		c := w.last(t, http.MethodPost, "/revoke")
		if got := c.header.Get("X-Dyn-Logout-Reason"); got != "token-expired" || c.status != http.StatusNoContent {
			t.Errorf("the SDK logged out because of %q, and got %d, want token-expired and 204", got, c.status)
		}
	})
}

// refuseCookie: where the session is in a cookie, the SDK asks for it whenever it starts. What
// an operator has turned off for a while must not sign anybody out; what was revoked does.
func refuseCookie(t *testing.T, node platform) {
	m := sdkMode{session: "__Host-byoa"}
	front := startFront(t)
	g := startGateway(t, m.config(front.origin))
	w := startWire(t, g)
	a := node.app(t, front, w, m.cookies())
	a.open(t)
	a.signIn(t, g.issuer.token(t, nil))
	user := a.state(t).User.ID

	g.operate(t, "/byoa/environments/production/disable")
	a.mustThrow(t, merged(a.opening(), claims{"kept": true}), "APIError", http.StatusForbidden, "external_auth_disabled")
	g.operate(t, "/byoa/environments/production/enable")
	a.reload(t, node)
	if s := a.state(t); !s.SignedIn || s.User.ID != user {
		t.Fatalf("once it is on again the SDK says %+v, want the user signed in", s)
	}

	session := w.last(t, http.MethodPost, "/refresh").header.Get("Cookie")
	if revoked := g.send(t, post(apiPath+"/revoke").cookies(session)); revoked.status != http.StatusNoContent {
		t.Fatalf("revoking: got %v, want 204", revoked)
	}
	a.reload(t, node)
	if s := a.state(t); s.SignedIn {
		t.Errorf("after the revocation the SDK says %+v, want nobody signed in", s)
	}
	if got := w.last(t, http.MethodPost, "/revoke").header.Get("X-Dyn-Logout-Reason"); got != "session-refresh-unauthorized" {
		t.Errorf("the SDK logged out because of %q, want session-refresh-unauthorized", got)
	}
}

// refuseEverybody: while external sign-in is off, the settings say so, and nobody gets in.
func refuseEverybody(t *testing.T, node platform) {
	front := startFront(t)
	on := sdkMode{}.config(front.origin)
	off := on
	off.Environment += "\nenabled off"
	g := startGateway(t, off)
	a := node.app(t, front, startWire(t, g), false)
	signIn := claims{"do": "signIn", "jwt": g.issuer.token(t, nil)}

	a.open(t)
	if a.state(t).Settings.Security.ExternalAuth.Enabled {
		t.Error("the settings say that external sign-in is enabled")
	}
	a.mustThrow(t, signIn, "APIError", http.StatusForbidden, "external_auth_disabled")

	g.config.Environment = on.Environment
	g.reload(t)
	a.open(t)
	if !a.state(t).Settings.Security.ExternalAuth.Enabled {
		t.Error("the settings say that external sign-in is not enabled")
	}
	a.do(t, signIn)
}
