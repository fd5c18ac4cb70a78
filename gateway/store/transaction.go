package store

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// The ledgers of a file, one for each kind of entry.
const (
	spentLedger   = "spent"   // key → nothing
	revokedLedger = "revoked" // key → when it was revoked
	usersLedger   = "users"   // ID → account
	linksLedger   = "links"   // identity → ID of the user to whom it was linked
)

// A transaction is what may be done to the file at one instant.
type transaction struct {
	now            instant
	capacity       int // of each of these ledgers
	spent, revoked *ledger
	directory      *fileRegister
	meta           *bolt.Bucket // what the file says of itself, and what a probe writes
}

func (f *File) begin(tx *bolt.Tx) (*transaction, error) {
	spent, revoked, err := openMarks(tx)
	if err != nil {
		return nil, err
	}
	now := instantOf(f.now())
	directory, err := f.register(tx, now)
	if err != nil {
		return nil, err
	}
	return &transaction{now, f.capacity, spent, revoked, directory, tx.Bucket(metaName)}, nil
}

func openMarks(tx *bolt.Tx) (spent, revoked *ledger, err error) {
	if spent, err = openLedger(tx, spentLedger); err != nil {
		return nil, nil, err
	}
	revoked, err = openLedger(tx, revokedLedger)
	return spent, revoked, err
}

// applyAll sweeps and then applies one change after the other, each of which
// adds one entry at most to what is swept.
func (t *transaction) applyAll(changes []*change) error {
	limit := sweepPerWrite * len(changes)
	if err := t.spent.sweep(t.now, limit); err != nil {
		return err
	}
	if err := t.revoked.sweep(forgettable(t.now), limit); err != nil {
		return err
	}
	written := false
	for _, c := range changes {
		// Nobody waits any more: what is not spent now can be used again.
		if c.refusal = c.ctx.Err(); c.refusal != nil {
			continue
		}
		var err error
		if c.refusal, err = c.apply(t); err != nil {
			return err
		}
		written = written || c.refusal == nil
	}
	if !written {
		return errNothingToWrite // and no fsync for it: replays are cheap to refuse
	}
	return nil
}

func (t *transaction) use(key string, until instant) (refusal, err error) {
	held, err := t.spent.get(key)
	if err != nil {
		return nil, err
	}
	if held.live(t.now) {
		return gateway.ErrUsed, nil
	}
	swept, err := t.spent.swept()
	if err != nil {
		return nil, err
	}
	if refusal := checkUntil(until, t.now, swept); refusal != nil {
		return refusal, nil
	}
	if refusal, err := t.roomFor(held, t.spent, t.capacity); refusal != nil || err != nil {
		return refusal, err
	}
	return nil, t.spent.put(key, held, record{until: until})
}

func (t *transaction) revoke(key string, rev revocation, room int) (refusal, err error) {
	held, err := t.revoked.get(key)
	if err != nil {
		return nil, err
	}
	if held != nil {
		at, _, err := cutInstant(held.value)
		if err != nil {
			return nil, damaged("reading a revocation: %v", err)
		}
		rev = rev.and(revocation{at, held.until})
	}
	if !rev.until.after(forgettable(t.now)) {
		return nil, nil
	}
	if refusal, err := t.roomFor(held, t.revoked, room); refusal != nil || err != nil {
		return refusal, err
	}
	return nil, t.revoked.put(key, held, record{rev.until, rev.at.bytes()})
}

// roomFor makes room for an entry that is new, which it is where nothing is held under its key.
func (t *transaction) roomFor(held *record, l *ledger, room int) (refusal, err error) {
	if held != nil {
		return nil, nil
	}
	ok, err := l.makeRoom(t.now, room)
	if err == nil && !ok {
		refusal = fmt.Errorf("writing an entry: %w", full(l.count()))
	}
	return refusal, err
}
