package gateway_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

const (
	environmentID = gatewaytest.EnvironmentID
	audience      = gatewaytest.Audience
)

// world is one environment with everything real but the clock: an issuer that
// signs, the local exchanger, the memory store.
type world struct {
	clock  *verifiertest.Clock
	issuer *verifiertest.Issuer
	store  *faultyStore
	local  *countingExchanger
	env    *gateway.Environment
}

// newWorld makes a world; change may alter its config before the environment is made.
func newWorld(t *testing.T, change ...func(*gateway.Config)) *world {
	t.Helper()
	clock := verifiertest.NewClock()
	w := &world{clock: clock, issuer: verifiertest.NewIssuer(t, verifiertest.WithClock(clock))}
	cfg := gatewaytest.NewConfig(t, w.issuer, clock)
	w.store = &faultyStore{Store: cfg.Store}
	w.local = &countingExchanger{Exchanger: cfg.Exchanger}
	cfg.Store, cfg.Exchanger = w.store, w.local
	for _, c := range change {
		c(&cfg)
	}
	env, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.env = env
	return w
}

// external is a JWT that signs user in.
func (w *world) external(user string, more ...map[string]any) string {
	claims := map[string]any{"sub": user, "aud": audience}
	for _, m := range more {
		for k, v := range m {
			claims[k] = v
		}
	}
	return w.issuer.Token(claims)
}

func (w *world) authenticate(t *testing.T, credential string) *gateway.Session {
	t.Helper()
	s, err := w.env.Authenticate(context.Background(), credential)
	if err != nil {
		t.Fatalf("authenticating: %v", err)
	}
	return s
}

func (w *world) signIn(t *testing.T, external string) *gateway.Session {
	t.Helper()
	s, _, err := w.env.SignIn(context.Background(), external, nil)
	if err != nil {
		t.Fatalf("signing in: %v", err)
	}
	return w.authenticate(t, s.Token)
}

func (w *world) elevate(t *testing.T, s *gateway.Session, scope string) *gateway.Elevated {
	t.Helper()
	el, err := w.env.Elevate(context.Background(), s, w.issuer.Assertion(s.ExternalID(), scope, nil))
	if err != nil {
		t.Fatalf("elevating: %v", err)
	}
	return el
}

func need(t *testing.T, scopes string) gateway.Need {
	t.Helper()
	parsed, err := verifier.ParseScopes(scopes)
	if err != nil {
		t.Fatal(err)
	}
	return gateway.Need{Scopes: parsed}
}

// wantCode fails the test unless err carries code; the empty code means no error at all.
func wantCode(t *testing.T, err error, code verifier.Code) {
	t.Helper()
	if got := gateway.CodeOf(err); got != code || (err == nil) != (code == "") {
		t.Fatalf("code %q (error %v), want %q", got, err, code)
	}
}

// wantSecret fails the test if err shows any part of a token.
func wantSecret(t *testing.T, err error, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		for _, segment := range strings.Split(token, ".") {
			if segment != "" && err != nil && strings.Contains(err.Error(), segment) {
				t.Errorf("the error shows a part of a token: %v", err)
			}
		}
	}
}

// countingExchanger counts what reaches the exchanger, and can hold or fail it.
type countingExchanger struct {
	gateway.Exchanger
	mu       sync.Mutex
	signIns  int           // and elevations
	inside   int           // of these that have not returned
	most     int           // that ever were inside at one time
	hold     chan struct{} // SignIn and Elevate wait until it is closed
	entered  func()        // is done by each of these
	fail     error
	withdraw bool // Holds answers no
}

func (c *countingExchanger) SignIn(ctx context.Context, external string, want gateway.Session) (*gateway.Session, error) {
	defer c.leave()
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	return c.Exchanger.SignIn(ctx, external, want)
}

func (c *countingExchanger) Elevate(ctx context.Context, s *gateway.Session, assertion string, want gateway.Elevated) (*gateway.Elevated, error) {
	defer c.leave()
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	return c.Exchanger.Elevate(ctx, s, assertion, want)
}

func (c *countingExchanger) enter(ctx context.Context) error {
	c.mu.Lock()
	c.signIns++
	c.inside++
	c.most = max(c.most, c.inside)
	hold, fail, entered := c.hold, c.fail, c.entered
	c.mu.Unlock()
	if entered != nil {
		entered()
	}
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fail
}

func (c *countingExchanger) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside--
}

func (c *countingExchanger) Holds(key verifier.KeyID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.withdraw && c.Exchanger.Holds(key)
}

func (c *countingExchanger) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signIns
}

// faultyStore is a store that can be made to fail. It counts what is revoked, and
// can be told to do something before.
type faultyStore struct {
	gateway.Store
	broken   bool
	revoked  atomic.Int32
	revoking func()

	directory directoryFaults
}

var errBroken = errors.New("disk on fire")

func (f *faultyStore) Use(ctx context.Context, key string, until time.Time) error {
	if f.broken {
		return errBroken
	}
	return f.Store.Use(ctx, key, until)
}

func (f *faultyStore) Revoke(ctx context.Context, r gateway.Revocation) error {
	if f.broken {
		return errBroken
	}
	f.revoked.Add(1)
	if f.revoking != nil {
		f.revoking()
	}
	return f.Store.Revoke(ctx, r)
}

func (f *faultyStore) RevokedAt(key string) (time.Time, error) {
	if f.broken {
		return time.Time{}, errBroken
	}
	return f.Store.RevokedAt(key)
}

// recorder keeps the events that are about revocations and the operator's switch.
type recorder struct{ events []gateway.Event }

func (r *recorder) Observe(_ context.Context, e gateway.Event) {
	switch e.Kind {
	case gateway.EventRevoke, gateway.EventDisable, gateway.EventEnable:
		r.events = append(r.events, e)
	default:
	}
}

// collidingCache finds the first thing ever set, whatever it is asked for.
type collidingCache struct{ *gatewaytest.Memory }

func (c collidingCache) Get([32]byte) (*gateway.Remembered, bool) { return c.Memory.Get([32]byte{}) }

func (c collidingCache) Set(_ [32]byte, r *gateway.Remembered, cost int64, until time.Time) {
	if _, ok := c.Memory.Get([32]byte{}); !ok {
		c.Memory.Set([32]byte{}, r, cost, until)
	}
}
