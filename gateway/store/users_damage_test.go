package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

// linkedStore is the content of a file in which alice has linked an identity, and bob none.
func linkedStore(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	f, err := store.OpenFile(store.FileConfig{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Link(t.Context(), newLink("alice", "alice", "work")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Visit(t.Context(), identity("bob"), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// heldUser changes what is held for a user as only another program would.
func heldUser(id string, change func(held []byte) []byte) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("users")).Bucket([]byte("entries"))
		return b.Put([]byte(id), change(bytes.Clone(b.Get([]byte(id)))))
	}
}

// removeEntry removes an entry of a ledger so that the ledger itself is whole.
func removeEntry(ledger, key string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		root := tx.Bucket([]byte(ledger))
		held := root.Bucket([]byte("entries")).Get([]byte(key))
		if err := root.Bucket([]byte("expiry")).Delete(append(bytes.Clone(held[:12]), key...)); err != nil {
			return err
		}
		if err := root.Bucket([]byte("entries")).Delete([]byte(key)); err != nil {
			return err
		}
		return root.SetSequence(root.Sequence() - 1)
	}
}

// entryOf is what is held under a key of a ledger.
func entryOf(tx *bolt.Tx, ledger, key string) []byte {
	return bytes.Clone(tx.Bucket([]byte(ledger)).Bucket([]byte("entries")).Get([]byte(key)))
}

// addEntry adds an entry to a ledger so that the ledger itself is whole.
func addEntry(tx *bolt.Tx, ledger, key string, held []byte) error {
	root := tx.Bucket([]byte(ledger))
	if err := root.Bucket([]byte("expiry")).Put(append(bytes.Clone(held[:12]), key...), nil); err != nil {
		return err
	}
	if err := root.Bucket([]byte("entries")).Put([]byte(key), held); err != nil {
		return err
	}
	return root.SetSequence(root.Sequence() + 1)
}

// rename puts an entry of a ledger under another key.
func rename(ledger, key, other string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		held := entryOf(tx, ledger, key)
		if err := removeEntry(ledger, key)(tx); err != nil {
			return err
		}
		return addEntry(tx, ledger, other, held)
	}
}

// addLink links an identity to alice, and does not tell her.
func addLink(identity string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error { return addEntry(tx, "links", identity, entryOf(tx, "links", "work")) }
}

// give has a user hold an identity as a linked one, and links nothing.
func give(user, identity string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		held := entryOf(tx, "users", user)
		if err := removeEntry("users", user)(tx); err != nil {
			return err
		}
		copy(held, entryOf(tx, "links", "work")[:12]) // for good
		held = append(append(held, 0, byte(len(identity))), identity...)
		return addEntry(tx, "users", user, append(held, 0, 0, 0, 0)) // of no issuer and no subject
	}
}

// linkUser links a user to another one.
func linkUser(user, joins string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		if err := give(user, joins)(tx); err != nil {
			return err
		}
		return addLink(joins)(tx)
	}
}

// TestFileDirectoryDamaged: users and links are not what they were. A link that is lost
// makes somebody another user; one that leads elsewhere, somebody else's.
func TestFileDirectoryDamaged(t *testing.T) {
	whole := linkedStore(t)
	for name, c := range map[string]struct {
		change func(tx *bolt.Tx) error
		want   string
	}{
		"no users":              {func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("users")) }, `"users" is missing`},
		"no links":              {func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("links")) }, `"links" is missing`},
		"a link went":           {removeEntry("links", "work"), "1 linked identities, and 0 are linked"},
		"a user went":           {removeEntry("users", "alice"), "a user who does not have it"},
		"a link moved":          {rename("links", "work", "home"), "a user who does not have it"},
		"a link is another's":   {func(tx *bolt.Tx) error { return relink(tx, "bob") }, "a user who does not have it"},
		"a link leads nowhere":  {func(tx *bolt.Tx) error { return relink(tx, "") }, "a user who does not have it"},
		"a user has moved":      {rename("users", "bob", "carol"), "is not the first"},
		"a linked user":         {rename("users", "bob", "work"), "reading a user"},
		"a user without any":    {heldUser("bob", func(h []byte) []byte { return h[:36] }), "is not the first"},
		"a user of no use":      {heldUser("bob", func(h []byte) []byte { return h[:20] }), "reading a user"},
		"a user cut short":      {heldUser("bob", func(h []byte) []byte { return h[:len(h)-1] }), "reading a user"},
		"more than a user":      {heldUser("bob", func(h []byte) []byte { return append(h, 0) }), "has no length"},
		"an ID of no length":    {heldUser("bob", func(h []byte) []byte { return append(h, 0, 0, 0, 0, 0, 0) }), "0 bytes, want 1 to 512"},
		"a user with the link":  {heldUser("bob", func(h []byte) []byte { return append(h, 0, 4, 'w', 'o', 'r', 'k', 0, 0, 0, 0) }), "does not fit"},
		"a linked user, whole":  {addLink("bob"), "a user who does not have it"},
		"two with one link":     {give("bob", "work"), "two users have one linked identity"},
		"one link twice":        {give("alice", "work"), "or one has it twice"},
		"a link of a user":      {linkUser("alice", "bob"), "is a user of its own"},
		"a link not taken up":   {give("bob", "home"), "2 linked identities, and 1 are linked"},
		"visits turned round":   {heldUser("bob", func(h []byte) []byte { h[18]++; return h }), "before the first"},
		"another last visit":    {heldUser("bob", func(h []byte) []byte { h[30]++; return h }), "does not fit"},
		"too many nanoseconds":  {heldUser("bob", func(h []byte) []byte { h[20] = 0xff; return h }), "nanoseconds"},
		"an entry alone went":   {func(tx *bolt.Tx) error { return deleteFirstOf(tx, "links", "entries") }, "0 entries"},
		"an index item went":    {func(tx *bolt.Tx) error { return deleteFirstOf(tx, "users", "expiry") }, "1 in the index"},
		"nothing, to be opened": {func(*bolt.Tx) error { return nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			content := edit(t, whole, c.change)
			path := mustWrite(t, content)
			f, err := store.OpenFile(store.FileConfig{Path: path})
			if c.want == "" && err == nil {
				wantOwner(t, f, "work", "alice")
				mustClose(t, f)
				return
			}
			wantError(t, err, path, c.want)
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
				t.Errorf("reading the file afterwards: it has changed (%v)", err)
			}
		})
	}
}

// relink has the link lead to another user.
func relink(tx *bolt.Tx, user string) error {
	b := tx.Bucket([]byte("links")).Bucket([]byte("entries"))
	held := bytes.Clone(b.Get([]byte("work")))
	return b.Put([]byte("work"), append(held[:12], user...))
}

func deleteFirstOf(tx *bolt.Tx, ledger, bucket string) error {
	b := tx.Bucket([]byte(ledger)).Bucket([]byte(bucket))
	k, _ := b.Cursor().First()
	return b.Delete(k)
}

// TestFileOfOldVersion: the file was made by a version that knew no users. What was used
// up in it stays so, and users can be written to it.
func TestFileOfOldVersion(t *testing.T) {
	old := edit(t, usedStore(t), func(tx *bolt.Tx) error {
		if err := tx.DeleteBucket([]byte("users")); err != nil {
			return err
		}
		return tx.DeleteBucket([]byte("links"))
	})
	path := mustWrite(t, old)
	f := mustOpen(t, path)
	wantIdentities(t, f, userID(0))
	for i := range users {
		mustLink(t, f, userID(i), userID(i), linkedID(i))
	}
	mustClose(t, f)
	if used, err := countUsed(t, path); err != nil || used != keys {
		t.Errorf("opening the file as it has become: got %d used keys, %v, want %d", used, err, keys)
	}

	broken := edit(t, old, deleteFirst("entries"))
	path = mustWrite(t, broken)
	_, err := store.OpenFile(store.FileConfig{Path: path})
	wantError(t, err, path, "199 entries")
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, broken) {
		t.Errorf("reading a damaged file afterwards: it has changed (%v)", err)
	}
}

// FuzzAccount: whatever is read as a user is what would be written for that user.
func FuzzAccount(f *testing.F) {
	path := filepath.Join(f.TempDir(), "store")
	if err := os.WriteFile(path, linkedStore(f), 0o600); err != nil {
		f.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		f.Fatal(err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("users")).Bucket([]byte("entries")).ForEach(func(k, v []byte) error {
			held := bytes.Clone(v)
			if again, err := store.RecodeAccount(string(k), held); err != nil || !bytes.Equal(again, held) {
				f.Errorf("encoding a user again: got %x, %v, want %x", again, err, held)
			}
			f.Add(string(k), held)
			f.Add(string(k), held[:len(held)-1])
			return nil
		})
	})
	if err != nil {
		f.Fatal(err)
	}
	if err := db.Close(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id string, held []byte) {
		again, err := store.RecodeAccount(id, held)
		if err == nil && !bytes.Equal(again, held) {
			t.Errorf("reading %x and encoding it again: got %x", held, again)
		}
	})
}
