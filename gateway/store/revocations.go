package store

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// revocationGrace is how long a revocation is kept after its until, out of sight:
// [gateway.Store] goes by until whenever it is asked, but what has been dropped does
// not come back when a clock that was ahead is set right, and a session would be good
// again. A day is more than a wrong time zone or a bad time server makes, and little
// enough that what has expired takes up memory for one day only.
const revocationGrace = 24 * time.Hour

// forgettable is the latest until of which nothing has to be kept any more at now.
func forgettable(now instant) instant { return instantOf(now.time().Add(-revocationGrace)) }

// A revocation is when something was revoked, and until when that is remembered.
type revocation struct{ at, until instant }

func revocationOf(r gateway.Revocation) (revocation, error) {
	if err := checkKey(r.Key); err != nil {
		return revocation{}, err
	}
	if r.At.IsZero() {
		return revocation{}, errors.New("revoking: the time of the revocation is missing")
	}
	return revocation{instantOf(r.At), instantOf(r.Until)}, nil
}

// and merges two revocations of one thing.
func (r revocation) and(other revocation) revocation {
	return revocation{later(r.at, other.at), later(r.until, other.until)}
}

// revocations answers from memory what was revoked when.
type revocations struct {
	now    func() time.Time
	mirror bool // of what a file holds

	mu    sync.RWMutex // guards the table
	table table[instant]
}

func newRevocations(now func() time.Time) *revocations {
	return &revocations{now: now, table: newTable[instant]()}
}

// newMirror is for what a file holds. It refuses nothing: what is on the disk has
// found room there, and must be known here.
func newMirror(now func() time.Time) *revocations {
	return &revocations{now: now, mirror: true, table: newTable[instant]()}
}

// at returns when key was revoked, or the zero time.
func (r *revocations) at(key string) (time.Time, error) {
	if err := checkKey(key); err != nil {
		return time.Time{}, fmt.Errorf("asking for a revocation: %w", err)
	}
	r.mu.RLock()
	e, ok := r.table.entries[key]
	r.mu.RUnlock()
	// The clock is asked last: hardly any key that is looked up was revoked.
	if !ok || !e.until.after(instantOf(r.now())) {
		return time.Time{}, nil
	}
	return e.value.time(), nil
}

// add records a revocation, merged with what is held under key. Where there are as many
// as there is room for, those that expired first make way.
func (r *revocations) add(key string, rev revocation, room int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := instantOf(r.now())
	gone := forgettable(now)
	r.table.sweep(gone, sweepPerWrite)
	held, ok := r.table.entries[key]
	if ok {
		rev = rev.and(revocation{held.value, held.until})
	}
	if !rev.until.after(gone) {
		return nil
	}
	if !ok {
		r.makeRoom(now, room)
	}
	if r.mirror {
		room = unbounded
	}
	return r.table.put(key, entry[instant]{rev.at, rev.until}, room)
}

// unbounded is more entries than there can be.
const unbounded = math.MaxInt

// makeRoom drops what has expired, where there is no room for one more. The caller holds r.mu.
func (r *revocations) makeRoom(now instant, room int) {
	r.table.sweep(now, len(r.table.entries)-room+1)
}

// take holds a revocation as it was read from the file. It does not ask the clock:
// that may be wrong while the file is opened, and set right later.
func (r *revocations) take(key string, rev revocation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table.put(key, entry[instant]{rev.at, rev.until}, unbounded)
}
