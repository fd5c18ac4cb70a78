package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// wantIdentities says as whom a user is known, each by the subject alone.
func wantIdentities(t *testing.T, u gateway.User, subjects ...string) {
	t.Helper()
	var got []string
	for _, i := range u.Identities {
		got = append(got, i.Subject)
		if want := gateway.UserID(environmentID, i.Issuer, i.Subject); i.ID != want {
			t.Errorf("identity %+v, want it to have the ID %s", i, want)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(subjects) {
		t.Errorf("identities %q, want %q", got, subjects)
	}
}

func (w *world) user(t *testing.T, s *gateway.Session) gateway.User {
	t.Helper()
	u, err := w.env.User(context.Background(), s)
	wantCode(t, err, "")
	if u.ID != s.UserID || u.New {
		t.Errorf("user %s, new %v, want %s, who is not", u.ID, u.New, s.UserID)
	}
	return u
}

func TestTheFirstSignInIsTheUsersFirst(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	first := w.clock.Now()
	var u gateway.User
	for _, isNew := range []bool{true, false} {
		s, got, err := w.env.SignIn(ctx, w.external("alice"), nil)
		wantCode(t, err, "")
		if got.ID != s.UserID || got.New != isNew || !got.FirstVisit.Equal(first) || !got.LastVisit.Equal(w.clock.Now()) {
			t.Errorf("got %+v, want user %s, new %v, from %v to %v", got, s.UserID, isNew, first, w.clock.Now())
		}
		wantIdentities(t, got, "alice")
		u = got
		w.clock.Advance(time.Minute)
	}
	inline := w.authenticate(t, w.external("alice"))
	if got := w.user(t, inline); !got.FirstVisit.Equal(first) || !got.LastVisit.Equal(u.LastVisit) {
		t.Errorf("got %+v, want it to be as after the last sign-in: a request is none", got)
	}
}

// Whoever has a JWT could otherwise fill the directory with requests.
func TestOnlyASignInIsAVisit(t *testing.T) {
	w := newWorld(t)
	s := w.authenticate(t, w.external("alice"))
	w.wantAuthenticated(t, s.Token, "")
	if got := w.store.directory.visits.Load(); got != 0 {
		t.Errorf("%d visits, want none", got)
	}
	u := w.user(t, s)
	if !u.FirstVisit.IsZero() || !u.LastVisit.IsZero() {
		t.Errorf("visits of %+v, who never signed in", u)
	}
	wantIdentities(t, u, "alice")
}

// A sign-in that is refused must leave nothing behind: nobody has been here.
func TestARefusedSignInIsNoVisit(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(t *testing.T, w *world, jwt string) string
		want    verifier.Code
	}{
		"control": {func(_ *testing.T, _ *world, jwt string) string { return jwt }, ""},
		"another audience": {func(_ *testing.T, w *world, _ string) string {
			return w.external("alice", map[string]any{"aud": "https://other.example.com"})
		}, verifier.CodeAudienceMismatch},
		"expired": {func(_ *testing.T, w *world, jwt string) string {
			w.clock.Advance(time.Hour)
			return jwt
		}, verifier.CodeExpired},
		"given up": {func(t *testing.T, w *world, jwt string) string {
			wantCode(t, w.env.Revoke(context.Background(), w.authenticate(t, jwt)), "")
			return jwt
		}, gateway.CodeSessionRevoked},
		"its user was revoked": {func(t *testing.T, w *world, jwt string) string {
			w.revokeUser(t, w.authenticate(t, jwt).UserID)
			return jwt
		}, gateway.CodeSessionRevoked},
		"switched off": {func(t *testing.T, w *world, jwt string) string {
			w.disable(t)
			return jwt
		}, gateway.CodeExternalAuthDisabled},
		"given up meanwhile": {func(t *testing.T, w *world, jwt string) string {
			s := w.authenticate(t, jwt)
			w.local.entered = func() { w.revokeSession(t, s.ID) }
			return jwt
		}, gateway.CodeSessionRevoked},
		"the exchange fails": {func(_ *testing.T, w *world, jwt string) string {
			w.local.fail = errBroken
			return jwt
		}, gateway.CodeExchangeFailed},
		"less than a second is left": {func(_ *testing.T, w *world, _ string) string {
			w.clock.Advance(w.clock.Now().Truncate(time.Second).Sub(w.clock.Now()))
			return w.external("alice", map[string]any{"exp": float64(w.clock.Now().Unix()) + 0.9})
		}, verifier.CodeExpired},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			jwt := c.arrange(t, w, w.external("alice"))
			s, u, err := w.env.SignIn(context.Background(), jwt, nil)
			wantCode(t, err, c.want)
			if refused := c.want != ""; (s == nil) != refused || (u.ID == "") != refused || (w.store.directory.visits.Load() == 0) != refused {
				t.Errorf("session %v, user %+v and %d visits beside code %q", s, u, w.store.directory.visits.Load(), c.want)
			}
		})
	}
}

// A caller may have no way to hand a session over. Whoever would then not be signed in has
// not been here, and has linked nothing for good.
func TestASessionThatIsNotAcceptedIsNoSignIn(t *testing.T) {
	for _, links := range []bool{false, true} {
		for name, c := range map[string]struct {
			says error
			want int32
		}{"control": {nil, 1}, "too large": {errBroken, 0}} {
			t.Run(fmt.Sprint(name, " links ", links), func(t *testing.T) {
				w := newLinkWorld(t)
				var present *gateway.Session
				owner := w.workID("a.smith")
				if links {
					present = w.signIn(t, w.external("alice"))
					owner = present.UserID
				}
				w.store.directory.visits.Store(0)
				told := w.watch.exchanges.Load()
				var shown *gateway.Session
				s, u, err := w.env.SignIn(context.Background(), w.atWork("a.smith"), present,
					func(*gateway.Session) error { return nil },
					func(s *gateway.Session) error { shown = s; return c.says })
				if !errors.Is(err, c.says) || (s == nil) != (c.says != nil) || (u.ID == "") != (c.says != nil) {
					t.Fatalf("session %+v of user %+v, error %v, want %v", s, u, err, c.says)
				}
				if shown == nil || shown.UserID != owner || shown.Token == "" || s != nil && s != shown {
					t.Errorf("was shown %+v, want a session of %s", shown, owner)
				}
				visits, joined := w.store.directory.visits.Load(), w.store.directory.links.Load()
				if got := visits + joined; got != c.want || w.watch.exchanges.Load()-told != c.want {
					t.Errorf("%d visits, %d links, %d exchanges told of, want %d", visits, joined, w.watch.exchanges.Load()-told, c.want)
				}
				if c.says != nil {
					owner = w.workID("a.smith")
				}
				w.wantOwner(t, w.workID("a.smith"), owner)
			})
		}
	}
}

// Users have a room of their own, and it is no reason to keep anybody out.
func TestAFullDirectoryKeepsNobodyOut(t *testing.T) {
	w := newLinkWorld(t)
	w.store.Store = store.NewMemory(store.MemoryConfig{Users: 1, Now: w.clock.Now})
	ctx := context.Background()
	alice := w.signIn(t, w.external("alice"))
	s, u, err := w.env.SignIn(ctx, w.external("bob"), nil)
	wantCode(t, err, "")
	if u.ID != s.UserID || u.New || !u.FirstVisit.IsZero() || !u.LastVisit.IsZero() {
		t.Errorf("got %+v, want a user of whom nothing is known", u)
	}
	wantIdentities(t, u, "bob")
	wantIdentities(t, w.user(t, w.authenticate(t, s.Token)), "bob")
	if known := w.user(t, alice); known.FirstVisit.IsZero() {
		t.Error("alice is not known either: this test looks at nothing")
	}

	_, _, err = w.env.SignIn(ctx, w.atWork("a.smith"), alice)
	wantCode(t, err, gateway.CodeStoreUnavailable)
	if !strings.Contains(err.Error(), "the record of users is full") {
		t.Errorf("error %q, want one that says what is full", err)
	}
	w.wantUser(t, w.atWork("a.smith"), w.workID("a.smith"))
}

// A directory takes no more than so much; it must not become a limit of who may sign in.
func TestAnIdentityThatIsTooLongIsNotVisited(t *testing.T) {
	w := newWorld(t)
	for n, visits := range map[int]int32{gateway.MaxIdentitySize: 1, gateway.MaxIdentitySize + 1: 0} {
		w.store.directory.visits.Store(0)
		subject := strings.Repeat("x", n-len(w.issuer.URL()))
		s, u, err := w.env.SignIn(context.Background(), w.external(subject), nil)
		wantCode(t, err, "")
		wantIdentities(t, u, subject)
		wantIdentities(t, w.user(t, w.authenticate(t, s.Token)), subject)
		if got := w.store.directory.visits.Load(); got != visits || u.New != (visits == 1) {
			t.Errorf("%d visits of an identity of %d bytes, new %v, want %d", got, n, u.New, visits)
		}
	}
}

// Whose a credential is, is not a matter of taste: where it cannot be told, nobody is here.
func TestAnOwnerWhoCannotBeToldLetsNothingThrough(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	jwt := w.external("alice")
	inline, s := w.authenticate(t, jwt), w.signIn(t, w.external("alice"))
	el := w.elevate(t, s, "wallet:export wallet:sign")
	ways := map[string]func() error{
		"a remembered JWT":     func() error { _, err := w.env.Authenticate(ctx, jwt); return err },
		"a remembered session": func() error { _, err := w.env.Authenticate(ctx, s.Token); return err },
		"a new JWT":            func() error { _, err := w.env.Authenticate(ctx, w.external("bob")); return err },
		"a sign-in":            func() error { _, _, err := w.env.SignIn(ctx, w.external("alice"), nil); return err },
		"a stream":             func() error { return w.env.Standing(inline) },
		"a refresh":            func() error { _, err := w.env.Refresh(ctx, s); return err },
		"a revocation":         func() error { _, err := w.env.Identify(ctx, s.Token); return err },
		"a revocation by JWT":  func() error { _, err := w.env.Identify(ctx, jwt); return err },
		"an elevation": func() error {
			_, err := w.env.Elevate(ctx, s, w.issuer.Assertion("alice", "wallet:export", nil))
			return err
		},
		"an elevated token": func() error {
			_, err := w.stepUp(s, gateway.Proof{Elevated: el.Token}, gateway.Need{Scopes: el.Scopes})
			return err
		},
	}
	for _, c := range []struct {
		err  error
		want verifier.Code
	}{{errBroken, gateway.CodeStoreUnavailable}, {nil, ""}} {
		w.store.directory.fails = map[string]error{"Owner": c.err}
		for name, try := range ways {
			if err := try(); gateway.CodeOf(err) != c.want || (err == nil) != (c.want == "") {
				t.Errorf("%s: code %q (error %v), want %q", name, gateway.CodeOf(err), err, c.want)
			}
		}
	}
}

func TestADirectoryThatFailsIsUnavailable(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	s := w.signIn(t, w.external("alice"))
	w.store.directory.fails = map[string]error{"Visit": errBroken, "User": errBroken}
	got, u, err := w.env.SignIn(ctx, w.external("alice"), nil)
	wantCode(t, err, gateway.CodeStoreUnavailable)
	if got != nil || u.ID != "" {
		t.Errorf("session %+v of user %+v for a visit that could not be recorded", got, u)
	}
	_, err = w.env.User(ctx, s)
	wantCode(t, err, gateway.CodeStoreUnavailable)
	if strings.Contains(err.Error(), errBroken.Error()) {
		t.Errorf("error %q tells the client what is for the log", err)
	}
	w.wantAuthenticated(t, w.external("alice"), "") // a request needs neither
	w.store.directory.fails = nil
	w.wantSignedIn(t, w.external("alice"), "")
	wantIdentities(t, w.user(t, s), "alice")
}
