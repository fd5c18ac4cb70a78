package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
	"github.com/caddy-byoa/caddy-byoa/gateway/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Subject{
		Open: func(_ *testing.T, o storetest.Options) (gateway.Store, error) {
			return store.NewMemory(store.MemoryConfig{Capacity: o.Capacity, Users: o.Users, Now: o.Now}), nil
		},
		Bounded: true,
	})
}

// TestMemoryLetsGo: what has expired takes up memory for a few more writes only,
// even if it is prolonged again and again.
func TestMemoryLetsGo(t *testing.T) {
	now := time.Now()
	m := store.NewMemory(store.MemoryConfig{Now: func() time.Time { return now }})
	const n = 300
	for i := range n {
		if err := m.Use(t.Context(), fmt.Sprint("key-", i), now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"often revoked", fmt.Sprint("session-", i)} {
			if err := m.Revoke(t.Context(), gateway.Revocation{Key: key, At: now, Until: now.Add(time.Minute + time.Duration(i))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if spent, revoked := m.Held(); spent != n || revoked != n+1 {
		t.Errorf("counting what is held: got %d and %d, want %d and %d", spent, revoked, n, n+1)
	}
	now = now.Add(25 * time.Hour) // revocations stay for a day
	for i := range n / 2 {
		if err := m.Use(t.Context(), fmt.Sprint("new-", i), now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if err := m.Revoke(t.Context(), gateway.Revocation{Key: "session", At: now, Until: now.Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
	}
	if spent, revoked := m.Held(); spent != n/2 || revoked != 1 {
		t.Errorf("counting what is held after all have expired: got %d and %d, want %d and 1", spent, revoked, n/2)
	}
}

// heap is what is reachable of what was allocated.
func heap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC() // the first leaves what pools hold
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// TestMemoryEntrySize holds MemoryConfig.Capacity to what it says, with keys that
// were cut out of something large.
func TestMemoryEntrySize(t *testing.T) {
	m := store.NewMemory(store.MemoryConfig{})
	before := heap()
	const n = 60_000 // just above a doubling: the worst case
	until := time.Now().Add(time.Hour)
	for i := range n {
		sum := sha256.Sum256([]byte(fmt.Sprint(i)))
		token := strings.Repeat("t", 2000) + hex.EncodeToString(sum[:])
		if err := m.Use(t.Context(), token[2000:], until); err != nil {
			t.Fatal(err)
		}
	}
	got := (heap() - before) / n
	t.Logf("%d bytes for an entry with a key of 64 bytes", got)
	if got > 200+64 {
		t.Errorf("measuring an entry with a key of 64 bytes: got %d bytes, want at most 264", got)
	}
	runtime.KeepAlive(m)
}
