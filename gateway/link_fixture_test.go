package gateway_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// A linkWorld is a world with a second login system, in which identities may be linked.
type linkWorld struct {
	*world
	work  *verifiertest.Issuer
	watch *linkRecorder
}

func newLinkWorld(t *testing.T, change ...func(*gateway.Config)) *linkWorld {
	t.Helper()
	w := &linkWorld{world: newWorld(t), watch: &linkRecorder{}}
	w.work = verifiertest.NewIssuer(t, verifiertest.WithClock(w.clock))
	w.env = w.instance(t, change...)
	return w
}

// instance makes another environment of the world, with a memory of its own.
func (w *linkWorld) instance(t *testing.T, change ...func(*gateway.Config)) *gateway.Environment {
	t.Helper()
	cfg := gatewaytest.NewConfig(t, w.issuer, w.clock)
	cfg.Providers = append(cfg.Providers, gatewaytest.NewConfig(t, w.work, w.clock).Providers...)
	cfg.Store, cfg.Exchanger, cfg.Link, cfg.Observer = w.store, w.local, true, w.watch
	for _, c := range change {
		c(&cfg)
	}
	env, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func withoutLink(c *gateway.Config) { c.Link = false }

// atWork is a JWT of the second login system that signs user in.
func (w *linkWorld) atWork(user string, more ...map[string]any) string {
	claims := map[string]any{"sub": user, "aud": audience}
	for _, m := range more {
		for k, v := range m {
			claims[k] = v
		}
	}
	return w.work.Token(claims)
}

// workID is the ID of an identity at the second login system.
func (w *linkWorld) workID(user string) string {
	return gateway.UserID(environmentID, w.work.URL(), user)
}

// link signs in with a session in Authorization, and returns the new one as its token opens.
func (w *linkWorld) link(t *testing.T, external string, present *gateway.Session) *gateway.Session {
	t.Helper()
	s, _, err := w.env.SignIn(context.Background(), external, present)
	if err != nil {
		t.Fatalf("linking: %v", err)
	}
	return w.authenticate(t, s.Token)
}

func (w *linkWorld) wantOwner(t *testing.T, identity, want string) {
	t.Helper()
	if got, err := w.store.Store.Owner(identity); got != want || err != nil {
		t.Errorf("the identity belongs to %s (error %v), want %s", got, err, want)
	}
}

// elevateAtWork is an elevated token for a session of the second login system.
func (w *linkWorld) elevateAtWork(t *testing.T, s *gateway.Session, scope string) *gateway.Elevated {
	t.Helper()
	el, err := w.env.Elevate(context.Background(), s, w.work.Assertion(s.ExternalID(), scope, nil))
	if err != nil {
		t.Fatalf("elevating: %v", err)
	}
	return el
}

// wantUser authenticates a credential, and says whose it has to be.
func (w *linkWorld) wantUser(t *testing.T, credential, userID string) *gateway.Session {
	t.Helper()
	s := w.authenticate(t, credential)
	if s.UserID != userID {
		t.Errorf("the credential is %s's, want %s's", s.UserID, userID)
	}
	return s
}

// directoryFaults counts what reaches a directory, and makes its methods fail by name. It
// can be told to do something before a visit or a link is written, and after.
type directoryFaults struct {
	fails            map[string]error
	visits, links    atomic.Int32
	writing, written func()
}

// write does what a directory does that writes to a disk: it may be done with it when a
// caller goes away, and does not tell then.
func (d *directoryFaults) write(ctx context.Context, write func() (gateway.User, error)) (gateway.User, error) {
	if d.writing != nil {
		d.writing()
	}
	u, err := write()
	if d.written != nil {
		d.written()
	}
	if ctx.Err() != nil {
		return gateway.User{}, ctx.Err()
	}
	return u, err
}

func (f *faultyStore) Owner(identity string) (string, error) {
	if err := f.directory.fails["Owner"]; err != nil {
		return "", err
	}
	return f.Store.Owner(identity)
}

func (f *faultyStore) User(ctx context.Context, id string) (gateway.User, error) {
	if err := f.directory.fails["User"]; err != nil {
		return gateway.User{}, err
	}
	return f.Store.User(ctx, id)
}

func (f *faultyStore) Visit(ctx context.Context, by gateway.Identity, at time.Time) (gateway.User, error) {
	f.directory.visits.Add(1)
	if err := f.directory.fails["Visit"]; err != nil {
		return gateway.User{}, err
	}
	return f.directory.write(ctx, func() (gateway.User, error) { return f.Store.Visit(ctx, by, at) })
}

func (f *faultyStore) Link(ctx context.Context, l gateway.Link) (gateway.User, error) {
	f.directory.links.Add(1)
	if err := f.directory.fails["Link"]; err != nil {
		return gateway.User{}, err
	}
	return f.directory.write(ctx, func() (gateway.User, error) { return f.Store.Link(ctx, l) })
}

// linkRecorder keeps the events that are about links, counts the sessions that were
// exchanged for, and can do something once a JWT is verified.
type linkRecorder struct {
	mu        sync.Mutex // guards events
	events    []gateway.Event
	exchanges atomic.Int32
	verified  func()
}

func (r *linkRecorder) Observe(_ context.Context, e gateway.Event) {
	if e.Kind == gateway.EventVerify && e.Err == nil && r.verified != nil {
		r.verified()
	}
	if e.Kind == gateway.EventExchange && e.Err == nil {
		r.exchanges.Add(1)
	}
	if e.Kind == gateway.EventLink {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
}

// want says how the links that were tried since went, each by its code.
func (r *linkRecorder) want(t *testing.T, codes ...verifier.Code) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []verifier.Code
	for _, e := range r.events {
		got = append(got, e.Code)
	}
	if !slices.Equal(got, codes) {
		t.Errorf("links with codes %q were observed, want %q", got, codes)
	}
}
