package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// MemoryConfig configures a [Memory]. The zero value will do.
type MemoryConfig struct {
	// Capacity is how many used-up keys are held, and apart from these how many
	// revocations, so that neither can crowd out the other. 0: [DefaultCapacity].
	// A tenth as many revocations come on top that only an operator may make: users,
	// who can start and end sessions without end, never use up the room that an operator
	// needs to end somebody's sessions, or to switch an environment off.
	//
	// An entry takes up to 200 bytes and its key. What expired entries leave behind
	// is used for new ones. A revocation is kept for a day after its time, unless a
	// new one needs the room.
	Capacity int

	// Users is how many users are held and how many identities that were linked to them,
	// together and apart from Capacity. 0: [DefaultCapacity]. Without room, users who have
	// not signed in for 400 days make way, unless they have linked identities; then new
	// users stay unknown, and no more identities are linked.
	//
	// Each takes up to 500 bytes where issuer, subject and ID have some 100 together.
	Users int

	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// Memory is a [gateway.Store] that lives as long as the process does: after a
// restart everything that was used up may be used again, and what was linked is apart.
// It is for tests, and for where that does not matter.
//
// Expired entries are dropped a few at a time as new ones are written.
type Memory struct {
	now      func() time.Time
	capacity int
	closed   atomic.Bool
	revoked  *revocations
	people   *people

	mu    sync.Mutex // guards spent
	spent table[struct{}]
}

var _ gateway.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory(cfg MemoryConfig) *Memory {
	capacity, now := capacityOr(cfg.Capacity), clockOr(cfg.Now)
	return &Memory{
		now:      now,
		capacity: capacity,
		revoked:  newRevocations(now),
		people:   newPeople(capacityOr(cfg.Users), now),
		spent:    newTable[struct{}](),
	}
}

// Use implements [gateway.Store]. With a context that is done it spends nothing.
func (m *Memory) Use(ctx context.Context, key string, until time.Time) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	if err := checkKey(key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now, end := instantOf(m.now()), instantOf(until)
	m.spent.sweep(now, sweepPerWrite)
	if _, used := m.spent.get(key, now); used {
		return gateway.ErrUsed
	}
	if err := checkUntil(end, now, m.spent.swept); err != nil {
		return err
	}
	if err := m.spent.put(key, entry[struct{}]{until: end}, m.capacity); err != nil {
		return fmt.Errorf("spending a key: %w", err)
	}
	return nil
}

// Revoke implements [gateway.Store]. With a context that is done it records nothing. It
// waits while something is linked: see [gateway.Link].Unless.
func (m *Memory) Revoke(ctx context.Context, r gateway.Revocation) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	rev, err := revocationOf(r)
	if err != nil {
		return err
	}
	m.people.mu.Lock()
	defer m.people.mu.Unlock()
	if err := m.revoked.add(r.Key, rev, revocationRoom(m.capacity, r.ByOperator)); err != nil {
		return fmt.Errorf("revoking: %w", err)
	}
	return nil
}

// RevokedAt implements [gateway.Store].
func (m *Memory) RevokedAt(key string) (time.Time, error) {
	if m.closed.Load() {
		return time.Time{}, errClosed
	}
	return m.revoked.at(key)
}

// Close ends the store: from now on every other method returns an error.
// Closing twice does no harm.
func (m *Memory) Close() error {
	m.closed.Store(true)
	return nil
}

func (m *Memory) ready(ctx context.Context) error {
	if m.closed.Load() {
		return errClosed
	}
	return ctx.Err()
}
