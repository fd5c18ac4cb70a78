package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// switches are the ways in which an environment is off for a while. Each returns the
// environment that is.
var switches = map[string]func(t *testing.T, w *world) *gateway.Environment{
	"by an operator": func(t *testing.T, w *world) *gateway.Environment {
		w.disable(t)
		t.Cleanup(func() { w.enable(t) })
		return w.env
	},
	"by the config": func(t *testing.T, w *world) *gateway.Environment {
		cfg := gatewaytest.NewConfig(t, w.issuer, w.clock)
		cfg.Store, cfg.Exchanger, cfg.Disabled = w.store, w.local, true
		off, err := gateway.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return off
	},
}

// An environment is switched off while something goes wrong. Who logs out then must not
// be logged in again once it is over.
func TestLoggedOutWhileSwitchedOff(t *testing.T) {
	ctx := context.Background()
	for name, off := range switches {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			jwt, other := w.external("alice"), w.external("alice", map[string]any{"jti": "another"})
			s, kept := w.signIn(t, jwt), w.signIn(t, other)
			t.Run("while it is off", func(t *testing.T) {
				env := off(t, w)
				before := w.local.count()
				for credential, sid := range map[string]string{s.Token: s.ID, jwt: s.Origin} {
					_, err := env.Authenticate(ctx, credential)
					wantCode(t, err, gateway.CodeExternalAuthDisabled)
					got, err := env.Identify(ctx, credential)
					wantCode(t, err, "")
					if got.ID != sid || got.Origin != s.Origin || got.UserID != s.UserID {
						t.Errorf("session %s from %s of %s, want %s from %s of %s", got.ID, got.Origin, got.UserID, sid, s.Origin, s.UserID)
					}
				}
				if w.local.count() != before {
					t.Error("a token was minted while the environment is off")
				}
				ended, err := env.Identify(ctx, s.Token)
				wantCode(t, err, "")
				wantCode(t, env.Revoke(ctx, ended), "")
				_, err = env.Identify(ctx, s.Token)
				wantCode(t, err, gateway.CodeSessionRevoked)
			})
			for credential, want := range map[string]verifier.Code{
				s.Token: gateway.CodeSessionRevoked, jwt: gateway.CodeSessionRevoked, kept.Token: "", other: "",
			} {
				w.wantAuthenticated(t, credential, want)
			}
		})
	}
}

// A JWT that was given up while the environment was off takes all that came from it along.
func TestExternalJWTGivenUpWhileSwitchedOff(t *testing.T) {
	w := newWorld(t)
	jwt := w.external("alice")
	s := w.signIn(t, jwt)
	w.disable(t)
	ended, err := w.env.Identify(context.Background(), jwt)
	wantCode(t, err, "")
	wantCode(t, w.env.Revoke(context.Background(), ended), "")
	w.enable(t)
	for _, credential := range []string{jwt, s.Token} {
		w.wantAuthenticated(t, credential, gateway.CodeSessionRevoked)
	}
}

// Whoever cannot say whose session it is ends none.
func TestIdentifyHoldsCredentialsToTheRules(t *testing.T) {
	w := newWorld(t)
	stranger := newWorld(t)
	expired := w.signIn(t, w.external("alice"))
	w.clock.Advance(2 * time.Hour)
	stranger.clock.Advance(2 * time.Hour)
	s := w.signIn(t, w.external("bob"))
	w.disable(t)
	for name, c := range map[string]struct {
		credential string
		want       verifier.Code
	}{
		"a session":              {s.Token, ""},
		"an external JWT":        {w.external("bob"), ""},
		"nothing":                {"", verifier.CodeTokenMalformed},
		"an expired session":     {expired.Token, verifier.CodeExpired},
		"another signature":      {s.Token[:strings.LastIndexByte(s.Token, '.')] + expired.Token[strings.LastIndexByte(expired.Token, '.'):], verifier.CodeSignatureInvalid},
		"another audience":       {w.external("bob", map[string]any{"aud": "https://other.example.com"}), verifier.CodeAudienceMismatch},
		"another login system":   {stranger.external("bob"), verifier.CodeIssuerMismatch},
		"another session issuer": {stranger.signIn(t, stranger.external("bob")).Token, verifier.CodeKeyNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.env.Identify(context.Background(), c.credential)
			wantCode(t, err, c.want)
			wantSecret(t, err, c.credential)
		})
	}
	w.store.broken = true
	_, err := w.env.Identify(context.Background(), s.Token)
	wantCode(t, err, gateway.CodeStoreUnavailable)
	w.store.broken = false
}

// It is refused as long as its login system is not trusted, and nothing of it is taken for true.
func TestIdentifyTrustsNoLoginSystemOfBefore(t *testing.T) {
	w, stranger := newWorld(t), newWorld(t)
	s := w.signIn(t, w.external("alice"))
	for _, c := range []struct {
		trusted *world
		want    verifier.Code
	}{{w, ""}, {stranger, verifier.CodeIssuerMismatch}} {
		cfg := gatewaytest.NewConfig(t, c.trusted.issuer, w.clock)
		cfg.Store, cfg.Exchanger = w.store, w.local
		env, err := gateway.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		got, err := env.Identify(context.Background(), s.Token)
		wantCode(t, err, c.want)
		if (got == nil) != (c.want != "") {
			t.Errorf("session %+v beside code %q", got, c.want)
		}
	}
}
