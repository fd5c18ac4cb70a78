package store_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

const capacity = 10

// forEachStore runs test for every kind of store, with room for a few entries and
// a clock that stands where it is set.
func forEachStore(t *testing.T, test func(t *testing.T, s gateway.Store, now *time.Time)) {
	t.Run("memory", func(t *testing.T) {
		now := time.Now()
		clock := func() time.Time { return now }
		test(t, store.NewMemory(store.MemoryConfig{Capacity: capacity, Now: clock}), &now)
	})
	t.Run("file", func(t *testing.T) {
		now := time.Now()
		clock := func() time.Time { return now }
		f, err := store.OpenFile(store.FileConfig{Path: filepath.Join(t.TempDir(), "store"), Capacity: capacity, Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		defer mustClose(t, f)
		test(t, f, &now)
	})
}

// TestFullApart: somebody signs out very often, in the hope that nobody can use an
// assertion any more, or the other way round.
func TestFullApart(t *testing.T) {
	forEachStore(t, func(t *testing.T, s gateway.Store, now *time.Time) {
		until := now.Add(time.Hour)
		for i := range capacity {
			if err := s.Revoke(t.Context(), gateway.Revocation{Key: fmt.Sprint("session-", i), At: *now, Until: until}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Revoke(t.Context(), gateway.Revocation{Key: "one more", At: *now, Until: until}); !errors.Is(err, gateway.ErrFull) {
			t.Errorf("revoking more than there is room for: got %v, want %v", err, gateway.ErrFull)
		}
		if err := s.Revoke(t.Context(), gateway.Revocation{Key: "session-0", At: now.Add(time.Second), Until: until}); err != nil {
			t.Errorf("revoking again in a full store: got %v, want nil", err)
		}
		for i := range capacity {
			if err := s.Use(t.Context(), fmt.Sprint("key-", i), until); err != nil {
				t.Errorf("using a key when there is no room for revocations: got %v, want nil", err)
			}
		}
		if err := s.Use(t.Context(), "one more", until); !errors.Is(err, gateway.ErrFull) {
			t.Errorf("using more keys than there is room for: got %v, want %v", err, gateway.ErrFull)
		}
	})
}

// TestOperatorsRoomOfAnySize: a tenth of very little is something, and of very much no overflow.
func TestOperatorsRoomOfAnySize(t *testing.T) {
	for capacity, kept := range map[int]int{1: 1, 9: 1, 10: 1, 11: 2} {
		now := time.Now()
		m := store.NewMemory(store.MemoryConfig{Capacity: capacity})
		for i := range capacity {
			mustRevoke(t, m, fmt.Sprint("session-", i), now, now.Add(time.Hour))
		}
		for i := range kept {
			mustRevokeByOperator(t, m, fmt.Sprint("user-", i), now, now.Add(time.Hour))
		}
		err := m.Revoke(t.Context(), gateway.Revocation{Key: "one more", At: now, Until: now.Add(time.Hour), ByOperator: true})
		if !errors.Is(err, gateway.ErrFull) {
			t.Errorf("revoking more than %d and %d by an operator: got %v, want %v", capacity, kept, err, gateway.ErrFull)
		}
	}
	m := store.NewMemory(store.MemoryConfig{Capacity: math.MaxInt})
	mustRevokeByOperator(t, m, "user", time.Now(), time.Now().Add(time.Hour))
	mustRevoke(t, m, "session", time.Now(), time.Now().Add(time.Hour))
}

// TestUntilIsExact: the instant itself is past the time.
func TestUntilIsExact(t *testing.T) {
	forEachStore(t, func(t *testing.T, s gateway.Store, now *time.Time) {
		until, revoked := now.Add(time.Minute), *now
		if err := errors.Join(s.Use(t.Context(), "key", until), s.Revoke(t.Context(), gateway.Revocation{Key: "key", At: revoked, Until: until})); err != nil {
			t.Fatal(err)
		}
		*now = until.Add(-1)
		if err := s.Use(t.Context(), "key", until); !errors.Is(err, gateway.ErrUsed) {
			t.Errorf("using the key a nanosecond early: got %v, want %v", err, gateway.ErrUsed)
		}
		if at, err := s.RevokedAt("key"); err != nil || !at.Equal(revoked) {
			t.Errorf("asking a nanosecond early: got %v, %v, want %v", at, err, revoked)
		}
		*now = until
		if err := s.Use(t.Context(), "key", until.Add(1)); err != nil {
			t.Errorf("using the key in time: got %v, want nil", err)
		}
		if at, err := s.RevokedAt("key"); err != nil || !at.IsZero() {
			t.Errorf("asking in time: got %v, %v, want the zero time", at, err)
		}
	})
}

// TestClockSetBack: an assertion was used up, expired, and its entry was dropped.
// Then the clock is set back, and the assertion is valid once more.
func TestClockSetBack(t *testing.T) {
	forEachStore(t, func(t *testing.T, s gateway.Store, now *time.Time) {
		start := *now
		if err := s.Use(t.Context(), "key", start.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		*now = start.Add(time.Hour)
		if err := s.Use(t.Context(), "other key", start.Add(2*time.Hour)); err != nil {
			t.Fatal(err) // it takes the first away
		}
		*now = start
		err := s.Use(t.Context(), "key", start.Add(time.Minute))
		wantError(t, err, "the clock was set back")
		if err := s.Use(t.Context(), "new key", start.Add(time.Minute+1)); err != nil {
			t.Errorf("using a key that cannot have been dropped: got %v, want nil", err)
		}
	})
}

// TestErrorsKeepKeys: keys are made from what clients send.
func TestErrorsKeepKeys(t *testing.T) {
	forEachStore(t, func(t *testing.T, s gateway.Store, now *time.Time) {
		const secret = "secret"
		var errs []error
		for i := range capacity + 1 {
			errs = append(errs, s.Use(t.Context(), fmt.Sprint(secret, i), now.Add(time.Hour)))
			errs = append(errs, s.Revoke(t.Context(), gateway.Revocation{Key: fmt.Sprint(secret, i), At: *now, Until: now.Add(time.Hour)}))
		}
		errs = append(errs,
			s.Use(t.Context(), secret+"0", now.Add(time.Hour)),
			s.Use(t.Context(), secret, *now),
			s.Use(t.Context(), strings.Repeat(secret, 100), now.Add(time.Hour)),
			s.Revoke(t.Context(), gateway.Revocation{Key: secret, At: time.Time{}, Until: now.Add(time.Hour)}))
		if got := errors.Join(errs...); strings.Contains(got.Error(), secret) || strings.Count(got.Error(), "\n") != 5 {
			t.Errorf("making six errors: got %q, want none of them with the key", got)
		}
	})
}

// TestRevokedAtCost: it is asked several times for every request.
func TestRevokedAtCost(t *testing.T) {
	forEachStore(t, func(t *testing.T, s gateway.Store, now *time.Time) {
		if err := s.Revoke(t.Context(), gateway.Revocation{Key: "revoked", At: *now, Until: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"revoked", "not revoked"} {
			if got := testing.AllocsPerRun(100, func() { _, _ = s.RevokedAt(key) }); got != 0 {
				t.Errorf("asking for %q: got %v allocations, want 0", key, got)
			}
		}
	})
}
