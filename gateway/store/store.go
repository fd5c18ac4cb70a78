// Package store holds the memories of a gateway, the ones that must not forget
// beside the one that may:
//
//   - [File] keeps what was used up, what was revoked, and who the users are in one
//     file. It survives kill -9 and power loss, and serves one process.
//   - [Memory] keeps the same for as long as the process runs.
//   - [Cache] remembers verified credentials to save time. It forgets when it
//     likes, and nothing that must not happen twice may depend on it.
//
// File and Memory are a [gateway.Store] each; package storetest is what such a
// store has to pass. Both are bounded. When they are full of entries that still
// matter they refuse with [gateway.ErrFull]; they never forget early to make room. The
// last tenth of the room for revocations is an operator's alone.
//
// Users and the identities that they have linked have a room of their own, which neither
// takes anything from the others nor is taken by them. Where it is full, those users make
// way who have not signed in for 400 days and have linked nothing; a link is kept for good.
//
// Both go by the clock, and clocks are set wrong and right again. A use of which the
// record may be gone already is refused. A revocation is kept for a day after its
// time, so that it holds again when a clock that was ahead is set back. A clock that
// is further ahead loses those it passes by more than that day; and one that is ahead
// while there is no room loses those that would have expired, the oldest first; and
// likewise users, who are new again when they come back.
package store

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// DefaultCapacity is how many used-up keys, how many revocations, and how many users and
// linked identities together a store holds where its configuration does not say.
const DefaultCapacity = 1_000_000

var errClosed = errors.New("store is closed")

// maxKey is the length of the longest key, in bytes, that a [gateway.Store] takes.
const maxKey = 512

// sweepPerWrite is how many entries that have had their time a write sweeps at
// most. It is more than the one entry a write adds, so that a backlog shrinks; and
// small, so that no writer pays for a crowd that expired together.
const sweepPerWrite = 4

func checkKey(key string) error {
	if n := len(key); n == 0 || n > maxKey {
		return fmt.Errorf("checking the key of a store entry: %d bytes, want 1 to %d", n, maxKey)
	}
	return nil
}

// checkUntil refuses to spend a key until a time that has passed: nothing would be
// left of it, and a second caller would win as well. The same goes for a time of
// which entries were dropped already, which is in the future again only because
// somebody set the clock back: the key may be one of those.
func checkUntil(until, now, swept instant) error {
	if !until.after(now) {
		return fmt.Errorf("spending a key until %v: that has passed", until)
	}
	if !until.after(swept) {
		return fmt.Errorf("spending a key until %v: entries up to %v are gone already, the clock was set back", until, swept)
	}
	return nil
}

func full(entries uint64) error {
	return fmt.Errorf("%w: it holds %d entries", gateway.ErrFull, entries)
}

func capacityOr(n int) int {
	if n <= 0 {
		return DefaultCapacity
	}
	return n
}

// operatorsPart says which part of the capacity there is once more, on top, for the
// revocations of an operator.
const operatorsPart = 10

// revocationRoom is how many revocations there may be after one more is recorded.
// Whose the others are is written nowhere: an operator's may use all of the room, and
// anybody else's only what leaves the operator's part of it free.
func revocationRoom(capacity int, byOperator bool) int {
	if !byOperator {
		return capacity
	}
	onTop := (capacity-1)/operatorsPart + 1 // a part of one, rounded up, is one
	return capacity + min(onTop, math.MaxInt-capacity)
}

func clockOr(now func() time.Time) func() time.Time {
	if now == nil {
		return time.Now
	}
	return now
}
