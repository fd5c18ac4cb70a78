package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

const grace = 24 * time.Hour // for which a revocation outlives its time

func mustRevoke(t *testing.T, s gateway.Store, key string, at, until time.Time) {
	t.Helper()
	if err := s.Revoke(t.Context(), gateway.Revocation{Key: key, At: at, Until: until}); err != nil {
		t.Fatalf("revoking %q: got %v, want nil", key, err)
	}
}

func mustRevokeByOperator(t *testing.T, s gateway.Store, key string, at, until time.Time) {
	t.Helper()
	if err := s.Revoke(t.Context(), gateway.Revocation{Key: key, At: at, Until: until, ByOperator: true}); err != nil {
		t.Fatalf("revoking %q by an operator: got %v, want nil", key, err)
	}
}

// wantRevoked says when key was revoked; the zero time: not at all.
func wantRevoked(t *testing.T, s gateway.Store, key string, at time.Time) {
	t.Helper()
	if got, err := s.RevokedAt(key); err != nil || !got.Equal(at) {
		t.Errorf("asking when %q was revoked: got %v, %v, want %v", key, got, err, at)
	}
}

// TestRevokedClockAhead: the clock jumps past the time of a revocation, somebody
// writes, and the clock is set right. The session must not be good again.
func TestRevokedClockAhead(t *testing.T) {
	for name, c := range map[string]struct {
		ahead time.Duration // past the revocation's time
		kept  bool
	}{
		"to its time":           {0, true},
		"past its time":         {time.Hour, true},
		"almost past the grace": {grace - 1, true},
		"past the grace":        {grace, false},
	} {
		t.Run(name, func(t *testing.T) {
			forEachStore(t, func(t *testing.T, s gateway.Store, now *time.Time) {
				start, until := *now, now.Add(time.Hour)
				mustRevoke(t, s, "session", start, until)
				*now = until.Add(c.ahead)
				mustRevoke(t, s, "other session", *now, now.Add(time.Hour))
				if err := s.Use(t.Context(), "key", now.Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				wantRevoked(t, s, "session", time.Time{})
				*now = start
				if c.kept {
					wantRevoked(t, s, "session", start)
				} else {
					wantRevoked(t, s, "session", time.Time{})
				}
			})
		})
	}
}

// TestRevokingClockAhead: what is revoked while the clock is ahead holds as well,
// and takes nothing back.
func TestRevokingClockAhead(t *testing.T) {
	forEachStore(t, func(t *testing.T, s gateway.Store, now *time.Time) {
		start, until := *now, now.Add(time.Hour)
		mustRevoke(t, s, "session", start, until)
		*now = start.Add(2 * time.Hour)
		mustRevoke(t, s, "session", start.Add(-time.Minute), now.Add(time.Hour))
		mustRevoke(t, s, "other session", start, until)
		mustRevoke(t, s, "old session", start, now.Add(-grace)) // nothing to remember
		wantRevoked(t, s, "session", start)
		wantRevoked(t, s, "other session", time.Time{})
		*now = start
		wantRevoked(t, s, "session", start)
		wantRevoked(t, s, "other session", start)
	})
}

// TestRevokedMakesWay: revocations that have expired are kept as long as no other
// needs the room, and the first to expire are the first to go.
func TestRevokedMakesWay(t *testing.T) {
	forEachStore(t, func(t *testing.T, s gateway.Store, now *time.Time) {
		start := *now
		for i := range capacity {
			mustRevoke(t, s, fmt.Sprint("session-", i), start, start.Add(time.Duration(i+1)*time.Minute))
		}
		*now = start.Add(4 * time.Minute) // the times of four have passed
		for i := range 4 {
			if i == 3 {
				*now = start
				wantRevoked(t, s, "session-2", time.Time{})
				wantRevoked(t, s, "session-3", start)
				*now = start.Add(4 * time.Minute)
			}
			mustRevoke(t, s, fmt.Sprint("new-", i), *now, now.Add(time.Hour))
		}
		if err := s.Revoke(t.Context(), gateway.Revocation{Key: "one more", At: *now, Until: now.Add(time.Hour)}); !errors.Is(err, gateway.ErrFull) {
			t.Errorf("revoking where all others matter still: got %v, want %v", err, gateway.ErrFull)
		}
		for i := range 4 {
			wantRevoked(t, s, fmt.Sprint("new-", i), *now)
		}
		for i := 4; i < capacity; i++ {
			wantRevoked(t, s, fmt.Sprint("session-", i), start)
		}
	})
}

// A place is where a file store is opened again and again, by a clock that stands
// where it is set.
type place struct {
	path string
	now  time.Time
}

func newPlace(t *testing.T) *place {
	return &place{filepath.Join(t.TempDir(), "store"), time.Now()}
}

func (p *place) open(t *testing.T, capacity int) *store.File {
	t.Helper()
	f, err := store.OpenFile(store.FileConfig{Path: p.path, Capacity: capacity, Now: func() time.Time { return p.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestFileOpenedClockAhead: the machine starts with a wrong clock, and the clock is
// set right while the store is open. Nobody writes.
func TestFileOpenedClockAhead(t *testing.T) {
	for _, ahead := range []time.Duration{0, 2 * time.Hour, 2 * grace} {
		t.Run(ahead.String(), func(t *testing.T) {
			p := newPlace(t)
			start := p.now
			f := p.open(t, capacity)
			mustRevoke(t, f, "session", start, start.Add(time.Hour))
			mustClose(t, f)
			p.now = start.Add(ahead)
			f = p.open(t, capacity)
			p.now = start
			wantRevoked(t, f, "session", start)
			wantRevoked(t, f, "other session", time.Time{})
		})
	}
}

// TestFileWrittenClockAhead: what memory answers after the clock was set right, the
// file answers after a restart.
func TestFileWrittenClockAhead(t *testing.T) {
	p := newPlace(t)
	start := p.now
	f := p.open(t, capacity)
	mustRevoke(t, f, "session", start, start.Add(time.Hour))
	mustRevoke(t, f, "third session", start, start.Add(time.Hour))
	p.now = start.Add(2 * time.Hour)
	mustRevoke(t, f, "other session", p.now, p.now.Add(time.Hour))
	mustRevoke(t, f, "session", start.Add(-time.Minute), p.now.Add(time.Hour)) // takes nothing back
	mustRevoke(t, f, "expired session", start, start.Add(time.Hour))
	mustClose(t, f)
	p.now = start
	f = p.open(t, capacity)
	wantRevoked(t, f, "session", start)
	wantRevoked(t, f, "third session", start)
	wantRevoked(t, f, "expired session", start)
}

// TestFileHoldsNoMoreInMemory: what made way in the file takes up no memory.
func TestFileHoldsNoMoreInMemory(t *testing.T) {
	p := newPlace(t)
	f := p.open(t, capacity)
	for i := range 3 * capacity {
		mustRevoke(t, f, fmt.Sprint("session-", i), p.now, p.now.Add(time.Second))
		p.now = p.now.Add(time.Minute)
	}
	if got := f.HeldRevoked(); got != capacity {
		t.Errorf("counting what is held: got %d, want %d", got, capacity)
	}
}

// TestFileRoomLowered: somebody lowered the capacity, and there are more revocations
// than it has room for. They make way as they expire, and not before.
func TestFileRoomLowered(t *testing.T) {
	p := newPlace(t)
	f := p.open(t, capacity)
	start := p.now
	for i := range capacity {
		mustRevoke(t, f, fmt.Sprint("session-", i), start, start.Add(time.Duration(i+1)*time.Minute))
	}
	mustClose(t, f)
	f = p.open(t, 1)
	p.now = start.Add((capacity - 1) * time.Minute)
	if err := f.Revoke(t.Context(), gateway.Revocation{Key: "new", At: p.now, Until: p.now.Add(time.Hour)}); !errors.Is(err, gateway.ErrFull) {
		t.Errorf("revoking beside one that matters: got %v, want %v", err, gateway.ErrFull)
	}
	p.now = start.Add(capacity * time.Minute)
	mustRevoke(t, f, "new", p.now, p.now.Add(time.Hour))
	wantRevoked(t, f, "new", p.now)
	if got := f.HeldRevoked(); got != 1 {
		t.Errorf("counting what is held: got %d, want 1", got)
	}
}
