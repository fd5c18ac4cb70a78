package store

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// A revocation is when something was revoked, and until when that is remembered.
type revocation struct{ at, until instant }

func revocationOf(key string, at, until time.Time) (revocation, error) {
	if err := checkKey(key); err != nil {
		return revocation{}, err
	}
	if at.IsZero() {
		return revocation{}, errors.New("revoking: the time of the revocation is missing")
	}
	return revocation{instantOf(at), instantOf(until)}, nil
}

// and merges two revocations of one thing.
func (r revocation) and(other revocation) revocation {
	return revocation{later(r.at, other.at), later(r.until, other.until)}
}

// revocations answers from memory what was revoked when.
type revocations struct {
	now func() time.Time

	mu    sync.RWMutex // guards the table
	table table[instant]
}

func newRevocations(capacity int, now func() time.Time) *revocations {
	return &revocations{now: now, table: newTable[instant](capacity)}
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

// add records a revocation, merged with what is held under key.
func (r *revocations) add(key string, rev revocation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := instantOf(r.now())
	r.table.sweep(now, sweepPerWrite)
	if held, ok := r.table.get(key, now); ok {
		rev = rev.and(revocation{held.value, held.until})
	}
	if !rev.until.after(now) {
		return nil
	}
	return r.table.put(key, entry[instant]{rev.at, rev.until})
}
