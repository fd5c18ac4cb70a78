package gateway_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// wantGivenUp says that a caller has gone, which is no verdict and no outage.
func wantGivenUp(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) || gateway.CodeOf(err) != "" {
		t.Errorf("code %q (error %v), want none and %v", gateway.CodeOf(err), err, context.Canceled)
	}
}

// leaving is a context that the caller can end.
func leaving(t *testing.T) (ctx context.Context, leave func()) {
	t.Helper()
	ctx, leave = context.WithCancel(context.Background())
	t.Cleanup(leave)
	return ctx, leave
}

// A client that hangs up while something is written must not make of it what nobody was
// told of: it is done, and the audit log says so.
func TestAClientThatLeavesWhileItsSignInIsWritten(t *testing.T) {
	for when, leaves := range map[string]func(w *linkWorld, leave func()){
		"before":  func(w *linkWorld, leave func()) { w.store.directory.writing = leave },
		"after":   func(w *linkWorld, leave func()) { w.store.directory.written = leave },
		"control": func(*linkWorld, func()) {},
	} {
		t.Run(when, func(t *testing.T) {
			w := newLinkWorld(t)
			alice := w.signIn(t, w.external("alice"))
			ctx, leave := leaving(t)
			leaves(w, leave)
			s, u, err := w.env.SignIn(ctx, w.atWork("a.smith"), alice)
			wantCode(t, err, "")
			wantIdentities(t, u, "alice", "a.smith")
			w.watch.want(t, "")
			w.wantOwner(t, w.workID("a.smith"), alice.UserID)
			w.wantUser(t, s.Token, alice.UserID)

			ctx, leave = leaving(t)
			leaves(w, leave)
			_, u, err = w.env.SignIn(ctx, w.atWork("b.jones"), nil)
			wantCode(t, err, "")
			if !u.New || !w.user(t, w.authenticate(t, w.atWork("b.jones"))).LastVisit.Equal(u.LastVisit) {
				t.Errorf("got %+v, want a new user who is known", u)
			}
		})
	}
}

// Who is gone before anything is written has not been here, and no store is out of order.
func TestAClientThatLeavesBeforeItsSignInIsWritten(t *testing.T) {
	for when, leaves := range map[string]func(w *linkWorld, leave func()){
		"once its JWT is verified":   func(w *linkWorld, leave func()) { w.watch.verified = leave },
		"once its session is minted": func(w *linkWorld, leave func()) { w.local.entered = leave },
	} {
		t.Run(when, func(t *testing.T) {
			w := newLinkWorld(t)
			alice := w.signIn(t, w.external("alice"))
			visits := w.store.directory.visits.Load()
			for user, present := range map[string]*gateway.Session{"a.smith": alice, "b.jones": nil} {
				ctx, leave := leaving(t)
				leaves(w, leave)
				s, u, err := w.env.SignIn(ctx, w.atWork(user), present)
				wantGivenUp(t, err)
				if s != nil || u.ID != "" {
					t.Errorf("session %+v of user %+v for nobody", s, u)
				}
				w.wantOwner(t, w.workID(user), w.workID(user))
			}
			if visited, linked := w.store.directory.visits.Load()-visits, w.store.directory.links.Load(); visited+linked != 0 {
				t.Errorf("%d visits and %d links, want none", visited, linked)
			}
			w.watch.want(t, "")
			if err := w.watch.events[0].Err; !errors.Is(err, context.Canceled) {
				t.Errorf("observed a link with error %v, want %v", err, context.Canceled)
			}
		})
	}
}

// endings are all that a caller can have recorded, and how many marks that takes.
var endings = map[string]struct {
	end   func(ctx context.Context, w *world, s *gateway.Session) error
	marks int32
}{
	"a logout": {func(ctx context.Context, w *world, s *gateway.Session) error { return w.env.Revoke(ctx, s) }, 2},
	"a session by its ID": {func(ctx context.Context, w *world, s *gateway.Session) error {
		return w.env.RevokeSession(ctx, s.ID)
	}, 2},
	"a user": {func(ctx context.Context, w *world, s *gateway.Session) error { return w.env.RevokeUser(ctx, s.UserID) }, 2},
	"off":    {func(ctx context.Context, w *world, _ *gateway.Session) error { return w.env.Disable(ctx) }, 1},
	"on":     {func(ctx context.Context, w *world, _ *gateway.Session) error { return w.env.Enable(ctx) }, 1},
}

// A browser that goes on to another page during a logout must not keep half of it: the
// session would be over, and the JWT would start it anew; or the other way round.
func TestWhatIsBegunToBeRevokedIsRevoked(t *testing.T) {
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			watch := &recorder{}
			w := newWorld(t, func(c *gateway.Config) { c.Observer = watch })
			jwt := w.external("alice")
			s := w.signIn(t, jwt)
			ctx, leave := leaving(t)
			w.store.revoking = leave
			wantCode(t, c.end(ctx, w, s), "")
			if got := w.store.revoked.Load(); got != c.marks || len(watch.events) != 1 || watch.events[0].Err != nil {
				t.Errorf("%d marks recorded, observed %+v, want %d and no error", got, watch.events, c.marks)
			}
			if name == "a logout" {
				w.wantAuthenticated(t, s.Token, gateway.CodeSessionRevoked)
				w.wantSignedIn(t, jwt, gateway.CodeSessionRevoked)
			}
		})
	}
}

func TestNothingIsRevokedForWhoIsGoneAlready(t *testing.T) {
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			watch := &recorder{}
			w := newWorld(t, func(c *gateway.Config) { c.Observer = watch })
			s := w.signIn(t, w.external("alice"))
			ctx, leave := leaving(t)
			leave()
			wantGivenUp(t, c.end(ctx, w, s))
			if got := w.store.revoked.Load(); got != 0 || len(watch.events) != 1 {
				t.Errorf("%d marks recorded, observed %+v, want none and one that was given up", got, watch.events)
			}
			w.wantAuthenticated(t, s.Token, "")
		})
	}
}

// deadlineStore remembers until when it may take its time.
type deadlineStore struct {
	gateway.Store
	until []time.Time
}

func (d *deadlineStore) Revoke(ctx context.Context, r gateway.Revocation) error {
	until, _ := ctx.Deadline()
	d.until = append(d.until, until)
	return d.Store.Revoke(ctx, r)
}

// Whoever revokes may wait for so long and no longer, and nobody waits for ever.
func TestADeadlineBoundsARevocation(t *testing.T) {
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			stored := &deadlineStore{}
			w := newWorld(t, func(c *gateway.Config) { stored.Store, c.Store = c.Store, stored })
			s := w.signIn(t, w.external("alice"))
			soon := time.Now().Add(10 * time.Second)
			ctx, cancel := context.WithDeadline(context.Background(), soon)
			defer cancel()
			wantCode(t, c.end(ctx, w, s), "")
			wantCode(t, c.end(context.Background(), w, s), "")
			bounded := stored.until[:c.marks]
			for _, until := range bounded {
				if !until.Equal(soon) {
					t.Errorf("the store may take until %v, want %v", until, soon)
				}
			}
			for _, until := range stored.until[c.marks:] {
				if until.Before(soon) || until.After(time.Now().Add(time.Minute)) {
					t.Errorf("the store may take until %v, want a while after %v", until, soon)
				}
			}
			passed, cancelPassed := context.WithDeadline(context.Background(), time.Now())
			defer cancelPassed()
			wantCode(t, c.end(passed, w, s), gateway.CodeStoreUnavailable)
		})
	}
}

// Where a client goes away while the store is asked for something else, no store is out of order.
func TestAClientThatIsGoneIsNoOutage(t *testing.T) {
	w := newWorld(t)
	s := w.signIn(t, w.external("alice"))
	for name, ask := range map[string]func(ctx context.Context) error{
		"a user": func(ctx context.Context) error { _, err := w.env.User(ctx, s); return err },
		"an elevation": func(ctx context.Context) error {
			_, err := w.env.Elevate(ctx, s, w.issuer.Assertion("alice", "wallet:export", nil))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, leave := leaving(t)
			wantCode(t, ask(ctx), "")
			leave()
			wantGivenUp(t, ask(ctx))
		})
	}
}
