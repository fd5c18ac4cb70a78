package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

const (
	damageKey = "key-%03d-of-some-length-to-fill-the-pages-of-the-file"
	keys      = 200
	users     = 100
)

func userID(i int) string   { return fmt.Sprintf("user-%03d", i) }
func linkedID(i int) string { return fmt.Sprintf("linked-%03d", i) }

var (
	pageSize = os.Getpagesize() // bbolt takes it over
	revoked  = time.Unix(1_700_000_000, 123_456_789)
)

// usedStore is the content of a file in which keys were used and one was revoked.
func usedStore(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	f := mustOpen(t, path)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			if err := use(t, f, fmt.Sprintf(damageKey, i)); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range users {
		wg.Go(func() { mustLink(t, f, userID(i), userID(i), linkedID(i)) })
	}
	wg.Wait()
	if err := f.Revoke(t.Context(), gateway.Revocation{Key: "session", At: revoked, Until: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, f)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func mustWrite(t *testing.T, content []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// edit changes a store as only another program would.
func edit(t *testing.T, content []byte, change func(tx *bolt.Tx) error) []byte {
	t.Helper()
	path := mustWrite(t, content)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
	content, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func setFormat(format string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("caddy-byoa store")).Put([]byte("format"), []byte(format))
	}
}

// TestFileDamaged: the file is not what it was. An empty store in its place would
// accept again all that was ever used up.
func TestFileDamaged(t *testing.T) {
	whole := usedStore(t)
	noMeta := bytes.Clone(whole)
	clear(noMeta[:2*pageSize])
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":              {nil, "it has 0 bytes"},
		"a few bytes":        {whole[:100], "it has 100 bytes"},
		"half":               {whole[:len(whole)/2], "cut short"},
		"the meta pages":     {whole[:4*pageSize], "cut short"},
		"zeros":              {make([]byte, len(whole)), "it is no store"},
		"no meta pages":      {noMeta, "it is no store"},
		"text":               {bytes.Repeat([]byte("log line\n"), 10_000), "it is no store"},
		"another database":   {edit(t, nil, func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("x")); return err }), "a database, but no store"},
		"a format of later":  {edit(t, whole, setFormat("2")), "newer version"},
		"no format":          {edit(t, whole, setFormat("")), "format"},
		"no ledger":          {edit(t, whole, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("spent")) }), "is missing"},
		"no index":           {edit(t, whole, func(tx *bolt.Tx) error { return tx.Bucket([]byte("spent")).DeleteBucket([]byte("expiry")) }), "not whole"},
		"an entry went":      {edit(t, whole, deleteFirst("entries")), "199 entries"},
		"an index item went": {edit(t, whole, deleteFirst("expiry")), "199 in the index"},
		"an entry of no use": {edit(t, whole, breakEntry), "reading an entry"},
		"one of 16 MiB":      {edit(t, whole, putSixteenMiB), "goes on for"},
	} {
		t.Run(name, func(t *testing.T) {
			path := mustWrite(t, c.content)
			for range 2 { // a second try must not find a file that the first has made
				_, err := store.OpenFile(store.FileConfig{Path: path})
				wantError(t, err, path, c.want)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, c.content) {
				t.Errorf("reading the file afterwards: it has changed (%v)", err)
			}
		})
	}
	if used, err := countUsed(t, mustWrite(t, whole)); err != nil || used != keys {
		t.Errorf("opening the file as it was: got %d used keys, %v, want %d", used, err, keys)
	}
}

func deleteFirst(bucket string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("spent")).Bucket([]byte(bucket))
		k, _ := b.Cursor().First()
		return b.Delete(k)
	}
}

func breakEntry(tx *bolt.Tx) error {
	b := tx.Bucket([]byte("spent")).Bucket([]byte("entries"))
	k, _ := b.Cursor().First()
	return b.Put(k, []byte("soon"))
}

// putSixteenMiB is what no version has written, and nobody is to find the memory for.
func putSixteenMiB(tx *bolt.Tx) error {
	return tx.Bucket([]byte("caddy-byoa store")).Put([]byte("probe"), make([]byte, 16<<20))
}

// countUsed opens the store at path and counts the keys that cannot be used again.
func countUsed(t *testing.T, path string) (used int, err error) {
	t.Helper()
	f, err := store.OpenFile(store.FileConfig{Path: path})
	if err != nil {
		return 0, err
	}
	defer mustClose(t, f)
	if at, err := f.RevokedAt("session"); err != nil || !at.Equal(revoked) {
		t.Errorf("asking for the revocation: got %v, %v, want %v", at, err, revoked)
	}
	for i := range users {
		wantOwner(t, f, linkedID(i), userID(i))
		wantIdentities(t, f, userID(i), userID(i), linkedID(i))
	}
	for i := range keys {
		if errors.Is(use(t, f, fmt.Sprintf(damageKey, i)), gateway.ErrUsed) {
			used++
		}
	}
	return used, nil
}

// TestFilePageDamaged: a disk loses one page. Wherever that is, the store is
// refused, or the page held nothing: it never opens with fewer used keys.
func TestFilePageDamaged(t *testing.T) {
	whole := usedStore(t)
	refused := 0
	for page := 2; page < len(whole)/pageSize; page++ {
		for name, damage := range map[string]func(page []byte){
			"zeros":        func(p []byte) { clear(p) },
			"ones":         func(p []byte) { copy(p, bytes.Repeat([]byte{0xff}, pageSize)) },
			"another page": func(p []byte) { copy(p, whole[3*pageSize:4*pageSize]) },
			"no entries":   func(p []byte) { binary.NativeEndian.PutUint16(p[10:], 0) },
		} {
			content := bytes.Clone(whole)
			damage(content[page*pageSize : (page+1)*pageSize])
			path := mustWrite(t, content)
			used, err := countUsed(t, path)
			if err != nil {
				refused++
				wantRestored(t, path, whole)
			} else if used != keys {
				t.Errorf("opening with %s for page %d: got %d used keys, want an error or %d", name, page, used, keys)
			}
		}
	}
	if refused == 0 {
		t.Error("opening with one page damaged: it was never refused")
	}
}

// wantRestored says that the store at path was let go of when it was refused, so
// that this process can open it once the file is restored.
func wantRestored(t *testing.T, path string, whole []byte) {
	t.Helper()
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if used, err := countUsed(t, path); err != nil || used != keys {
		t.Errorf("opening the restored file: got %d used keys, %v, want %d", used, err, keys)
	}
}

// TestFileMetaDamaged: a database needs one of its two meta pages, and with the other one
// it is what it was a commit ago, before somebody used something up.
func TestFileMetaDamaged(t *testing.T) {
	whole := usedStore(t)
	for page, which := range []string{"the first of its two meta pages", "the second of its two meta pages"} {
		content := bytes.Clone(whole)
		clear(content[page*pageSize : (page+1)*pageSize])
		path := mustWrite(t, content)
		_, err := store.OpenFile(store.FileConfig{Path: path})
		wantError(t, err, path, which, "damaged")
		wantRestored(t, path, whole)
		_, err = store.OpenFile(store.FileConfig{Path: mustWrite(t, content[:len(content)/2])})
		wantError(t, err, "cut short")
	}
}

// TestFileCutBeforeRead: the database may hold its locks for ever when it was read. No
// request may wait for them, and neither may the end of the process.
func TestFileCutBeforeRead(t *testing.T) {
	path := mustWrite(t, usedStore(t))
	f := mustOpen(t, path)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := f.User(t.Context(), userID(0))
		wantError(t, err, path, "panicked")
		wantError(t, use(t, f, "new"), path, "panicked")
	}
	wantOwner(t, f, linkedID(0), userID(0))
	mustClose(t, f)
}

// TestFileCutWhileOpen: reading past the end of a file that is mapped into memory
// kills the process, unless it is prepared for that.
func TestFileCutWhileOpen(t *testing.T) {
	path := mustWrite(t, usedStore(t))
	f := mustOpen(t, path)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		wantError(t, use(t, f, fmt.Sprint("new-", i)), path, "panicked")
		wantError(t, f.Probe(t.Context()), path, "panicked")
		_, err := f.User(t.Context(), userID(0))
		wantError(t, err, path, "panicked")
		_, err = f.Visit(t.Context(), identity(userID(0)), time.Now())
		wantError(t, err, path, "panicked")
	}
	wantOwner(t, f, linkedID(0), userID(0))
	if at, err := f.RevokedAt("session"); err != nil || at.IsZero() {
		t.Errorf("asking for a revocation: got %v, %v, want what is known", at, err)
	}
	mustClose(t, f)
}
