package gateway_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// Two users must never both get one identity, whoever asks at what moment.
func TestOfManyWhoLinkOneIdentityOneWins(t *testing.T) {
	w := newLinkWorld(t)
	jwt := w.atWork("a.smith")
	var wg sync.WaitGroup
	var mu sync.Mutex // guards won
	var won []*gateway.Session
	for n := range 16 {
		present := w.signIn(t, w.external(fmt.Sprint("user-", n)))
		wg.Go(func() {
			s, _, err := w.env.SignIn(context.Background(), jwt, present)
			if err != nil {
				if gateway.CodeOf(err) != gateway.CodeIdentityTaken {
					t.Errorf("code %q (error %v), want %q", gateway.CodeOf(err), err, gateway.CodeIdentityTaken)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, s)
			if s.UserID != present.UserID {
				t.Errorf("linked to %s, want %s", s.UserID, present.UserID)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d users have linked one identity, want 1", len(won))
	}
	w.wantUser(t, jwt, won[0].UserID)
	w.wantUser(t, won[0].Token, won[0].UserID)
}

// Either the identity signs in first, and is a user's; or it is linked first, and signs that user in.
func TestALinkAndASignInOfTheSameIdentity(t *testing.T) {
	w := newLinkWorld(t)
	alice := w.signIn(t, w.external("alice"))
	for n := range gateway.MaxIdentities - 1 {
		user := fmt.Sprint("a.smith-", n)
		jwt := w.atWork(user)
		var linked, alone *gateway.Session
		var refused error
		var wg sync.WaitGroup
		wg.Go(func() { linked, _, refused = w.env.SignIn(context.Background(), jwt, alice) })
		wg.Go(func() {
			var err error
			if alone, _, err = w.env.SignIn(context.Background(), jwt, nil); err != nil {
				t.Errorf("signing in alone: %v", err)
			}
		})
		wg.Wait()
		switch want := w.workID(user); {
		case alone == nil:
		case refused == nil && (linked.UserID != alice.UserID || alone.UserID != alice.UserID):
			t.Errorf("linked to %s and signed in as %s, want %s twice", linked.UserID, alone.UserID, alice.UserID)
		case refused != nil:
			wantCode(t, refused, gateway.CodeIdentityTaken)
			w.wantOwner(t, want, want)
			w.wantUser(t, alone.Token, want)
		}
	}
}

// linkBehind links an identity as another instance would: without a word to this one.
func (w *linkWorld) linkBehind(t *testing.T, user string, to *gateway.Session) {
	t.Helper()
	_, err := w.store.Store.Link(context.Background(), gateway.Link{
		UserID: to.UserID,
		By:     gateway.Identity{ID: to.UserID, Issuer: to.External.Issuer, Subject: to.ExternalID()},
		Joins:  gateway.Identity{ID: w.workID(user), Issuer: w.work.URL(), Subject: user},
		At:     w.clock.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitExchange returns once something that has not ended has come to the exchanger.
func (w *world) awaitExchange(t *testing.T, before int, ended <-chan error) {
	t.Helper()
	for w.local.count() == before {
		select {
		case err := <-ended:
			t.Fatalf("it ended before it came to the exchanger: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
}

// A link that comes while something is being exchanged must not be overtaken by it. An
// external JWT is none the worse for it: it is good for whoever its identity belongs to now.
func TestLinkedWhileTheExchangeIsUnderWay(t *testing.T) {
	ctx := context.Background()
	for what, c := range map[string]struct {
		enter func(w *linkWorld, jwt string, old *gateway.Session) (*gateway.Session, error)
		want  verifier.Code
	}{
		"a request": {func(w *linkWorld, jwt string, _ *gateway.Session) (*gateway.Session, error) {
			return w.instance(t).Authenticate(ctx, jwt)
		}, ""},
		"a sign-in": {func(w *linkWorld, jwt string, _ *gateway.Session) (*gateway.Session, error) {
			s, u, err := w.env.SignIn(ctx, jwt, nil)
			if err == nil && (u.ID != s.UserID || u.New) {
				t.Errorf("user %+v with a session of %s, who was here before", u, s.UserID)
			}
			return s, err
		}, ""},
		"a sign-in that nobody has counted": {func(w *linkWorld, jwt string, _ *gateway.Session) (*gateway.Session, error) {
			w.store.directory.fails = map[string]error{"Visit": gateway.ErrFull}
			s, _, err := w.env.SignIn(ctx, jwt, nil)
			return s, err
		}, ""},
		"a refresh": {func(w *linkWorld, _ string, old *gateway.Session) (*gateway.Session, error) {
			return w.env.Refresh(ctx, old)
		}, gateway.CodeSessionRevoked},
		"an elevation": {func(w *linkWorld, _ string, old *gateway.Session) (*gateway.Session, error) {
			_, err := w.env.Elevate(ctx, old, w.work.Assertion("a.smith", "wallet:export", nil))
			return nil, err
		}, gateway.CodeSessionRevoked},
	} {
		t.Run(what, func(t *testing.T) {
			w := newLinkWorld(t)
			jwt, alice := w.atWork("a.smith"), w.signIn(t, w.external("alice"))
			old := w.authenticate(t, w.authenticate(t, jwt).Token)
			w.local.hold = make(chan struct{})
			before := w.local.count()
			var s *gateway.Session
			entered := make(chan error, 1)
			go func() {
				var err error
				s, err = c.enter(w, jwt, old)
				entered <- err
			}()
			w.awaitExchange(t, before, entered)
			w.linkBehind(t, "a.smith", alice)
			close(w.local.hold)
			wantCode(t, <-entered, c.want)
			if c.want == "" {
				w.wantUser(t, s.Token, alice.UserID)
			}
			w.wantUser(t, jwt, alice.UserID)
		})
	}
}

// The same goes for a request that comes just before the link, and is answered just after.
func TestLinkedAtTheLastMomentOfARequest(t *testing.T) {
	memory := &lateCache{Memory: gatewaytest.NewMemory()}
	w := newLinkWorld(t, func(c *gateway.Config) { c.Memory = memory })
	jwt, alice := w.atWork("a.smith"), w.signIn(t, w.external("alice"))
	old := w.wantUser(t, jwt, w.workID("a.smith"))
	memory.then = func() {
		memory.then = nil
		w.linkBehind(t, "a.smith", alice)
	}
	w.wantUser(t, w.atWork("a.smith", another()), alice.UserID)
	w.wantAuthenticated(t, old.Token, gateway.CodeSessionRevoked)
}

// staleOwners has not heard of any link.
type staleOwners struct{ gateway.Store }

func (staleOwners) Owner(identity string) (string, error) { return identity, nil }

// Where several instances share a store, one may hear of a link a moment later. Until then
// nobody gets a session of the one user, and is told that it is the other's.
func TestALinkOfWhichAnInstanceHasNotHeard(t *testing.T) {
	w := newLinkWorld(t)
	alice, jwt := w.signIn(t, w.external("alice")), w.atWork("a.smith")
	w.linkBehind(t, "a.smith", alice)
	informed := w.store.Store
	w.store.Store = staleOwners{informed}
	s, u, err := w.env.SignIn(context.Background(), jwt, nil)
	wantCode(t, err, gateway.CodeSessionRevoked)
	if s != nil || u.ID != "" {
		t.Errorf("session %+v of user %+v beside a refusal", s, u)
	}
	w.store.Store = informed
	w.wantUser(t, w.signIn(t, jwt).Token, alice.UserID)
}

// A cause is something that speaks against a link of a.smith at work to alice.
type cause struct {
	happen func(t *testing.T, w *linkWorld, jwt string, alice *gateway.Session)
	want   verifier.Code
}

var causes = map[string]cause{
	"the session was given up": {func(t *testing.T, w *linkWorld, _ string, alice *gateway.Session) {
		wantCode(t, w.env.Revoke(context.Background(), alice), "")
	}, gateway.CodeSessionRevoked},
	"the session was ended": {func(t *testing.T, w *linkWorld, _ string, alice *gateway.Session) {
		w.revokeSession(t, alice.ID)
	}, gateway.CodeSessionRevoked},
	"its user was revoked": {func(t *testing.T, w *linkWorld, _ string, alice *gateway.Session) {
		w.revokeUser(t, alice.UserID)
	}, gateway.CodeSessionRevoked},
	"what joins was revoked": {func(t *testing.T, w *linkWorld, _ string, _ *gateway.Session) {
		w.revokeUser(t, w.workID("a.smith"))
	}, gateway.CodeSessionRevoked},
	"the JWT that joins was given up": {func(t *testing.T, w *linkWorld, jwt string, _ *gateway.Session) {
		s, err := w.env.Identify(context.Background(), jwt)
		wantCode(t, err, "")
		wantCode(t, w.env.Revoke(context.Background(), s), "")
	}, gateway.CodeSessionRevoked},
	"the session has expired": {func(_ *testing.T, w *linkWorld, _ string, _ *gateway.Session) {
		w.clock.Advance(time.Hour)
	}, verifier.CodeExpired},
	"the environment is off": {func(t *testing.T, w *linkWorld, _ string, _ *gateway.Session) {
		w.disable(t)
	}, gateway.CodeExternalAuthDisabled},
	"control": {func(*testing.T, *linkWorld, string, *gateway.Session) {}, ""},
}

// Whoever ends a session that was stolen must not find, right after, that it has linked
// the thief for good. A link is asked for at the last moment, while nothing can be revoked.
func TestNothingIsLinkedOnceItsSessionHasEnded(t *testing.T) {
	for when, at := range map[string]func(w *linkWorld, then func()){
		"while the session is minted": func(w *linkWorld, then func()) { w.local.entered = then },
		"as the link is written":      func(w *linkWorld, then func()) { w.store.directory.writing = then },
	} {
		for what, c := range causes {
			t.Run(what+" "+when, func(t *testing.T) {
				w := newLinkWorld(t)
				alice := w.signIn(t, w.external("alice"))
				jwt := w.atWork("a.smith")
				visited := w.user(t, alice).LastVisit
				w.clock.Advance(time.Second)
				at(w, func() { c.happen(t, w, jwt, alice) })
				s, u, err := w.env.SignIn(context.Background(), jwt, alice)
				wantCode(t, err, c.want)
				w.watch.want(t, c.want)
				if c.want == "" {
					w.wantOwner(t, w.workID("a.smith"), alice.UserID)
					return
				}
				if s != nil || u.ID != "" {
					t.Errorf("session %+v of user %+v beside a refusal", s, u)
				}
				w.wantOwner(t, w.workID("a.smith"), w.workID("a.smith"))
				if got := w.user(t, alice); !got.LastVisit.Equal(visited) || len(got.Identities) != 1 {
					t.Errorf("the user has become %+v, want nothing to have changed", got)
				}
			})
		}
	}
}

// What is revoked once the link is written ends the session that it would have started.
// The link was made, and that is what is told.
func TestRevokedRightAfterALink(t *testing.T) {
	for _, what := range []string{"its user was revoked", "what joins was revoked", "the JWT that joins was given up"} {
		t.Run(what, func(t *testing.T) {
			w := newLinkWorld(t)
			alice, jwt := w.signIn(t, w.external("alice")), w.atWork("a.smith")
			w.store.directory.written = func() { causes[what].happen(t, w, jwt, alice) }
			s, _, err := w.env.SignIn(context.Background(), jwt, alice)
			wantCode(t, err, causes[what].want)
			if s != nil {
				t.Errorf("session %+v beside a refusal", s)
			}
			w.watch.want(t, "")
			w.wantOwner(t, w.workID("a.smith"), alice.UserID)
		})
	}
}

// Once a link has returned, nothing works for the user whom the identity had made by
// itself, whatever was going on at the time.
func TestNothingOfTheOldUserSurvivesALinkUnderLoad(t *testing.T) {
	w := newLinkWorld(t)
	jwt, alice := w.atWork("a.smith"), w.signIn(t, w.external("alice"))
	old := w.authenticate(t, w.authenticate(t, jwt).Token)
	var mu sync.Mutex // guards tokens
	tokens := []string{old.Token}
	load, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for load.Err() == nil {
				s, _ := w.env.Authenticate(load, w.atWork("a.smith", another()))
				fresh, _ := w.env.Refresh(load, old)
				mu.Lock()
				for _, got := range []*gateway.Session{s, fresh} {
					if got != nil && got.UserID == old.UserID {
						tokens = append(tokens, got.Token)
					}
				}
				mu.Unlock()
			}
		})
	}
	for enough := false; !enough; time.Sleep(time.Millisecond) {
		mu.Lock()
		enough = len(tokens) > 20
		mu.Unlock()
	}
	w.link(t, jwt, alice)
	stop()
	wg.Wait()
	for _, token := range tokens {
		w.wantAuthenticated(t, token, gateway.CodeSessionRevoked)
	}
	w.wantUser(t, jwt, alice.UserID)
}
