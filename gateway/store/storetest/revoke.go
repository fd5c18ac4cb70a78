package storetest

import (
	"fmt"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

func testRevocationSeen(t *trial) {
	t.open(0)
	t.wantRevoked("session", time.Time{})
	race(racers, func(racer int) {
		key := fmt.Sprint("session-", racer)
		at := t.in(time.Duration(racer) * time.Nanosecond)
		if err := t.Revoke(t.Context(), gateway.Revocation{Key: key, At: at, Until: t.in(time.Hour)}); err != nil {
			t.Errorf("revoking %q: %v", key, err)
		}
		if got, err := t.RevokedAt(key); err != nil || !got.Equal(at) {
			t.Errorf("asking when %q was revoked, right after: got %v, %v, want %v", key, got, err, at)
		}
	})
	t.wantRevoked("session", time.Time{})
}

func testLatestRevocation(t *trial) {
	t.open(0)
	early, late := t.in(-time.Minute), t.in(0)
	t.revoke("session", late, t.in(time.Minute))
	t.revoke("session", early, t.in(time.Hour))
	t.wantRevoked("session", late)
	t.revoke("session", early, t.in(time.Second))
	t.advance(time.Hour - time.Nanosecond)
	t.wantRevoked("session", late)
	latest := t.in(0)
	t.revoke("session", latest, t.in(time.Hour))
	t.wantRevoked("session", latest)
}

func testConcurrentRevocations(t *trial) {
	t.open(0)
	const sessions = 10 // whose latest revocation is another racer's each
	latest := t.in(0)
	race(racers, func(racer int) {
		for i := range sessions {
			n := (racer + i) % racers
			// The latest at comes with the earliest until, and the other way round.
			r := gateway.Revocation{Key: fmt.Sprint("session-", i), At: latest.Add(-time.Duration(n) * time.Second), Until: latest.Add(time.Duration(n+1) * time.Minute)}
			if err := t.Revoke(t.Context(), r); err != nil {
				t.Errorf("revoking: %v", err)
			}
		}
	})
	for _, d := range []time.Duration{0, racers*time.Minute - time.Nanosecond} {
		t.advance(d)
		for i := range sessions {
			t.wantRevoked(fmt.Sprint("session-", i), latest)
		}
	}
}

func testRevocationUntil(t *trial) {
	t.open(0)
	at := t.in(0)
	t.revoke("session", at, t.in(time.Minute))
	t.revoke("other session", at, t.in(time.Hour))
	t.advance(time.Minute - time.Nanosecond)
	t.wantRevoked("session", at)
	t.advance(time.Second)
	t.wantRevoked("session", time.Time{})
	t.wantRevoked("other session", at)

	t.revoke("session", t.in(0), t.in(-time.Second)) // nothing to remember, and no harm
	t.wantRevoked("session", time.Time{})
	t.revoke("session", t.in(0), t.in(time.Minute))
	t.wantRevoked("session", t.in(0))
}

// testRevocationWithoutTime: RevokedAt could not tell it from no revocation.
func testRevocationWithoutTime(t *trial) {
	t.open(0)
	t.wantRefusal("revoking at the zero time", t.Revoke(t.Context(), gateway.Revocation{Key: "session", At: time.Time{}, Until: t.in(time.Hour)}))
	t.wantRevoked("session", time.Time{})
	t.revoke("session", t.in(0), t.in(time.Hour))
}
