package storetest

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// testEverything is for the race detector.
func testEverything(t *trial) {
	t.open(0)
	race(racers, func(racer int) {
		for i := range 20 {
			own, shared := fmt.Sprintf("%d-%d", racer, i), fmt.Sprint("shared-", i)
			if err := t.Use(t.Context(), own, t.in(time.Minute)); err != nil {
				t.Errorf("using a key: %v", err)
			}
			if err := t.Use(t.Context(), shared, t.in(time.Hour)); err != nil && !errors.Is(err, gateway.ErrUsed) {
				t.Errorf("using a shared key: %v", err)
			}
			if err := t.Revoke(t.Context(), gateway.Revocation{Key: shared, At: t.in(0), Until: t.in(time.Hour)}); err != nil {
				t.Errorf("revoking a shared key: %v", err)
			}
			if at, err := t.RevokedAt(shared); err != nil || at.IsZero() {
				t.Errorf("asking when a shared key was revoked: got %v, %v", at, err)
			}
			if racer == 0 {
				t.advance(time.Second)
			}
		}
	})
}

func testClosed(t *trial) {
	t.open(0)
	c, ok := t.Store.(io.Closer)
	if !ok {
		return
	}
	t.wantSpent("key", t.in(time.Hour))
	race(racers, func(int) {
		if err := c.Close(); err != nil {
			t.Errorf("closing, perhaps once more: %v", err)
		}
	})
	t.wantRefusal("using a key of a closed store", t.Use(t.Context(), "new key", t.in(time.Hour)))
	t.wantRefusal("revoking in a closed store", t.Revoke(t.Context(), gateway.Revocation{Key: "key", At: t.in(0), Until: t.in(time.Hour)}))
	_, err := t.RevokedAt("key")
	t.wantRefusal("asking a closed store", err)
}

func testUsedSurvives(t *trial) {
	t.open(0)
	for i := range 100 {
		t.wantSpent(fmt.Sprint("key-", i), t.in(time.Hour))
	}
	t.wantSpent("short", t.in(time.Minute))
	for range 2 {
		t.reopen()
		for i := range 100 {
			t.wantUsed(fmt.Sprint("key-", i))
		}
		t.wantUsed("short")
	}
	t.advance(time.Minute + time.Second)
	t.reopen()
	t.wantUsed("key-0")
	t.wantSpent("short", t.in(time.Hour))
	t.wantSpent("new", t.in(time.Hour))
}

func testRevokedSurvives(t *trial) {
	t.open(0)
	at := t.in(0)
	t.revoke("session", at, t.in(time.Hour))
	t.revoke("short", at, t.in(time.Minute))
	t.reopen()
	t.wantRevoked("session", at)
	t.wantRevoked("short", at)
	t.wantRevoked("other", time.Time{})

	t.revoke("session", at.Add(-time.Minute), t.in(time.Minute)) // both earlier than before the store was closed
	t.advance(time.Minute + time.Second)
	t.reopen()
	t.wantRevoked("session", at)
	t.wantRevoked("short", time.Time{})
}

// testCloseUnderLoad: the last requests of an old config are still using up
// assertions while its store is closed.
func testCloseUnderLoad(t *trial) {
	t.open(0)
	var mu sync.Mutex // guards won
	var won []string
	until := t.in(time.Hour)
	race(racers, func(racer int) {
		for i := range 20 {
			key := fmt.Sprintf("%d-%d", racer, i)
			if t.Use(t.Context(), key, until) != nil {
				return
			}
			mu.Lock()
			won = append(won, key)
			enough := len(won) == racers
			mu.Unlock()
			if enough {
				closeStore(t.T, t.Store)
			}
		}
	})
	t.reopen()
	if len(won) < racers {
		t.Fatalf("using keys before the store is closed: got %d, want %d", len(won), racers)
	}
	for _, key := range won {
		t.wantUsed(key)
	}
}
