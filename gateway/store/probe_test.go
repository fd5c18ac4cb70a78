package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// TestProbeFullOfRevocations: there is room for assertions, but nobody could sign out.
func TestProbeFullOfRevocations(t *testing.T) {
	forEachStore(t, func(t *testing.T, s gateway.Store, now *time.Time) {
		probe := s.(gateway.Prober).Probe
		for i := range capacity {
			if err := probe(t.Context()); err != nil {
				t.Errorf("probing with room: got %v, want nil", err)
			}
			mustRevoke(t, s, fmt.Sprint("session-", i), *now, now.Add(time.Minute))
		}
		if err := probe(t.Context()); !errors.Is(err, gateway.ErrFull) {
			t.Errorf("probing where no revocation finds room: got %v, want %v", err, gateway.ErrFull)
		}
		mustRevokeByOperator(t, s, "user", *now, now.Add(time.Minute))
		if err := probe(t.Context()); !errors.Is(err, gateway.ErrFull) {
			t.Errorf("probing where only an operator's revocations find room: got %v, want %v", err, gateway.ErrFull)
		}
		*now = now.Add(time.Minute) // they are kept, but would make way
		if err := probe(t.Context()); err != nil {
			t.Errorf("probing where expired revocations can make way: got %v, want nil", err)
		}
	})
}

// TestFileProbeWrites: a probe that did not reach the disk would say nothing about it.
func TestFileProbeWrites(t *testing.T) {
	p := newPlace(t)
	f := p.open(t, capacity)
	mustRevoke(t, f, "session", p.now, p.now.Add(time.Hour))
	if err := use(t, f, "key"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		before := f.Writes()
		if err := f.Probe(t.Context()); err != nil {
			t.Fatalf("probing: got %v, want nil", err)
		}
		if f.Writes() == before {
			t.Error("probing: nothing was written")
		}
	}
	mustClose(t, f)
	f = p.open(t, capacity) // which counts all entries
	if err := use(t, f, "key"); !errors.Is(err, gateway.ErrUsed) {
		t.Errorf("using a key again after probes: got %v, want %v", err, gateway.ErrUsed)
	}
	wantRevoked(t, f, "session", p.now)
}

// TestFileProbeWaitsNoLonger: a disk that hangs must not hang the health check.
func TestFileProbeWaitsNoLonger(t *testing.T) {
	f := newPlace(t).open(t, capacity)
	release, err := f.HoldWrites()
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	probed := make(chan error, 1)
	go func() { probed <- f.Probe(ctx) }()
	cancel()
	if err := <-probed; !errors.Is(err, context.Canceled) {
		t.Errorf("probing while the disk hangs: got %v, want %v", err, context.Canceled)
	}
}

// TestFileRoomForUsesLowered: somebody lowered the capacity, and far more keys have
// expired than one write sweeps. They do not matter any more, and refuse nobody.
func TestFileRoomForUsesLowered(t *testing.T) {
	p := newPlace(t)
	f := p.open(t, capacity)
	start := p.now
	for i := range capacity {
		if err := f.Use(t.Context(), fmt.Sprint("key-", i), start.Add(time.Duration(i+1)*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, f)
	f = p.open(t, 1)
	p.now = start.Add((capacity - 1) * time.Minute)
	if err := f.Use(t.Context(), "new", p.now.Add(time.Hour)); !errors.Is(err, gateway.ErrFull) {
		t.Errorf("using a key beside one that matters: got %v, want %v", err, gateway.ErrFull)
	}
	mustClose(t, f)
	f = p.open(t, 1)
	p.now = start.Add(capacity * time.Minute)
	if err := f.Use(t.Context(), "new", p.now.Add(time.Hour)); err != nil {
		t.Errorf("using a key beside expired ones: got %v, want nil", err)
	}
	if err := f.Use(t.Context(), "new", p.now.Add(time.Hour)); !errors.Is(err, gateway.ErrUsed) {
		t.Errorf("using it again: got %v, want %v", err, gateway.ErrUsed)
	}
}
