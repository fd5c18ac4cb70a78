package e2e_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// A spentProof is a store that knows of one assertion that it was used.
type spentProof struct {
	*gateway
	path      string
	content   []byte // of the store, after the gateway was stopped
	session   string
	assertion string
}

// spendOne leaves a gateway that has stopped. Its tokens outlive the slowest test.
func spendOne(t *testing.T) *spentProof {
	t.Helper()
	dir := t.TempDir()
	s := &spentProof{path: filepath.Join(dir, "ledger.db")}
	s.gateway = startGateway(t, config{dir: dir, Store: "store file " + s.path})
	s.session = s.signIn(t, s.issuer.token(t, nil))
	s.assertion = s.issuer.assertion(t, "wallet:export", nil)
	s.export(t).mustPass(t)
	s.stop(t)
	s.content = readFile(t, s.path)
	return s
}

// export presents the assertion.
func (s *spentProof) export(t *testing.T) *answer {
	t.Helper()
	return s.send(t, post(export).bearer(s.session).assertion(s.assertion))
}

// write puts a file in the place of the store.
func (s *spentProof) write(t *testing.T, content []byte) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(s.path), os.WriteFile(s.path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// mustNotStart fails the test unless the gateway refuses to start, as one that has
// understood why, and says it in these words.
func (s *spentProof) mustNotStart(t *testing.T, words ...string) {
	t.Helper()
	p, err := s.tryStart(t)
	if err == nil {
		t.Fatal("it serves")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("it ended with %v, want status 1", p.cmd.ProcessState)
	}
	for _, word := range append(words, s.path) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("it said %v; want %q in it", err, word)
		}
	}
}

// flipped has the bits of one byte turned over.
func flipped(at func(content []byte) int) func([]byte) []byte {
	return func(content []byte) []byte {
		content[at(content)] ^= 0x55
		return content
	}
}

// The power failed, the disk is old, or somebody copied the wrong file. With an empty store in its
// place, or one that is all but whole, every proof that was ever used would be good once more.
func TestDamagedStoreIsNotTakenForAnEmptyOne(t *testing.T) {
	s := spendOne(t)
	pageSize := os.Getpagesize()
	at := func(n int) func([]byte) int { return func([]byte) int { return n } }
	cut := func(n int) func([]byte) []byte { return func(c []byte) []byte { return c[:n] } }
	for name, c := range map[string]struct {
		damage func(content []byte) []byte
		want   string
	}{
		"nothing in it":                 {cut(0), "it has 0 bytes"},
		"text":                          {func([]byte) []byte { return bytes.Repeat([]byte("2026-01-01 a line of a log\n"), 4000) }, "it is no store"},
		"the first bytes alone":         {cut(100), "it has 100 bytes"},
		"the first pages alone":         {cut(4 * pageSize), "cut short"},
		"half of it":                    {cut(len(s.content) / 2), "cut short"},
		"a changed byte in its head":    {flipped(at(16 + 40)), "the first of its two meta pages"},
		"one in its other head":         {flipped(at(pageSize + 16 + 60)), "the second of its two meta pages"},
		"one in both":                   {func(c []byte) []byte { return flipped(at(70))(flipped(at(pageSize + 70))(c)) }, "it is no store"},
		"one in the proof that is used": {flipped(func(c []byte) int { return bytes.LastIndex(c, []byte("assertion:")) + len("assertion:") }), "the entries are not those"},
		"pages of another file":         {func(c []byte) []byte { return append(c[:2*pageSize], bytes.Repeat([]byte{7}, len(c)-2*pageSize)...) }, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := c.damage(bytes.Clone(s.content))
			s.write(t, damaged)
			s.mustNotStart(t, c.want, "the file is damaged", "restore it from a copy, or move it away")
			if !bytes.Equal(readFile(t, s.path), damaged) {
				t.Error("the file has been changed")
			}
		})
	}
	t.Run("a directory", func(t *testing.T) {
		if err := errors.Join(os.Remove(s.path), os.Mkdir(s.path, 0o700)); err != nil {
			t.Fatal(err)
		}
		s.mustNotStart(t, "it is a directory")
	})
	t.Run("a link that leads nowhere", func(t *testing.T) {
		if err := errors.Join(os.RemoveAll(s.path), os.Symlink(s.path+".old", s.path)); err != nil {
			t.Fatal(err)
		}
		s.mustNotStart(t, "no such file")
	})
	t.Run("of a newer version", func(t *testing.T) {
		s.write(t, s.content)
		s.edit(t, func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("caddy-byoa store")).Put([]byte("format"), []byte("2"))
		})
		s.mustNotStart(t, "made by a newer version", "go back to the newer version")
	})
	t.Run("what it was", func(t *testing.T) {
		s.write(t, s.content)
		s.start(t)
		s.export(t).mustRefuse(t, 401, "replayed")
		s.send(t, get(home).bearer(s.session)).mustPass(t)
	})
}

// edit changes the store as another program would, while no gateway runs.
func (s *spentProof) edit(t *testing.T, change func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(s.path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// The way out that the error and README name: an empty store forgets, and new keys see to it that
// there is nothing left to be remembered.
func TestEmptyStoreInThePlaceOfALostOneNeedsNewKeys(t *testing.T) {
	s := spendOne(t)
	external := s.issuer.token(t, nil)
	if err := os.Rename(s.path, s.path+".damaged"); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	s.export(t).mustPass(t) // this is what is lost
	s.stop(t)

	s.issuer.rotate(t)
	if err := errors.Join(os.Remove(s.path), os.Remove(keysIn(filepath.Join(s.config.dir, "data", "caddy")))); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	fresh := s.issuer.token(t, nil)
	s.send(t, get(home).bearer(fresh)).mustPass(t) // and with that the old keys of the login system are gone
	s.export(t).mustRefuse(t, 401, "key_not_found")
	s.send(t, get(home).bearer(external)).mustRefuse(t, 401, "key_not_found")
	s.send(t, post(export).bearer(fresh).assertion(s.assertion)).mustRefuse(t, 401, "key_not_found")
	s.send(t, post(export).bearer(fresh).assertion(s.issuer.assertion(t, "wallet:export", nil))).mustPass(t)
}

// Somebody truncates the file under a gateway that runs. What it knows by heart it goes on
// to answer; what would have to be remembered, it refuses, and it does not fall.
func TestStoreThatIsCutWhileInUse(t *testing.T) {
	s := spendOne(t)
	s.start(t)
	fresh := func() request {
		return post(export).bearer(s.session).assertion(s.issuer.assertion(t, "wallet:export", nil))
	}
	s.send(t, fresh()).mustPass(t)
	revoked := s.signIn(t, s.issuer.token(t, nil))
	s.revoke(t, revoked)
	if err := os.Truncate(s.path, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		a := s.send(t, fresh()).mustRefuse(t, 503, "store_unavailable")
		if a.header.Get("Retry-After") == "" {
			t.Error("there is no Retry-After")
		}
		s.export(t).mustRefuse(t, 503, "store_unavailable")
		s.send(t, get(home).bearer(s.session)).mustPass(t)
		s.send(t, get(home).bearer(revoked)).mustRefuse(t, 401, "session_revoked")
	}
	res, err := http.Get("http://" + s.admin + "/byoa/health")
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("asking how it is: got %s, want 503", res.Status)
	}
	if !s.process.logged(t, `"level":"error"`, s.path, "damaged") {
		t.Error("the log does not say why")
	}
	s.stop(t)
	s.mustNotStart(t, "it has 0 bytes")
	s.write(t, s.content)
	s.start(t)
	s.export(t).mustRefuse(t, 401, "replayed")
	s.send(t, fresh()).mustPass(t)
}
