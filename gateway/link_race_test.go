package gateway_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
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

// A link that comes while something is being exchanged must not be overtaken by it.
func TestLinkedWhileTheExchangeIsUnderWay(t *testing.T) {
	ctx := context.Background()
	for what, enter := range map[string]func(w *linkWorld, jwt string, old *gateway.Session) error{
		"a request": func(w *linkWorld, jwt string, _ *gateway.Session) error {
			_, err := w.instance(t).Authenticate(ctx, jwt)
			return err
		},
		"a refresh": func(w *linkWorld, _ string, old *gateway.Session) error {
			_, err := w.env.Refresh(ctx, old)
			return err
		},
		"an elevation": func(w *linkWorld, _ string, old *gateway.Session) error {
			_, err := w.env.Elevate(ctx, old, w.work.Assertion("a.smith", "wallet:export", nil))
			return err
		},
		"a sign-in that nobody has counted": func(w *linkWorld, jwt string, _ *gateway.Session) error {
			w.store.directory.fails = map[string]error{"Visit": gateway.ErrFull}
			_, _, err := w.env.SignIn(ctx, jwt, nil)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newLinkWorld(t)
			jwt, alice := w.atWork("a.smith"), w.signIn(t, w.external("alice"))
			old := w.authenticate(t, w.authenticate(t, jwt).Token)
			w.local.hold = make(chan struct{})
			before := w.local.count()
			entered := make(chan error, 1)
			go func() { entered <- enter(w, jwt, old) }()
			w.awaitExchange(t, before, entered)
			w.linkBehind(t, "a.smith", alice)
			close(w.local.hold)
			wantCode(t, <-entered, gateway.CodeSessionRevoked)
			w.wantUser(t, jwt, alice.UserID)
		})
	}
}

// A revocation that comes while a link is on its way ends the session that it would have started.
func TestRevokedWhileALinkIsUnderWay(t *testing.T) {
	for what, id := range map[string]func(w *linkWorld, alice *gateway.Session) string{
		"the user": func(_ *linkWorld, alice *gateway.Session) string { return alice.UserID },
		"itself":   func(w *linkWorld, _ *gateway.Session) string { return w.workID("a.smith") },
	} {
		t.Run(what, func(t *testing.T) {
			w := newLinkWorld(t)
			jwt, alice := w.atWork("a.smith"), w.signIn(t, w.external("alice"))
			w.local.hold = make(chan struct{})
			before := w.local.count()
			entered := make(chan error, 1)
			go func() { _, _, err := w.env.SignIn(context.Background(), jwt, alice); entered <- err }()
			w.awaitExchange(t, before, entered)
			w.revokeUser(t, id(w, alice))
			close(w.local.hold)
			wantCode(t, <-entered, gateway.CodeSessionRevoked)
			w.clock.Advance(time.Second)
			w.wantUser(t, w.atWork("a.smith"), alice.UserID) // the link itself was made
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
