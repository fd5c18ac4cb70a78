package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

const racers = 64

// race has many goroutines call f at the same time, and waits for all.
func race(n int, f func(racer int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// testOneWinner: an assertion is sent many times at once, in the hope that more
// than one request gets through before the store has taken notice.
func testOneWinner(t *trial) {
	t.open(0)
	const keys = 100
	var wins [keys]atomic.Int32
	until := t.in(time.Hour)
	race(racers, func(racer int) {
		for i := range keys {
			k := (i + racer%4) % keys // in packs, so that they do collide
			switch err := t.Use(t.Context(), fmt.Sprint("key-", k), until); {
			case err == nil:
				wins[k].Add(1)
			case !errors.Is(err, gateway.ErrUsed):
				t.Errorf("racing for key %d: got %v, want nil or %v", k, err, gateway.ErrUsed)
			}
		}
	})
	for k := range wins {
		if n := wins[k].Load(); n != 1 {
			t.Errorf("racing for key %d: got %d winners, want 1", k, n)
		}
	}
}

func testDistinctKeys(t *trial) {
	t.open(0)
	long := strings.Repeat("k", 511)
	keys := []string{
		"a", "A", "ab", "a b", "a ", " a", "a\x00", "a\x00b", "\x00a", "\x00", "\x00\x00", "\xff", "\xff\xff",
		"a/b", "a:b", "a.b", "a*", "a?", "a%00", "a\n", "a\r\n", "{a}", "é", "e\u0301",
		long, long + "x", long + "y", long + "\x00", "x" + long,
	}
	for _, k := range keys {
		t.wantSpent(k, t.in(time.Hour))
	}
	for _, k := range keys {
		t.wantUsed(k)
	}
}

func testKeyLength(t *trial) {
	t.open(0)
	until := t.in(time.Hour)
	for _, k := range []string{"", strings.Repeat("k", 513), strings.Repeat("k", 1<<20)} {
		what := fmt.Sprintf("a key of %d bytes", len(k))
		t.wantRefusal("using "+what, t.Use(t.Context(), k, until))
		t.wantRefusal("revoking "+what, t.Revoke(t.Context(), gateway.Revocation{Key: k, At: t.in(0), Until: until}))
		_, err := t.RevokedAt(k)
		t.wantRefusal("asking for "+what, err)
	}
	longest := strings.Repeat("k", 512)
	t.wantSpent(longest, until)
	t.revoke(longest, t.in(0), until)
	t.wantRevoked(longest, t.in(0))
}

func testKindsApart(t *trial) {
	t.open(0)
	t.wantSpent("used", t.in(time.Hour))
	t.wantRevoked("used", time.Time{})
	t.revoke("revoked", t.in(0), t.in(time.Hour))
	t.wantSpent("revoked", t.in(time.Hour))
	t.wantRevoked("revoked", t.in(0))
}

func testUntil(t *trial) {
	t.open(0)
	t.wantSpent("key", t.in(time.Minute))
	t.advance(time.Minute - time.Nanosecond)
	t.wantUsed("key")
	t.advance(time.Second)
	t.wantSpent("key", t.in(time.Minute))
	t.advance(time.Minute - time.Nanosecond)
	t.wantUsed("key")
}

func testUseShortensNothing(t *trial) {
	t.open(0)
	t.wantSpent("key", t.in(time.Hour))
	if err := t.Use(t.Context(), "key", t.in(time.Second)); !errors.Is(err, gateway.ErrUsed) {
		t.Fatalf("using the key for a second: got %v, want %v", err, gateway.ErrUsed)
	}
	t.advance(time.Hour - time.Nanosecond)
	t.wantUsed("key")
}

// testUntilPassed: nothing would be left of the use, so that a second caller
// would win as well.
func testUntilPassed(t *trial) {
	t.open(0)
	for _, until := range []time.Time{{}, time.Unix(0, 0), t.in(-time.Hour), t.in(-time.Nanosecond), t.in(0)} {
		t.wantRefusal(fmt.Sprintf("using a key until %v", until), t.Use(t.Context(), "key", until))
	}
	t.wantSpent("key", t.in(time.Second))
}

// testUntilFar: a time past what 64 bits of nanoseconds hold is not a time in the past.
func testUntilFar(t *trial) {
	t.open(0)
	far := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	t.wantSpent("key", far)
	t.revoke("key", t.in(0), far)
	revoked := t.in(0)
	t.advance(24 * time.Hour)
	t.wantUsed("key")
	t.wantRevoked("key", revoked)
}

// testNeverEarly: entries that expire come and go beside others that must stay.
func testNeverEarly(t *trial) {
	const batch, rounds = 10, 10
	t.open(batch * (rounds + 2))
	stay := func(round, i int) string { return fmt.Sprintf("stays-%d-%d", round, i) }
	for round := range rounds {
		for i := range batch {
			t.wantSpent(fmt.Sprintf("leaves-%d-%d", round, i), t.in(time.Second))
			t.wantSpent(stay(round, i), t.in(time.Hour))
		}
		t.advance(2 * time.Second)
	}
	for round := range rounds {
		for i := range batch {
			t.wantUsed(stay(round, i))
		}
	}
}

func testContextDone(t *trial) {
	t.open(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := t.Use(ctx, "key", t.in(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("using a key with a context that is done: got %v, want %v", err, context.Canceled)
	}
	if err := t.Revoke(ctx, gateway.Revocation{Key: "key", At: t.in(0), Until: t.in(time.Hour)}); !errors.Is(err, context.Canceled) {
		t.Errorf("revoking a key with a context that is done: got %v, want %v", err, context.Canceled)
	}
	t.wantSpent("other key", t.in(time.Hour))
}

// testContextEnds: clients hang up while their assertions are being used up. What
// such a call leaves behind is open, but nil means spent, and once.
func testContextEnds(t *trial) {
	t.open(0)
	until := t.in(time.Hour)
	for i := range 100 {
		key := fmt.Sprint("key-", i)
		var wins atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		race(5, func(racer int) {
			if racer == 0 {
				cancel()
			} else if t.Use(ctx, key, until) == nil {
				wins.Add(1)
			}
		})
		if t.Use(t.Context(), key, until) == nil {
			wins.Add(1)
		}
		if n := wins.Load(); n > 1 {
			t.Fatalf("using %q while the context ends: got %d winners, want 1 at most", key, n)
		}
		t.wantUsed(key)
	}
}
