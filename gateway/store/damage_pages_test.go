package store_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

// What a page says that it is, in its head.
const (
	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
)

// eachPage calls change with the number and the content of all pages of a kind, those
// that are in use no longer as well.
func eachPage(kind uint16, change func(id int, page []byte)) func(content []byte) {
	return func(content []byte) {
		for id := 2; id < len(content)/pageSize; id++ {
			if page := content[id*pageSize : (id+1)*pageSize]; binary.NativeEndian.Uint16(page[8:]) == kind {
				change(id, page)
			}
		}
	}
}

// pagesInUse are the numbers of all leaves that hold something.
func pagesInUse(t *testing.T, content []byte) (ids []uint64) {
	t.Helper()
	edit(t, content, func(tx *bolt.Tx) error {
		for id := 0; ; id++ {
			info, err := tx.Page(id)
			if err != nil || info == nil {
				return err
			}
			if info.Type == "leaf" {
				ids = append(ids, uint64(info.ID))
			}
		}
	})
	return ids
}

// pagesOf is how many pages a store has. There is room in the file for more.
func pagesOf(t *testing.T, content []byte) (n uint64) {
	t.Helper()
	edit(t, content, func(tx *bolt.Tx) error {
		n = uint64(tx.Size()) / uint64(pageSize)
		return nil
	})
	return n
}

// leadTo has the first entry of each branch lead to a page.
func leadTo(page uint64) func(content []byte) {
	return eachPage(branchPage, func(_ int, p []byte) { binary.NativeEndian.PutUint64(p[24:], page) })
}

// alsoFree has the list of free pages name one more.
func alsoFree(page func(list []byte) uint64) func(content []byte) {
	native := binary.NativeEndian
	return eachPage(freelistPage, func(_ int, p []byte) {
		n := native.Uint16(p[10:])
		native.PutUint64(p[16+8*int(n):], page(p))
		native.PutUint16(p[10:], n+1)
	})
}

// A damage is done to the content of a file, and want is what is said of it.
type damage struct {
	do   func(content []byte)
	want string
}

// wantRefused says that a store is refused after each damage, and that it says how to
// go on. Without the damage it opens.
func wantRefused(t *testing.T, whole []byte, damages map[string]damage) {
	t.Helper()
	for name, d := range damages {
		t.Run(name, func(t *testing.T) {
			content := bytes.Clone(whole)
			d.do(content)
			path := mustWrite(t, content)
			_, err := store.OpenFile(store.FileConfig{Path: path})
			wantError(t, err, path, d.want, "the file is damaged", "restore it from a copy")
			wantRestored(t, path, whole)
		})
	}
}

// TestFilePagesLeadAstray: the pages are all there, and each by itself is what a database
// takes. Then it reads in circles until the process ends, looks in the wrong place for a key
// that was used, or writes over it one day, when the store has long been open.
func TestFilePagesLeadAstray(t *testing.T) {
	whole := usedStore(t)
	inUse, end := pagesInUse(t, whole), pagesOf(t, whole)
	far := uint64(1<<63) / uint64(pageSize) // 1<<51 of 4096 bytes each: where it begins is no int64
	native := binary.NativeEndian
	wantRefused(t, whole, map[string]damage{
		"a branch leads to itself": {eachPage(branchPage, func(id int, p []byte) {
			native.PutUint64(p[24:], uint64(id))
		}), "has two purposes"},
		"two branches lead to one page": {eachPage(branchPage, func(_ int, p []byte) {
			copy(p[40:48], p[24:32])
		}), "has two purposes"},
		"a branch leads to the end":               {leadTo(end), "it leads to page"},
		"a branch leads out of the file":          {leadTo(1 << 40), "it leads to page 1099511627776"},
		"a branch leads to before the file":       {leadTo(far), fmt.Sprint("it leads to page ", far)},
		"a branch leads round to where it begins": {leadTo(2 * far), fmt.Sprint("it leads to page ", 2*far)},
		"a branch leads to fewer pages": {eachPage(branchPage, func(_ int, p []byte) {
			native.PutUint16(p[10:], native.Uint16(p[10:])-1)
		}), "neither in use nor free"},
		"a branch leads nowhere": {eachPage(branchPage, func(_ int, p []byte) {
			native.PutUint16(p[10:], 0)
		}), "leads nowhere"},
		"a page says that it is another": {eachPage(leafPage, func(id int, p []byte) {
			native.PutUint64(p, uint64(id)+1)
		}), "is page"},
		"a page goes on to the end of the file": {eachPage(leafPage, func(_ int, p []byte) {
			native.PutUint32(p[12:], 1<<31)
		}), "it leads to page"},
		"a page in use is said to be free": {alsoFree(func([]byte) uint64 { return inUse[0] }), "has two purposes"},
		"a free page is free twice":        {alsoFree(func(list []byte) uint64 { return native.Uint64(list[16:]) }), "has two purposes"},
		"the list of free pages is free":   {alsoFree(func(list []byte) uint64 { return native.Uint64(list) }), "has two purposes"},
		"a meta page is free":              {alsoFree(func([]byte) uint64 { return 1 }), "has two purposes"},
		"the end is free":                  {alsoFree(func([]byte) uint64 { return end }), "it leads to page"},
		"a free page is said to be in use": {eachPage(freelistPage, func(_ int, p []byte) {
			native.PutUint16(p[10:], native.Uint16(p[10:])-1)
		}), "neither in use nor free"},
		"more free pages than there is memory for": {eachPage(freelistPage, func(_ int, p []byte) {
			native.PutUint16(p[10:], 0xffff)
			native.PutUint64(p[16:], 1<<40)
		}), "list of free pages has 1099511627776"},
		"the list of free pages is something else": {eachPage(freelistPage, func(_ int, p []byte) {
			native.PutUint16(p[8:], leafPage)
		}), "not where it should be"},
	})
}

// TestFileRemainsAreNoMetaPage: what lies between the meta pages may look like one, of a
// database whose pages were of another size. Were it taken for one, the operator would be told
// that most of the store is missing, and put an older one in its place.
func TestFileRemainsAreNoMetaPage(t *testing.T) {
	content := usedStore(t)
	native := binary.NativeEndian
	remains := bytes.Clone(content[:80])
	native.PutUint64(remains[56:], 1<<20) // pages
	native.PutUint64(remains[64:], 1<<20) // commits
	sum := fnv.New64a()
	sum.Write(remains[16:72])
	native.PutUint64(remains[72:], sum.Sum64())
	copy(content[1<<10:], remains)
	if used, err := countUsed(t, mustWrite(t, content)); err != nil || used != keys {
		t.Errorf("opening the file: got %d used keys, %v, want %d", used, err, keys)
	}
	copy(content, remains) // control: in the place of a meta page it counts
	_, err := store.OpenFile(store.FileConfig{Path: mustWrite(t, content)})
	wantError(t, err, "cut short")
}

// withoutChecksums is a store as versions wrote it that knew no checksums.
func withoutChecksums(tx *bolt.Tx) error {
	for _, ledger := range []string{"spent", "revoked", "users", "links"} {
		root := tx.Bucket([]byte(ledger))
		if err := root.Put([]byte("swept"), bytes.Clone(root.Get([]byte("swept"))[:12])); err != nil {
			return err
		}
		expiry := root.Bucket([]byte("expiry"))
		var items [][]byte
		_ = expiry.ForEach(func(item, _ []byte) error { items = append(items, bytes.Clone(item)); return nil })
		for _, item := range items {
			if err := expiry.Put(item, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestFileWithoutChecksums: the file was made by a version that wrote no checksums. What
// was used up in it stays so, and what is missing from it is missed.
func TestFileWithoutChecksums(t *testing.T) {
	old := edit(t, usedStore(t), withoutChecksums)
	path := mustWrite(t, old)
	if used, err := countUsed(t, path); err != nil || used != keys {
		t.Fatalf("opening the file: got %d used keys, %v, want %d", used, err, keys)
	}
	f := mustOpen(t, path)
	if err := use(t, f, "new"); err != nil {
		t.Error(err)
	}
	mustClose(t, f)
	if used, err := countUsed(t, path); err != nil || used != keys {
		t.Errorf("opening the file as it has become: got %d used keys, %v, want %d", used, err, keys)
	}

	for name, change := range map[string]func(tx *bolt.Tx) error{
		"another key":        renameFirst,
		"another revocation": revokeEarlier,
	} {
		_, oldErr := store.OpenFile(store.FileConfig{Path: mustWrite(t, edit(t, old, change))})
		_, err := store.OpenFile(store.FileConfig{Path: mustWrite(t, edit(t, usedStore(t), change))})
		wantError(t, err, "are not those in the index")
		if name == "another key" {
			wantError(t, oldErr, "are not those in the index")
		} else if oldErr != nil {
			t.Errorf("%s, without checksums: got %v, want none, for nothing says so", name, oldErr)
		}
	}
}

// renameFirst has the first used key be another one, and tells the index nothing.
func renameFirst(tx *bolt.Tx) error {
	b := tx.Bucket([]byte("spent")).Bucket([]byte("entries"))
	k, v := b.Cursor().First()
	k, v = bytes.Clone(k), bytes.Clone(v)
	if err := b.Delete(k); err != nil {
		return err
	}
	k[0]++
	return b.Put(k, v)
}

// revokeEarlier has the session end an age before it did.
func revokeEarlier(tx *bolt.Tx) error {
	b := tx.Bucket([]byte("revoked")).Bucket([]byte("entries"))
	held := bytes.Clone(b.Get([]byte("session")))
	held[12+4]--
	return b.Put([]byte("session"), held)
}
