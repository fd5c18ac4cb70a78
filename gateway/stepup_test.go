package gateway_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func (w *world) stepUp(s *gateway.Session, p gateway.Proof, n gateway.Need) (*gateway.Elevated, error) {
	return w.env.StepUp(context.Background(), s, p, n)
}

func TestElevatedTokenWorksOnce(t *testing.T) {
	w := newWorld(t)
	s := w.signIn(t, w.external("alice"))
	el := w.elevate(t, s, "wallet:export")
	if !el.SingleUse || el.Expiry.Sub(w.clock.Now()) > 5*time.Minute {
		t.Errorf("elevated token %+v, want single use within 5m", el)
	}
	proof, n := gateway.Proof{Elevated: el.Token}, need(t, "wallet:export")
	used, err := w.stepUp(s, proof, n)
	wantCode(t, err, "")
	if used.ID != el.ID || used.Token != el.Token {
		t.Errorf("passed %+v, want %+v", used, el)
	}
	again, err := w.stepUp(s, proof, n)
	wantCode(t, err, gateway.CodeElevatedUsed)
	wantSecret(t, err, el.Token)
	if again != nil {
		t.Error("a refused proof was returned")
	}
}

func TestOfSixtyFourRacersOneWins(t *testing.T) {
	w := newWorld(t)
	s := w.signIn(t, w.external("alice"))
	n := need(t, "wallet:export")
	for name, proof := range map[string]gateway.Proof{
		"elevated token": {Elevated: w.elevate(t, s, "wallet:export").Token},
		"assertion":      {Assertion: w.issuer.Assertion("alice", "wallet:export", nil)},
	} {
		t.Run(name, func(t *testing.T) {
			var passed atomic.Int32
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					if _, err := w.stepUp(s, proof, n); err == nil {
						passed.Add(1)
					}
				})
			}
			wg.Wait()
			if got := passed.Load(); got != 1 {
				t.Errorf("%d passed, want 1", got)
			}
		})
	}
}

// Each case differs from the control in one thing, and none of them spends the token.
func TestElevatedTokenThatDoesNotServe(t *testing.T) {
	cases := []struct {
		name    string
		user    string
		scopes  string
		present func(t *testing.T, w *world, s *gateway.Session, el *gateway.Elevated) (*gateway.Session, gateway.Proof)
		want    verifier.Code
	}{
		{name: "control"},
		{
			name: "nothing brought", want: gateway.CodeStepUpRequired,
			present: func(_ *testing.T, _ *world, s *gateway.Session, _ *gateway.Elevated) (*gateway.Session, gateway.Proof) {
				return s, gateway.Proof{}
			},
		},
		{name: "lacks a scope", scopes: "wallet:export wallet:sign", want: gateway.CodeStepUpRequired},
		{
			name: "of another user", want: gateway.CodeElevatedSubjectMismatch,
			present: func(t *testing.T, w *world, _ *gateway.Session, el *gateway.Elevated) (*gateway.Session, gateway.Proof) {
				return w.signIn(t, w.external("mallory")), gateway.Proof{Elevated: el.Token}
			},
		},
		{
			name: "of another session of the same user", want: gateway.CodeElevatedSubjectMismatch,
			present: func(t *testing.T, w *world, _ *gateway.Session, el *gateway.Elevated) (*gateway.Session, gateway.Proof) {
				return w.signIn(t, w.external("alice")), gateway.Proof{Elevated: el.Token}
			},
		},
		{
			name: "expired", want: gateway.CodeElevatedExpired,
			present: func(_ *testing.T, w *world, s *gateway.Session, el *gateway.Elevated) (*gateway.Session, gateway.Proof) {
				w.clock.Advance(5 * time.Minute)
				return s, gateway.Proof{Elevated: el.Token}
			},
		},
		{
			name: "tampered", want: gateway.CodeElevatedInvalid,
			present: func(_ *testing.T, _ *world, s *gateway.Session, el *gateway.Elevated) (*gateway.Session, gateway.Proof) {
				return s, gateway.Proof{Elevated: el.Token[:len(el.Token)-4] + "AAAA"}
			},
		},
		{
			name: "a session token", want: gateway.CodeElevatedInvalid,
			present: func(_ *testing.T, _ *world, s *gateway.Session, _ *gateway.Elevated) (*gateway.Session, gateway.Proof) {
				return s, gateway.Proof{Elevated: s.Token}
			},
		},
		{
			name: "an assertion", want: gateway.CodeElevatedInvalid,
			present: func(_ *testing.T, w *world, s *gateway.Session, _ *gateway.Elevated) (*gateway.Session, gateway.Proof) {
				return s, gateway.Proof{Elevated: w.issuer.Assertion("alice", "wallet:export", nil)}
			},
		},
		{
			name: "its session was revoked", want: gateway.CodeElevatedInvalid,
			present: func(t *testing.T, w *world, s *gateway.Session, el *gateway.Elevated) (*gateway.Session, gateway.Proof) {
				if err := w.env.Revoke(context.Background(), s); err != nil {
					t.Fatal(err)
				}
				return w.authenticate(t, w.external("alice", map[string]any{"jti": "x"})), gateway.Proof{Elevated: el.Token}
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.signIn(t, w.external("alice"))
			el := w.elevate(t, s, "wallet:export")
			present, proof := s, gateway.Proof{Elevated: el.Token}
			if c.present != nil {
				present, proof = c.present(t, w, s, el)
			}
			scopes := c.scopes
			if scopes == "" {
				scopes = "wallet:export"
			}
			_, err := w.stepUp(present, proof, need(t, scopes))
			wantCode(t, err, c.want)
			wantSecret(t, err, el.Token, proof.Elevated)
			if c.want == "" {
				return
			}
			var r *gateway.Refusal
			if !errors.As(err, &r) || !r.Scopes.Equal(need(t, scopes).Scopes) {
				t.Errorf("the refusal names scopes %q, want %q", r.Scopes, scopes)
			}
			if err := w.store.Use(context.Background(), "sentinel", w.clock.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if c.want == gateway.CodeElevatedExpired || c.name == "its session was revoked" {
				return
			}
			_, err = w.stepUp(s, gateway.Proof{Elevated: el.Token}, need(t, "wallet:export"))
			wantCode(t, err, "") // what was refused had spent nothing
		})
	}
}

// One request under two requirements: the first that is met spends the token for both, and what it lacks nothing else makes up for.
func TestGrantedServesTheWholeRequest(t *testing.T) {
	w := newWorld(t)
	s := w.signIn(t, w.external("alice"))
	proof := gateway.Proof{Elevated: w.elevate(t, s, "wallet:export wallet:sign").Token}
	granted, err := w.stepUp(s, proof, need(t, "wallet:export"))
	wantCode(t, err, "")
	proof.Granted = granted
	_, err = w.stepUp(s, proof, need(t, "wallet:sign"))
	wantCode(t, err, "")
	proof.Assertion = w.issuer.Assertion("alice", "wallet:delete", nil)
	_, err = w.stepUp(s, proof, need(t, "wallet:delete"))
	wantCode(t, err, gateway.CodeStepUpRequired)
}

// With the external JWT on the request, the elevated token is the user's; only with a session token is it that session's.
func TestElevatedTokenWithTheExternalJWTIsTheUsers(t *testing.T) {
	w := newWorld(t)
	el := w.elevate(t, w.signIn(t, w.external("alice")), "wallet:export")
	n := need(t, "wallet:export")
	_, err := w.stepUp(w.authenticate(t, w.external("mallory")), gateway.Proof{Elevated: el.Token}, n)
	wantCode(t, err, gateway.CodeElevatedSubjectMismatch)
	_, err = w.stepUp(w.authenticate(t, w.external("alice")), gateway.Proof{Elevated: el.Token}, n)
	wantCode(t, err, "")
}

func TestInlineAssertion(t *testing.T) {
	w := newWorld(t, func(c *gateway.Config) {
		c.Scopes = map[string]gateway.ScopeRule{"wallet:export": {}, "wallet:sign": {MultiUse: true}}
	})
	s := w.authenticate(t, w.external("alice"))
	for _, c := range []struct {
		name, assertion string
		want            verifier.Code
	}{
		{"control", w.issuer.Assertion("alice", "wallet:export", nil), ""},
		{"more scopes than needed", w.issuer.Assertion("alice", "wallet:sign wallet:export", nil), ""},
		{"of another user", w.issuer.Assertion("mallory", "wallet:export", nil), verifier.CodeSubjectMismatch},
		{"another scope", w.issuer.Assertion("alice", "wallet:sign", nil), gateway.CodeStepUpRequired},
		{"a scope that does not exist", w.issuer.Assertion("alice", "wallet:export admin", nil), gateway.CodeScopeNotAllowed},
		{"an ordinary access token", w.external("alice", map[string]any{"scope": "wallet:export", "jti": "j"}), verifier.CodeTypeMismatch},
		{"an access token without an audience", w.external("alice", map[string]any{"scope": "wallet:export", "jti": "k", "aud": nil}), verifier.CodeTypeMismatch},
		{"an elevated token", w.elevate(t, s, "wallet:export").Token, verifier.CodeSubjectMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			el, err := w.stepUp(s, gateway.Proof{Assertion: c.assertion}, need(t, "wallet:export"))
			if c.name == "an elevated token" { // refused, whichever rule meets it first
				if err == nil {
					t.Fatal("our own token was taken for an assertion")
				}
				return
			}
			wantCode(t, err, c.want)
			wantSecret(t, err, c.assertion)
			if c.want != "" {
				return
			}
			_, err = w.stepUp(s, gateway.Proof{Assertion: c.assertion}, need(t, "wallet:export"))
			wantCode(t, err, gateway.CodeReplayed)
			_, err = w.stepUp(s, gateway.Proof{Elevated: el.Token}, need(t, "wallet:export"))
			wantCode(t, err, gateway.CodeElevatedUsed) // what the upstream was given opens nothing here
		})
	}
}

// An assertion that is refused for another reason must still be good for what it was signed for.
func TestRefusedAssertionIsNotSpent(t *testing.T) {
	w := newWorld(t)
	alice, mallory := w.authenticate(t, w.external("alice")), w.authenticate(t, w.external("mallory"))
	proof := gateway.Proof{Assertion: w.issuer.Assertion("alice", "wallet:export", nil)}
	_, err := w.stepUp(mallory, proof, need(t, "wallet:export"))
	wantCode(t, err, verifier.CodeSubjectMismatch)
	_, err = w.stepUp(alice, proof, need(t, "wallet:export wallet:sign"))
	wantCode(t, err, gateway.CodeStepUpRequired)
	_, err = w.stepUp(alice, proof, need(t, "wallet:export"))
	wantCode(t, err, "")
}

func TestUsedJTIStaysUsedUntilItCannotMatter(t *testing.T) {
	w := newWorld(t)
	s, bob := w.signIn(t, w.external("alice")), w.signIn(t, w.external("bob"))
	sign := func(subject, jti string, lifetime time.Duration) string {
		return w.issuer.Assertion(subject, "wallet:sign", map[string]any{"jti": jti, "exp": w.clock.Now().Add(lifetime).Unix()})
	}
	elevate := func(s *gateway.Session, assertion string) error {
		_, err := w.env.Elevate(context.Background(), s, assertion)
		return err
	}
	wantCode(t, elevate(s, sign("alice", "once", 20*time.Minute)), "")
	wantCode(t, elevate(bob, sign("bob", "once", time.Minute)), gateway.CodeReplayed) // whoever it is for
	wantCode(t, elevate(bob, sign("bob", "another", time.Minute)), "")
	w.clock.Advance(30*time.Minute - 2*time.Second) // the assertion has expired, unless a clock is behind
	wantCode(t, elevate(s, sign("alice", "once", time.Minute)), gateway.CodeReplayed)
	w.clock.Advance(2 * time.Second)
	wantCode(t, elevate(s, sign("alice", "once", time.Minute)), "")
}

// A single-use token that lives long is used up for as long as it lives, also where the
// clock of the store is ahead. Whoever had seen it on its way would use it a second time.
func TestElevatedTokenThatLivesLongWorksOnce(t *testing.T) {
	ahead := verifiertest.NewClock()
	w := newWorld(t, func(c *gateway.Config) {
		c.Store = store.NewMemory(store.MemoryConfig{Now: ahead.Now})
		c.Scopes = map[string]gateway.ScopeRule{"wallet:export": {Lifetime: 45 * time.Minute}}
	})
	s, n := w.signIn(t, w.external("alice")), need(t, "wallet:export")
	used, unused := gateway.Proof{Elevated: w.elevate(t, s, "wallet:export").Token}, gateway.Proof{Elevated: w.elevate(t, s, "wallet:export").Token}
	_, err := w.stepUp(s, used, n)
	wantCode(t, err, "")
	w.clock.Advance(44 * time.Minute)
	ahead.Advance(44*time.Minute + 9*time.Minute)
	_, err = w.stepUp(s, used, n)
	wantCode(t, err, gateway.CodeElevatedUsed)
	_, err = w.stepUp(s, unused, n)
	wantCode(t, err, "")
}

func TestElevatedLifetimeIsTheShortestOfItsScopes(t *testing.T) {
	w := newWorld(t, func(c *gateway.Config) {
		c.Scopes = map[string]gateway.ScopeRule{
			"short": {MultiUse: true, Lifetime: time.Minute},
			"long":  {MultiUse: true, Lifetime: 3 * time.Hour},
			"once":  {},
		}
	})
	s := w.signIn(t, w.external("alice"))
	now := w.clock.Now()
	for _, c := range []struct {
		scopes    string
		lifetime  time.Duration
		singleUse bool
	}{
		{"short long", time.Minute, false},
		{"long once", 5 * time.Minute, true},
		{"long", s.Expiry.Sub(now), false}, // never past the session's
	} {
		el := w.elevate(t, s, c.scopes)
		if got := el.Expiry.Sub(now); got > c.lifetime || got < c.lifetime-time.Second || el.SingleUse != c.singleUse {
			t.Errorf("%s: %s, single use %t; want %s, %t", c.scopes, got, el.SingleUse, c.lifetime, c.singleUse)
		}
	}
	multi := gateway.Proof{Elevated: w.elevate(t, s, "short").Token}
	for range 3 {
		_, err := w.stepUp(s, multi, need(t, "short"))
		wantCode(t, err, "")
	}
}

func TestNothingIsMintedWhereTheStoreCannotTell(t *testing.T) {
	w := newWorld(t)
	s := w.authenticate(t, w.external("alice"))
	el := w.elevate(t, s, "wallet:export")
	w.store.broken = true
	_, byElevated := w.stepUp(s, gateway.Proof{Elevated: el.Token}, need(t, "wallet:export"))
	_, byAssertion := w.stepUp(s, gateway.Proof{Assertion: w.issuer.Assertion("alice", "wallet:export", nil)}, need(t, "wallet:export"))
	for _, err := range []error{byElevated, byAssertion} {
		wantCode(t, err, gateway.CodeStoreUnavailable)
		var r *gateway.Refusal
		if errors.As(err, &r); r.RetryAfter <= 0 {
			t.Error("no word on when to try again")
		}
	}
}

func TestAssertionIsSpentBeforeItIsExchanged(t *testing.T) {
	w := newWorld(t)
	s := w.authenticate(t, w.external("alice"))
	proof := gateway.Proof{Assertion: w.issuer.Assertion("alice", "wallet:export", nil)}
	w.local.fail = errors.New("connection refused")
	_, err := w.stepUp(s, proof, need(t, "wallet:export"))
	wantCode(t, err, gateway.CodeExchangeFailed)
	w.local.fail = nil
	_, err = w.stepUp(s, proof, need(t, "wallet:export"))
	wantCode(t, err, gateway.CodeReplayed)
}

func TestReauthentication(t *testing.T) {
	w := newWorld(t)
	now := w.clock.Now().Unix()
	scoped := need(t, "wallet:export")
	for _, c := range []struct {
		name   string
		claims map[string]any
		need   gateway.Need
		want   verifier.Code
	}{
		{"recent", map[string]any{"auth_time": now - 299}, gateway.Need{MaxAge: 5 * time.Minute}, ""},
		{"too old", map[string]any{"auth_time": now - 302}, gateway.Need{MaxAge: 5 * time.Minute}, gateway.CodeReauthenticationRequired},
		{"not said", nil, gateway.Need{MaxAge: 5 * time.Minute}, gateway.CodeReauthenticationRequired},
		{"not a number", map[string]any{"auth_time": "yesterday"}, gateway.Need{MaxAge: 5 * time.Minute}, gateway.CodeReauthenticationRequired},
		{"in milliseconds, so recent for ever", map[string]any{"auth_time": now * 1000}, gateway.Need{MaxAge: 5 * time.Minute}, gateway.CodeReauthenticationRequired},
		{"absurd", map[string]any{"auth_time": 1e300}, gateway.Need{MaxAge: 5 * time.Minute}, gateway.CodeReauthenticationRequired},
		{"acr met", map[string]any{"acr": "mfa"}, gateway.Need{ACR: []string{"phr", "mfa"}}, ""},
		{"acr another", map[string]any{"acr": "pwd"}, gateway.Need{ACR: []string{"phr", "mfa"}}, gateway.CodeReauthenticationRequired},
		{"acr not said", nil, gateway.Need{ACR: []string{"mfa"}}, gateway.CodeReauthenticationRequired},
		{"acr a list", map[string]any{"acr": []string{"mfa"}}, gateway.Need{ACR: []string{"mfa"}}, gateway.CodeReauthenticationRequired},
	} {
		t.Run(c.name, func(t *testing.T) {
			inline := w.authenticate(t, w.external("alice", c.claims))
			signedIn := w.signIn(t, w.external("alice", c.claims))
			for _, s := range []*gateway.Session{inline, signedIn} {
				_, err := w.stepUp(s, gateway.Proof{}, c.need)
				wantCode(t, err, c.want)

				// A proof is no login: it makes up for none, and is not spent where there is none.
				both := c.need
				both.Scopes = scoped.Scopes
				el := w.elevate(t, s, "wallet:export")
				for used, proof := range map[verifier.Code]gateway.Proof{
					gateway.CodeElevatedUsed: {Elevated: el.Token},
					gateway.CodeReplayed:     {Assertion: w.issuer.Assertion("alice", "wallet:export", nil)},
				} {
					_, err = w.stepUp(s, proof, both)
					wantCode(t, err, c.want)
					_, err = w.stepUp(s, proof, scoped)
					if c.want != "" {
						used = ""
					}
					wantCode(t, err, used)
				}
				_, err = w.stepUp(s, gateway.Proof{Granted: el}, both)
				wantCode(t, err, c.want)
			}
		})
	}
}
