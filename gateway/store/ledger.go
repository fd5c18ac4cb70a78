package store

import (
	"bytes"
	"hash/maphash"

	bolt "go.etcd.io/bbolt"
)

// A ledger is all entries of one kind in the file, with a room of its own, seen
// through one transaction. It is a bucket with the name of the kind, of which
//
//	entries  is the bucket of key → until, value
//	expiry   is the bucket of until, key → checksum of the entry; the first are the next to go
//	swept    is the latest until of all entries that were deleted, and its checksum
//
// and whose sequence is the number of entries. Versions that knew no checksums wrote
// none, and take no notice of them.
type ledger struct {
	root, entries, expiry *bolt.Bucket
}

var (
	entriesName = []byte("entries")
	expiryName  = []byte("expiry")
	sweptName   = []byte("swept")
)

// A record is what is held under a key. A nil record is that there is none.
type record struct {
	until instant
	value []byte
}

// live says whether there is a record whose time has not passed.
func (r *record) live(now instant) bool { return r != nil && r.until.after(now) }

func createLedger(tx *bolt.Tx, name string) error {
	root, err := tx.CreateBucket([]byte(name))
	if err != nil {
		return err
	}
	if _, err := root.CreateBucket(entriesName); err != nil {
		return err
	}
	if _, err := root.CreateBucket(expiryName); err != nil {
		return err
	}
	return (&ledger{root: root}).setSwept(instant{})
}

func openLedger(tx *bolt.Tx, name string) (*ledger, error) {
	root := tx.Bucket([]byte(name))
	if root == nil {
		return nil, damaged("the bucket %q is missing", name)
	}
	entries, expiry := root.Bucket(entriesName), root.Bucket(expiryName)
	if entries == nil || expiry == nil {
		return nil, damaged("the bucket %q is not whole", name)
	}
	return &ledger{root, entries, expiry}, nil
}

func (l *ledger) count() uint64 { return l.root.Sequence() }

func (l *ledger) swept() (instant, error) {
	v := l.root.Get(sweptName)
	i, sum, err := cutInstant(v)
	if err != nil {
		return instant{}, damaged("reading how far entries were deleted: %v", err)
	}
	if !bears(sum, v[:instantSize]) {
		return instant{}, damaged("how far entries were deleted is not what was written")
	}
	return i, nil
}

func (l *ledger) setSwept(i instant) error {
	return l.root.Put(sweptName, append(i.bytes(), checksum(i.bytes())...))
}

// get returns what is held under key, whether its time has passed or not, or nil.
func (l *ledger) get(key string) (*record, error) {
	v := l.entries.Get([]byte(key))
	if v == nil {
		return nil, nil
	}
	return readRecord(v)
}

// holds says whether anything is held under key.
func (l *ledger) holds(key string) bool { return l.entries.Get([]byte(key)) != nil }

func readRecord(v []byte) (*record, error) {
	until, value, err := cutInstant(v)
	if err != nil {
		return nil, damaged("reading an entry: %v", err)
	}
	return &record{until, value}, nil
}

// put writes r under key in the place of held, which get has returned for it.
func (l *ledger) put(key string, held *record, r record) error {
	if held != nil {
		if err := l.expiry.Delete(append(held.until.bytes(), key...)); err != nil {
			return err
		}
	} else if err := l.root.SetSequence(l.count() + 1); err != nil {
		return err
	}
	entry := append(r.until.bytes(), r.value...)
	if err := l.expiry.Put(append(r.until.bytes(), key...), checksum(entry)); err != nil {
		return err
	}
	return l.entries.Put([]byte(key), entry)
}

// sweep deletes up to limit entries whose time has passed.
func (l *ledger) sweep(now instant, limit int) error { return l.remove(l.expired(now, limit, "")) }

// makeRoom says whether one more entry finds room where there is some for that many. A
// full ledger deletes those whose time passed first: one, or more where it was given
// more room before. It deletes nothing where that would not do.
func (l *ledger) makeRoom(now instant, room int) (ok bool, err error) {
	gone, ok := l.fits(now, room)
	if !ok {
		return false, nil
	}
	return true, l.remove(gone)
}

// fits says whether one more entry finds room once some that have expired are gone.
func (l *ledger) fits(now instant, room int) (gone [][]byte, ok bool) {
	held := int(l.count()) //nolint:gosec // they are on a disk
	if held < room {
		return nil, true
	}
	need := held - room + 1
	gone = l.expired(now, need, "")
	return gone, len(gone) == need
}

// remove deletes the entries of some items of the index, which are in its order.
func (l *ledger) remove(gone [][]byte) error {
	if len(gone) == 0 {
		return nil
	}
	for _, item := range gone {
		if err := l.expiry.Delete(item); err != nil {
			return err
		}
		if err := l.entries.Delete(item[instantSize:]); err != nil {
			return err
		}
	}
	if err := l.root.SetSequence(l.count() - uint64(len(gone))); err != nil {
		return err
	}
	swept, err := l.swept()
	if err != nil {
		return err
	}
	last, _, err := cutInstant(gone[len(gone)-1])
	if err != nil {
		return err
	}
	return l.setSwept(later(swept, last))
}

// expired returns up to limit items of the index, as copies: what a cursor returns
// is not to be relied on once its bucket has been changed. It passes over the one with
// the key that is to be spared.
func (l *ledger) expired(now instant, limit int, spared string) [][]byte {
	var items [][]byte
	c := l.expiry.Cursor()
	for item, _ := c.First(); item != nil && len(items) < limit; item, _ = c.Next() {
		until, _, err := cutInstant(item)
		if err != nil || until.after(now) {
			break
		}
		if string(item[instantSize:]) != spared {
			items = append(items, bytes.Clone(item))
		}
	}
	return items
}

// verify reads all of the ledger and calls visit with every entry. It finds entries
// and items of the index that went missing, and any that are no longer what was written.
func (l *ledger) verify(visit func(key string, r *record) error) error {
	if _, err := l.swept(); err != nil {
		return err
	}
	entries := tally{seed: maphash.MakeSeed()}
	items := tally{seed: entries.seed}
	if err := l.tallyEntries(&entries, visit); err != nil {
		return err
	}
	if err := l.tallyItems(&items); err != nil {
		return damaged("reading the index of expiries: %v", err)
	}
	if entries.items != l.count() || items.items != l.count() {
		return damaged("%d entries and %d in the index of expiries, want %d of each", entries.items, items.items, l.count())
	}
	if entries != items {
		return damaged("the entries are not those in the index of expiries")
	}
	return nil
}

func (l *ledger) tallyEntries(t *tally, visit func(key string, r *record) error) error {
	var item []byte
	return l.entries.ForEach(func(k, v []byte) error {
		r, err := readRecord(v)
		if err != nil {
			return err
		}
		item = append(append(item[:0], v[:instantSize]...), k...)
		t.add(item, checksum(v))
		return visit(string(k), r)
	})
}

func (l *ledger) tallyItems(t *tally) error {
	return l.expiry.ForEach(func(item, sum []byte) error {
		if _, _, err := cutInstant(item); err != nil {
			return err
		}
		if len(sum) == 0 { // of a version without checksums
			sum = checksum(l.entries.Get(item[instantSize:]))
		}
		t.add(item, sum)
		return nil
	})
}
