package store_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

func mustCache(t testing.TB, maxBytes int64) *store.Cache {
	t.Helper()
	c, err := store.NewCache(maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func hash(i int) [32]byte { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))) }

func TestCacheSize(t *testing.T) {
	for _, n := range []int64{0, -1} {
		_, err := store.NewCache(n)
		wantError(t, err, fmt.Sprint(n), "positive")
	}
	if _, ok := mustCache(t, 1).Get(hash(0)); ok {
		t.Error("asking an empty cache: got something")
	}
}

func TestCacheFinds(t *testing.T) {
	c := mustCache(t, 1<<20)
	var set [100]gateway.Remembered
	for i := range set {
		c.Set(hash(i), &set[i], 1000, time.Now().Add(time.Hour))
	}
	c.Wait()
	for i := range set {
		if got, ok := c.Get(hash(i)); !ok || got != &set[i] {
			t.Errorf("asking for %d: got %p, %v, want %p", i, got, ok, &set[i])
		}
	}
	if _, ok := c.Get(hash(len(set))); ok {
		t.Error("asking for what was not set: got something")
	}
	newer := new(gateway.Remembered)
	c.Set(hash(0), newer, 1000, time.Now().Add(time.Hour))
	c.Wait()
	if got, _ := c.Get(hash(0)); got != newer {
		t.Errorf("asking for what was set again: got %p, want %p", got, newer)
	}
}

// TestCacheComparesAllOfTheKey: 64 bits of a hash can be made to collide, and then
// one user would be taken for another.
func TestCacheComparesAllOfTheKey(t *testing.T) {
	c := mustCache(t, 1<<20)
	victim := hash(0)
	c.Set(victim, new(gateway.Remembered), 1000, time.Now().Add(time.Hour))
	c.Wait()
	for i := range victim {
		other := victim
		other[i] ^= 1
		if _, ok := c.Get(other); ok {
			t.Errorf("asking for a key that differs in byte %d: got what was set for another", i)
		}
	}
	if _, ok := c.Get(victim); !ok {
		t.Error("asking for the key itself: got nothing")
	}
}

// TestCacheUntil: ristretto takes no time to live for one without end.
func TestCacheUntil(t *testing.T) {
	c := mustCache(t, 1<<20)
	now := time.Now()
	for i, until := range []time.Time{{}, now, now.Add(-time.Nanosecond), now.Add(-time.Hour)} {
		c.Set(hash(i), new(gateway.Remembered), 1000, until)
		c.Wait()
		if _, ok := c.Get(hash(i)); ok {
			t.Errorf("asking for what was set until %v, at %v: got something", until, now)
		}
	}
	c.Set(hash(9), new(gateway.Remembered), 1000, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	c.Wait()
	if _, ok := c.Get(hash(9)); !ok {
		t.Error("asking for what was set until far away: got nothing")
	}
}

// TestCacheExpires waits for a few milliseconds of real time, the only time there
// is for ristretto, and for as long as a slow machine takes.
func TestCacheExpires(t *testing.T) {
	c := mustCache(t, 1<<20)
	until := time.Now().Add(50 * time.Millisecond)
	c.Set(hash(0), new(gateway.Remembered), 1000, until)
	for time.Now().Before(until) {
		runtime.Gosched()
	}
	if _, ok := c.Get(hash(0)); ok {
		t.Error("asking for what has expired: got something")
	}
}

// A credential is something remembered with the bytes it keeps in memory.
type credential struct {
	gateway.Remembered
	token [1000]byte
}

// TestCacheIsBounded: somebody sends one good token after the other.
func TestCacheIsBounded(t *testing.T) {
	const maxBytes, sets = 16 << 20, 100_000
	before := heap()
	c := mustCache(t, maxBytes)
	for i := range sets {
		// With expiries far apart, as the issuer likes.
		until := time.Now().Add(time.Second + rand.N(100*365*24*time.Hour))
		c.Set(hash(i), &(&credential{token: [1000]byte{1}}).Remembered, 1000, until)
		if i%1000 == 0 {
			c.Wait() // or most would be dropped for want of time
		}
	}
	c.Wait()
	got := heap() - before
	t.Logf("a full cache of %d bytes holds %d", maxBytes, got)
	if got > maxBytes*3/2 {
		t.Errorf("measuring a full cache: got %d bytes, want at most %d and a half", got, maxBytes)
	}
	found := 0
	for i := range sets {
		if _, ok := c.Get(hash(i)); ok {
			found++
		}
	}
	if full := maxBytes / 1500; found < full {
		t.Errorf("counting what a full cache holds: got %d entries of 1000 bytes, want at least %d", found, full)
	}
}

// TestCacheClosedUnderLoad: after a reload, the last requests of the old config
// still use its cache. Ristretto would panic.
func TestCacheClosedUnderLoad(t *testing.T) {
	c := mustCache(t, 1<<20)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				c.Set(hash(i), new(gateway.Remembered), 1000, time.Now().Add(time.Hour))
				c.Get(hash(i))
				if worker < 2 && i == 1000 {
					_ = c.Close()
				}
			}
		})
	}
	wg.Wait()
	if _, ok := c.Get(hash(0)); ok {
		t.Error("asking a closed cache: got something")
	}
}

// TestCacheLeavesNothing: with a goroutine left behind for every reload, a server
// would not live long.
func TestCacheLeavesNothing(t *testing.T) {
	c := mustCache(t, 1<<20)
	if n := ristrettos(); n == 0 {
		t.Fatal("counting goroutines of an open cache: got 0")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for ristrettos() > 0 { // they may be on their last instructions
		if time.Now().After(deadline) {
			t.Fatal("counting goroutines of a closed cache: some stay")
		}
		runtime.Gosched()
	}
}

func ristrettos() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "created by github.com/dgraph-io/ristretto")
}

func TestCacheGetCost(t *testing.T) {
	c := mustCache(t, 1<<20)
	key := hash(0)
	c.Set(key, new(gateway.Remembered), 1000, time.Now().Add(time.Hour))
	c.Wait()
	if got := testing.AllocsPerRun(1000, func() { c.Get(key) }); got != 0 {
		t.Errorf("asking for a key: got %v allocations, want 0", got)
	}
}
