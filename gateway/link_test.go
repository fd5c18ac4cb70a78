package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

func TestALinkedIdentitySignsItsUserIn(t *testing.T) {
	w := newLinkWorld(t)
	ctx := context.Background()
	alice, jwt := w.signIn(t, w.external("alice")), w.atWork("a.smith")
	s, u, err := w.env.SignIn(ctx, jwt, alice)
	wantCode(t, err, "")
	if s.UserID != alice.UserID || u.ID != alice.UserID || u.New {
		t.Errorf("session of %s and user %+v, want %s, who was here before", s.UserID, u, alice.UserID)
	}
	if s.ExternalID() != "a.smith" || s.External.Issuer != w.work.URL() || s.ID == alice.ID {
		t.Errorf("session %s of %s at %s, want one of the JWT's own", s.ID, s.ExternalID(), s.External.Issuer)
	}
	wantIdentities(t, u, "alice", "a.smith")
	w.watch.want(t, "")
	if e := w.watch.events[0]; e.UserID != alice.UserID || e.Session.ExternalID() != "a.smith" {
		t.Errorf("observed a link of %s to %s", e.Session.ExternalID(), e.UserID)
	}

	w.wantUser(t, s.Token, alice.UserID)
	if inline := w.wantUser(t, jwt, alice.UserID); inline.ID != s.Origin {
		t.Errorf("the session comes from %s, want %s", s.Origin, inline.ID)
	}
	alone, u, err := w.env.SignIn(ctx, w.atWork("a.smith"), nil)
	wantCode(t, err, "")
	wantIdentities(t, u, "alice", "a.smith")
	wantIdentities(t, w.user(t, w.wantUser(t, alone.Token, alice.UserID)), "alice", "a.smith")
	w.wantUser(t, alice.Token, alice.UserID)
	w.wantUser(t, w.atWork("b.jones"), w.workID("b.jones"))

	third := w.link(t, w.external("alice at home"), w.authenticate(t, alone.Token)) // whichever identity vouches
	if third.UserID != alice.UserID {
		t.Errorf("linked to %s, want %s", third.UserID, alice.UserID)
	}
}

// Links are facts. Switching the linking off must not make two users of one again.
func TestLinksCountWhereNothingMoreIsLinked(t *testing.T) {
	w := newLinkWorld(t)
	ctx := context.Background()
	alice := w.signIn(t, w.external("alice"))
	w.link(t, w.atWork("a.smith"), alice)
	env := w.instance(t, withoutLink)
	for name, ask := range map[string]func(jwt string) (*gateway.Session, error){
		"a request":    func(jwt string) (*gateway.Session, error) { return env.Authenticate(ctx, jwt) },
		"a revocation": func(jwt string) (*gateway.Session, error) { return env.Identify(ctx, jwt) },
		"a sign-in":    func(jwt string) (*gateway.Session, error) { s, _, err := env.SignIn(ctx, jwt, nil); return s, err },
	} {
		for user, want := range map[string]string{"a.smith": alice.UserID, "b.jones": w.workID("b.jones")} {
			s, err := ask(w.atWork(user))
			wantCode(t, err, "")
			if s.UserID != want {
				t.Errorf("%s with %s's JWT is %s's, want %s's", name, user, s.UserID, want)
			}
		}
	}
}

// Each case differs from the control in one thing, and signs in as whoever the JWT's identity is.
func TestASignInLinksOnlyWhatItIsToldTo(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*gateway.Config)
		jwt     func(w *linkWorld) string
		present func(t *testing.T, w *linkWorld, alice *gateway.Session) *gateway.Session
		want    string // the user: who vouches, or who the JWT says
	}{
		"control":        {want: "alice"},
		"linking is off": {change: withoutLink, want: "itself"},
		"nobody is here": {
			present: func(*testing.T, *linkWorld, *gateway.Session) *gateway.Session { return nil }, want: "itself",
		},
		"an external JWT in Authorization": {
			present: func(t *testing.T, w *linkWorld, _ *gateway.Session) *gateway.Session {
				return w.authenticate(t, w.external("alice"))
			}, want: "itself",
		},
		"somebody else at the same login system": {
			jwt: func(w *linkWorld) string { return w.external("a.smith") }, want: "itself",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLinkWorld(t)
			alice := w.signIn(t, w.external("alice"))
			present, jwt := alice, w.atWork("a.smith")
			if c.change != nil {
				w.env = w.instance(t, c.change)
			}
			if c.jwt != nil {
				jwt = c.jwt(w)
			}
			if c.present != nil {
				present = c.present(t, w, alice)
			}
			s, u, err := w.env.SignIn(context.Background(), jwt, present)
			wantCode(t, err, "")
			linked := c.want == "alice"
			if (s.UserID == alice.UserID) != linked || u.ID != s.UserID || u.New == linked {
				t.Errorf("session of %s, user %+v: want it to be %s's", s.UserID, u, c.want)
			}
			if got := w.store.directory.links.Load() == 1; got != linked || (len(w.watch.events) == 1) != linked {
				t.Errorf("linked: %v, observed %+v, want %v", got, w.watch.events, linked)
			}
		})
	}
}

// The SDKs send what session they have with every sign-in.
func TestWhatIsTheUsersAlreadyIsNotLinkedAgain(t *testing.T) {
	w := newLinkWorld(t)
	alice := w.signIn(t, w.external("alice"))
	s := w.link(t, w.atWork("a.smith"), alice)
	for jwt, present := range map[string]*gateway.Session{w.atWork("a.smith"): alice, w.external("alice"): s} {
		w.clock.Advance(time.Second)
		again, u, err := w.env.SignIn(context.Background(), jwt, present)
		wantCode(t, err, "")
		if again.UserID != alice.UserID || again.ID == present.ID || !u.LastVisit.Equal(w.clock.Now()) {
			t.Errorf("session %s of %s, last visit %v, want a new one of %s now", again.ID, again.UserID, u.LastVisit, alice.UserID)
		}
		wantIdentities(t, u, "alice", "a.smith")
	}
	w.watch.want(t, "")
}

// An attempt is a sign-in that would link.
type attempt struct {
	jwt     string
	present *gateway.Session
}

func TestRefusedLinks(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		arrange func(t *testing.T, w *linkWorld, a *attempt)
		want    verifier.Code
		unasked bool // refused before anything is about to be linked
	}{
		"control": {func(*testing.T, *linkWorld, *attempt) {}, "", false},

		"the JWT was given up": {func(t *testing.T, w *linkWorld, a *attempt) {
			wantCode(t, w.env.Revoke(ctx, w.authenticate(t, a.jwt)), "")
		}, gateway.CodeSessionRevoked, false},
		"its own user was revoked": {func(t *testing.T, w *linkWorld, _ *attempt) {
			w.revokeUser(t, w.workID("a.smith"))
		}, gateway.CodeSessionRevoked, false},
		"it is older than the last revocation of whom it would join": {func(t *testing.T, w *linkWorld, a *attempt) {
			w.revokeUser(t, a.present.UserID)
			w.clock.Advance(time.Second)
			a.present = w.signIn(t, w.external("alice"))
		}, gateway.CodeSessionRevoked, false},
		"the session was given up": {func(t *testing.T, w *linkWorld, a *attempt) {
			wantCode(t, w.env.Revoke(ctx, a.present), "")
		}, gateway.CodeSessionRevoked, false},
		"the session's user was revoked": {func(t *testing.T, w *linkWorld, a *attempt) {
			w.revokeUser(t, a.present.UserID)
			w.clock.Advance(time.Second)
			a.jwt = w.atWork("a.smith")
		}, gateway.CodeSessionRevoked, false},
		"the session's identity has joined somebody": {func(t *testing.T, w *linkWorld, a *attempt) {
			a.present = w.authenticate(t, w.authenticate(t, w.external("guest")).Token)
			w.link(t, w.external("guest"), w.signIn(t, w.atWork("boss")))
			w.watch.events = nil
		}, gateway.CodeSessionRevoked, false},
		"the session has expired": {func(_ *testing.T, w *linkWorld, a *attempt) {
			w.clock.Advance(time.Hour)
			a.jwt = w.atWork("a.smith")
		}, verifier.CodeExpired, false},

		"the identity has signed in": {func(t *testing.T, w *linkWorld, a *attempt) {
			w.signIn(t, a.jwt)
		}, gateway.CodeIdentityTaken, false},
		"the identity was linked to somebody else": {func(t *testing.T, w *linkWorld, a *attempt) {
			w.link(t, a.jwt, w.signIn(t, w.external("bob")))
			w.watch.events = nil
		}, gateway.CodeIdentityTaken, false},
		"as many as there may be": {func(t *testing.T, w *linkWorld, a *attempt) {
			for n := range gateway.MaxIdentities - 1 {
				w.link(t, w.atWork(fmt.Sprint("a.smith-", n)), a.present)
			}
			w.watch.events = nil
		}, gateway.CodeTooManyIdentities, false},
		"no room": {func(_ *testing.T, w *linkWorld, _ *attempt) {
			w.store.directory.fails = map[string]error{"Link": fmt.Errorf("linking: %w", gateway.ErrFull)}
		}, gateway.CodeStoreUnavailable, false},
		"the store fails": {func(_ *testing.T, w *linkWorld, _ *attempt) {
			w.store.directory.fails = map[string]error{"Link": errBroken}
		}, gateway.CodeStoreUnavailable, false},
		"an identity that is too long": {func(_ *testing.T, w *linkWorld, a *attempt) {
			a.jwt = w.atWork(strings.Repeat("x", gateway.MaxIdentitySize))
		}, gateway.CodeBadRequest, false},
		"an identity that is too long vouches": {func(t *testing.T, w *linkWorld, a *attempt) {
			a.present = w.signIn(t, w.external(strings.Repeat("x", gateway.MaxIdentitySize)))
		}, gateway.CodeBadRequest, false},

		"the exchange fails": {func(_ *testing.T, w *linkWorld, _ *attempt) {
			w.local.fail = errBroken
		}, gateway.CodeExchangeFailed, false},
		"the JWT has less than a second": {func(_ *testing.T, w *linkWorld, a *attempt) {
			a.jwt = w.atWork("a.smith", map[string]any{"exp": float64(w.clock.Now().Unix()) + 0.9})
			w.clock.Advance(w.clock.Now().Truncate(time.Second).Sub(w.clock.Now()))
		}, verifier.CodeExpired, false},

		"switched off": {func(t *testing.T, w *linkWorld, _ *attempt) {
			w.disable(t)
		}, gateway.CodeExternalAuthDisabled, true},
		"switched off meanwhile": {func(t *testing.T, w *linkWorld, _ *attempt) {
			w.watch.verified = func() { w.disable(t) }
		}, gateway.CodeExternalAuthDisabled, false},
		"the JWT has expired": {func(_ *testing.T, w *linkWorld, a *attempt) {
			a.jwt = w.atWork("a.smith", map[string]any{"exp": w.clock.Now().Unix()})
		}, verifier.CodeExpired, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLinkWorld(t)
			a := &attempt{w.atWork("a.smith"), w.signIn(t, w.external("alice"))}
			c.arrange(t, w, a)
			owner, err := w.store.Store.Owner(w.workID("a.smith"))
			if err != nil {
				t.Fatal(err)
			}
			told := w.watch.exchanges.Load()
			s, u, err := w.env.SignIn(ctx, a.jwt, a.present)
			wantCode(t, err, c.want)
			wantSecret(t, err, a.jwt, a.present.Token)
			if c.want == "" {
				w.wantOwner(t, w.workID("a.smith"), a.present.UserID)
				w.watch.want(t, "")
				return
			}
			if s != nil || u.ID != "" || w.watch.exchanges.Load() != told {
				t.Errorf("session %+v of user %+v, %d exchanges told of, beside a refusal", s, u, w.watch.exchanges.Load()-told)
			}
			w.wantOwner(t, w.workID("a.smith"), owner)
			if c.unasked {
				w.watch.want(t)
				return
			}
			w.watch.want(t, c.want)
			if e := w.watch.events[0]; e.UserID != a.present.UserID || e.Session.External.Issuer != w.work.URL() || e.Err == nil {
				t.Errorf("observed %+v, want the refusal, with whom was to join whom", e)
			}
		})
	}
}

// Whoever may link must not gain a longer session by it, nor lose one.
func TestALinkedSessionNeverOutlivesItsOwnExternalJWT(t *testing.T) {
	w := newLinkWorld(t, func(c *gateway.Config) {
		c.Session = gateway.SessionRules{Lifetime: time.Hour, MaxLifetime: 24 * time.Hour}
		c.Scopes = map[string]gateway.ScopeRule{"wallet:sign": {MultiUse: true, Lifetime: 12 * time.Hour}}
	})
	ctx := context.Background()
	until := func(d time.Duration) map[string]any { return map[string]any{"exp": w.clock.Now().Add(d).Unix()} }
	end := w.clock.Now().Add(30 * time.Minute).Truncate(time.Second)
	long, short := w.external("alice", until(8*time.Hour)), w.atWork("a.smith", until(30*time.Minute))
	alice := w.signIn(t, long)
	s := w.link(t, short, alice)
	if !s.Expiry.Equal(end) || s.RefreshUntil.After(end) {
		t.Errorf("the linked session lives until %v and can be carried on until %v, want %v", s.Expiry, s.RefreshUntil, end)
	}
	w.clock.Advance(20 * time.Minute)
	fresh, err := w.env.Refresh(ctx, s)
	wantCode(t, err, "")
	el := w.elevateAtWork(t, w.authenticate(t, fresh.Token), "wallet:sign")
	if fresh.Expiry.After(end) || el.Expiry.After(end) {
		t.Errorf("refreshed until %v, elevated until %v, want neither past %v", fresh.Expiry, el.Expiry, end)
	}
	use := func() error {
		_, err := w.stepUp(w.authenticate(t, long), gateway.Proof{Elevated: el.Token}, gateway.Need{Scopes: el.Scopes})
		return err
	}
	wantCode(t, use(), "")

	w.clock.Advance(end.Sub(w.clock.Now()))
	for _, credential := range []string{s.Token, fresh.Token, short} {
		w.wantAuthenticated(t, credential, verifier.CodeExpired)
	}
	_, err = w.env.Refresh(ctx, s)
	wantCode(t, err, verifier.CodeExpired)
	w.wantSignedIn(t, short, verifier.CodeExpired)
	wantCode(t, use(), gateway.CodeElevatedExpired)
	w.wantUser(t, alice.Token, alice.UserID) // its own JWT is still good
	w.wantUser(t, long, alice.UserID)
}

// The session that vouches is another one, and does not bound the one that it vouches for.
func TestASessionThatVouchesBoundsNothing(t *testing.T) {
	w := newLinkWorld(t)
	end := w.clock.Now().Add(10 * time.Minute)
	alice := w.signIn(t, w.external("alice", map[string]any{"exp": end.Unix()}))
	s := w.link(t, w.atWork("a.smith"), alice)
	w.clock.Advance(10 * time.Minute)
	w.wantAuthenticated(t, alice.Token, verifier.CodeExpired)
	w.wantUser(t, s.Token, alice.UserID)
}

// An assertion is about whom the session's own login system knows, and no other identity of the user.
func TestALinkedSessionIsElevatedByItsOwnLoginSystem(t *testing.T) {
	w := newLinkWorld(t)
	s := w.link(t, w.atWork("a.smith"), w.signIn(t, w.external("alice")))
	for name, c := range map[string]struct {
		assertion string
		want      verifier.Code
	}{
		"its own":                              {w.work.Assertion("a.smith", "wallet:export", nil), ""},
		"its own, about the other identity":    {w.work.Assertion("alice", "wallet:export", nil), verifier.CodeSubjectMismatch},
		"the other one, about the other":       {w.issuer.Assertion("alice", "wallet:export", nil), verifier.CodeSubjectMismatch},
		"the other one, about its own subject": {w.issuer.Assertion("a.smith", "wallet:export", nil), verifier.CodeKeyNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			el, err := w.env.Elevate(context.Background(), s, c.assertion)
			wantCode(t, err, c.want)
			if c.want == "" && (el.UserID != s.UserID || el.ExternalID != "a.smith" || el.Session != s.ID) {
				t.Errorf("granted %+v", el)
			}
		})
	}
}
