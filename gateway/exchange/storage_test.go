package exchange_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func TestStorageThatFailsAtStart(t *testing.T) {
	down := errors.New("the disk is on fire")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		fail func(*memoryStore)
		want error
	}{
		{"cannot be read", t.Context(), func(s *memoryStore) { s.failLoad = down }, down},
		{"cannot be saved", t.Context(), func(s *memoryStore) { s.failSave = down }, down},
		{"is locked by another", gone, func(s *memoryStore) { s.lock <- struct{}{} }, context.Canceled},
		{"works", t.Context(), func(*memoryStore) {}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := newStore()
			c.fail(store)
			ring, err := exchange.OpenKeyRing(c.ctx, exchange.KeyRingConfig{Store: store})
			if err == nil {
				ring.Close()
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if stored := store.stored() != nil; stored != (c.want == nil) {
				t.Errorf("something was stored: %t", stored)
			}
		})
	}
}

func TestStorageThatFailsLater(t *testing.T) {
	clock, store, told := verifiertest.NewClock(), newStore(), &reports{}
	ring := openRing(t, exchange.KeyRingConfig{Store: store, Now: clock.Now, Rotated: told.add})
	token, _ := sign(t, ring)
	if err := ring.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := ring.Status().Next
	told.take()

	down := errors.New("the disk is on fire")
	store.set(func(s *memoryStore) { s.failLoad = down })
	if err := ring.Refresh(t.Context()); !errors.Is(err, down) {
		t.Errorf("refreshing: got %v, want %v", err, down)
	}
	if _, errs := told.take(); len(errs) != 1 || !errors.Is(errs[0], down) {
		t.Errorf("reported %v, want %v once", errs, down)
	}
	if got := ring.Status().Failure; !errors.Is(got, down) {
		t.Errorf("status says %v, want %v", got, down)
	}
	wantVerified(t, ring, token)
	clock.Advance(2 * time.Hour)
	if _, kid := sign(t, ring); kid != next {
		t.Errorf("without storage %q signs, want the next key %q", kid, next)
	}

	store.set(func(s *memoryStore) { s.failLoad = nil })
	refresh(t, ring)
	if got := ring.Status().Failure; got != nil {
		t.Errorf("with storage back the status says %v", got)
	}
}

func TestARotationThatCannotBeSavedLeavesTheOldKey(t *testing.T) {
	clock, store, told := verifiertest.NewClock(), newStore(), &reports{}
	cfg := exchange.KeyRingConfig{Store: store, Now: clock.Now, Rotated: told.add}
	ring := openRing(t, cfg)
	_, old := sign(t, ring)
	content := string(store.stored())

	full := errors.New("the disk is full")
	store.set(func(s *memoryStore) { s.failSave = full })
	clock.Advance(40 * day)
	if err := ring.Refresh(t.Context()); !errors.Is(err, full) {
		t.Errorf("refreshing: got %v, want %v", err, full)
	}
	if err := ring.Rotate(t.Context()); !errors.Is(err, full) {
		t.Errorf("rotating: got %v, want %v", err, full)
	}
	clock.Advance(2 * day)
	if _, kid := sign(t, ring); kid != old {
		t.Errorf("a key signs that no other instance knows: %q", kid)
	}
	if kids, errs := told.take(); kids != nil || len(errs) != 2 {
		t.Errorf("reported keys %q and errors %v, want two errors", kids, errs)
	}
	if got := string(store.stored()); got != content {
		t.Error("the content of storage changed")
	}
	again := openRing(t, cfg)
	if _, kid := sign(t, again); kid != old {
		t.Errorf("an instance that starts now signs with %q, want %q", kid, old)
	}
	if _, errs := told.take(); len(errs) != 1 {
		t.Errorf("its start reported %v, want one error", errs)
	}

	store.set(func(s *memoryStore) { s.failSave = nil })
	refresh(t, ring)
	if ring.Status().Next == "" {
		t.Error("with room on the disk no next key was made")
	}
}

func TestKeysThatDisappearAreNotReplaced(t *testing.T) {
	store := newStore()
	ring := openRing(t, exchange.KeyRingConfig{Store: store})
	token, kid := sign(t, ring)
	store.set(func(s *memoryStore) { s.content = nil })
	for name, do := range map[string]func(context.Context) error{"refreshing": ring.Refresh, "rotating": ring.Rotate} {
		if err := do(t.Context()); err == nil || !strings.Contains(err.Error(), "disappeared") {
			t.Errorf("%s: got %v, want an error that says what happened", name, err)
		}
	}
	if got := store.stored(); got != nil {
		t.Errorf("stored %d bytes over what an operator removed", len(got))
	}
	wantVerified(t, ring, token)
	if _, again := sign(t, ring); again != kid {
		t.Errorf("signs with %q, want %q", again, kid)
	}
}

func TestARingKeepsUpByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, told := newStore(), &reports{}
		ring, err := exchange.OpenKeyRing(t.Context(), exchange.KeyRingConfig{Store: store, Rotated: told.add})
		if err != nil {
			t.Fatal(err)
		}
		_, first := sign(t, ring)
		time.Sleep(100 * day)
		if kids, errs := told.take(); len(kids) != 3 || errs != nil {
			t.Errorf("in a hundred days %d keys were made (errors %v), want three", len(kids), errs)
		}
		if _, kid := sign(t, ring); kid == first {
			t.Error("the first key still signs")
		}
		// Close is the positive control of the bubble: it fails if a goroutine outlives it.
		ring.Close()
		ring.Close()
	})
}

func TestAClosedRing(t *testing.T) {
	store := newStore()
	ring := openRing(t, exchange.KeyRingConfig{Store: store})
	other := openRing(t, exchange.KeyRingConfig{Store: newStore()})
	ring.Close()

	token, _ := sign(t, ring) // for requests that are still under way
	wantVerified(t, ring, token)
	foreign, _ := sign(t, other)
	for range 3 { // nobody looks for it, and nobody waits for ever
		wantCode(t, verify(t, ring, foreign), verifier.CodeKeyNotFound)
	}
	before, _ := store.counts()
	if err := ring.Rotate(t.Context()); err == nil {
		t.Error("a closed ring rotates")
	}
	if after, saves := store.counts(); after != before || saves != 1 {
		t.Error("a closed ring uses its storage")
	}
}
