package gateway_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func (w *world) disable(t *testing.T) {
	t.Helper()
	if err := w.env.Disable(context.Background()); err != nil {
		t.Fatalf("switching off: %v", err)
	}
}

func (w *world) enable(t *testing.T) {
	t.Helper()
	if err := w.env.Enable(context.Background()); err != nil {
		t.Fatalf("switching on: %v", err)
	}
}

func (w *world) wantDisabledBy(t *testing.T, want gateway.DisabledBy) {
	t.Helper()
	if by, err := w.env.DisabledBy(); by != want || err != nil {
		t.Errorf("switched off by %q (error %v), want %q", by, err, want)
	}
	code := gateway.CodeExternalAuthDisabled
	if want == "" {
		code = ""
	}
	wantCode(t, w.env.Enabled(), code)
}

// sharing makes a world whose environment is another instance of w's, on the same store.
func sharing(w *world) func(*gateway.Config) {
	return func(c *gateway.Config) { c.Store, c.Exchanger = w.store, w.local }
}

func TestOperatorSwitchesOffAndOn(t *testing.T) {
	w := newWorld(t)
	other := newWorld(t, sharing(w))
	ctx := context.Background()
	token := w.external("alice")
	s := w.signIn(t, token)
	assertion := w.issuer.Assertion("alice", "wallet:export", nil)
	everything := func() []error {
		_, authenticate := w.env.Authenticate(ctx, token)
		_, presented := w.env.Authenticate(ctx, s.Token)
		_, _, signIn := w.env.SignIn(ctx, token, nil)
		_, refresh := w.env.Refresh(ctx, s)
		_, elevate := w.env.Elevate(ctx, s, assertion)
		_, stepUp := w.env.StepUp(ctx, s, gateway.Proof{}, gateway.Need{})
		return []error{authenticate, presented, signIn, refresh, elevate, stepUp, w.env.Standing(s)}
	}
	w.wantDisabledBy(t, "")

	other.disable(t) // remembered sessions of every instance end with it
	for _, err := range everything() {
		wantCode(t, err, gateway.CodeExternalAuthDisabled)
	}
	w.wantDisabledBy(t, gateway.DisabledByOperator)
	newWorld(t, sharing(w)).wantDisabledBy(t, gateway.DisabledByOperator) // as after a reload
	w.revokeSession(t, w.env.ID()[:14]+"8"+w.env.ID()[15:])               // an operator can still do everything else

	w.enable(t)
	other.wantDisabledBy(t, "")
	for _, err := range everything() {
		wantCode(t, err, "")
	}
}

func TestTheSwitchOutlivesTheProcess(t *testing.T) {
	path, clock := filepath.Join(t.TempDir(), "store"), verifiertest.NewClock()
	for _, want := range []gateway.DisabledBy{"", gateway.DisabledByOperator, gateway.DisabledByOperator, ""} {
		file, err := store.OpenFile(store.FileConfig{Path: path, Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, func(c *gateway.Config) { c.Store, c.Now = file, clock.Now })
		if want == "" {
			w.enable(t)
		}
		w.wantDisabledBy(t, want)
		if want == "" {
			w.disable(t)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		clock.Advance(20 * years) // for as long as nobody turns it back
	}
}

// A clock that was ahead and is set right must not leave the switch stuck, one way or the other.
func TestTheSwitchTurnsWhateverTheClockSays(t *testing.T) {
	w := newWorld(t)
	for _, step := range []time.Duration{0, 0, time.Hour, -2 * time.Hour, 0, -time.Nanosecond, time.Nanosecond, -time.Hour, time.Second} {
		w.clock.Advance(step)
		w.disable(t)
		w.disable(t)
		w.wantDisabledBy(t, gateway.DisabledByOperator)
		w.clock.Advance(step)
		w.enable(t)
		w.enable(t)
		w.wantDisabledBy(t, "")
	}
}

func TestTheConfigsSwitchIsTheConfigs(t *testing.T) {
	watch := &recorder{}
	on := newWorld(t)
	w := newWorld(t, sharing(on), func(c *gateway.Config) { c.Disabled, c.Observer = true, watch })
	for _, turn := range []func(context.Context) error{w.env.Disable, w.env.Enable} {
		if err := turn(context.Background()); !errors.Is(err, gateway.ErrDisabledByConfig) {
			t.Errorf("turning a switch that the config holds: %v, want %v", err, gateway.ErrDisabledByConfig)
		}
	}
	w.wantDisabledBy(t, gateway.DisabledByConfig)
	on.wantDisabledBy(t, "") // nothing was recorded for when the config lets go
	if len(watch.events) != 2 || watch.events[0].Err == nil || watch.events[1].Err == nil {
		t.Errorf("observed %+v, want two failures", watch.events)
	}
	on.store.broken = true
	w.wantDisabledBy(t, gateway.DisabledByConfig) // which needs no store to be known
}

func TestAStoreThatCannotTellCountsAsOff(t *testing.T) {
	watch := &recorder{}
	w := newWorld(t, func(c *gateway.Config) { c.Observer = watch })
	token := w.external("alice")
	s := w.authenticate(t, token)
	w.store.broken = true
	by, err := w.env.DisabledBy()
	if by != "" {
		t.Errorf("switched off by %q, want nobody to be blamed", by)
	}
	_, authenticate := w.env.Authenticate(context.Background(), token)
	ctx := context.Background()
	for _, err := range []error{err, w.env.Enabled(), authenticate, w.env.Standing(s), w.env.Disable(ctx), w.env.Enable(ctx)} {
		wantCode(t, err, gateway.CodeStoreUnavailable)
	}
	w.store.broken = false
	w.disable(t)
	w.enable(t)
	var kinds []gateway.EventKind
	for _, e := range watch.events {
		kinds = append(kinds, e.Kind)
		if failed := len(kinds) <= 2; failed != (e.Code == gateway.CodeStoreUnavailable) {
			t.Errorf("observed %+v, want code %q: %v", e, gateway.CodeStoreUnavailable, failed)
		}
	}
	if len(kinds) != 4 || kinds[0] != gateway.EventDisable || kinds[1] != gateway.EventEnable || kinds[2] != gateway.EventDisable || kinds[3] != gateway.EventEnable {
		t.Errorf("observed %q, want off and on twice", kinds)
	}
}

// Two operators at once, on machines whose clocks agree to the nanosecond: nothing goes on that one of them wanted to stop.
func TestSwitchedOffAndOnInOneInstantIsOff(t *testing.T) {
	w := newWorld(t)
	other := newWorld(t, sharing(w), func(c *gateway.Config) { c.Now = w.clock.Now })
	w.store.revoking = func() {
		w.store.revoking = nil
		other.enable(t)
	}
	w.disable(t)
	w.wantDisabledBy(t, gateway.DisabledByOperator)
	w.enable(t)
	w.wantDisabledBy(t, "")
}

// Of two operators at once one is the last, and whoever comes after them both decides.
func TestManyHandsOnTheSwitch(t *testing.T) {
	w := newWorld(t)
	other := newWorld(t, sharing(w))
	w.store.Store = store.NewMemory(store.MemoryConfig{Now: w.clock.Now})
	both := []*world{w, {env: other.env}}
	var wg sync.WaitGroup
	for i := range 8 {
		env := both[i%2].env
		wg.Go(func() {
			for range 50 {
				if env.Disable(context.Background()) != nil || env.Enable(context.Background()) != nil {
					t.Error("the switch cannot be turned")
				}
				_ = env.Enabled()
			}
		})
	}
	wg.Wait()
	for range 3 {
		w.disable(t)
		w.wantDisabledBy(t, gateway.DisabledByOperator)
		other.enable(t)
		w.wantDisabledBy(t, "")
	}
}
