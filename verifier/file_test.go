package verifier_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// A keyFile is a FileKeySet on a file of a test, in a bubble of its own time.
type keyFile struct {
	path    string
	keys    *verifier.FileKeySet
	reports []string // error texts, or "ok"
}

func openKeyFile(t *testing.T, content []byte) *keyFile {
	t.Helper()
	f := &keyFile{path: filepath.Join(t.TempDir(), "jwks.json")}
	write(t, f.path, content)
	f.open(t)
	return f
}

func (f *keyFile) open(t *testing.T) {
	t.Helper()
	keys, err := verifier.NewFileKeySet(f.config())
	f.opened(t, keys, err)
}

// openReading opens the file on a file system of the test.
func (f *keyFile) openReading(t *testing.T, read func(path string) ([]byte, error)) {
	t.Helper()
	keys, err := verifier.NewFileKeySetReading(f.config(), read)
	f.opened(t, keys, err)
}

func (f *keyFile) opened(t *testing.T, keys *verifier.FileKeySet, err error) {
	t.Helper()
	must(t, err)
	f.keys = keys
	t.Cleanup(keys.Close)
}

func (f *keyFile) config() verifier.FileConfig {
	return verifier.FileConfig{Path: f.path, Refreshed: func(_ int, err error) {
		report := "ok"
		if err != nil {
			report = err.Error()
		}
		f.reports = append(f.reports, report)
	}}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// settle lets the set look at its file.
func settle() {
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

func (f *keyFile) wantReports(t *testing.T, mentions ...string) {
	t.Helper()
	if len(f.reports) != len(mentions) {
		t.Fatalf("got reports %q, want %d", f.reports, len(mentions))
	}
	for i, mention := range mentions {
		if !strings.Contains(f.reports[i], mention) {
			t.Errorf("report %d is %q, want one that mentions %q", i, f.reports[i], mention)
		}
	}
}

// fileToken returns a token by key that is good while the tests run.
func fileToken(key *verifiertest.Key) string {
	return key.Token(nil, map[string]any{"iss": originIssuer, "sub": "user-1", "exp": 20_000_000_000})
}

func TestFileIsReadAgainWhenItChanges(t *testing.T) {
	old, young := verifiertest.NewKey(t, "ES256"), verifiertest.NewKey(t, "ES256")
	for _, c := range []struct {
		name   string
		change func(t *testing.T, path string, jwks []byte)
	}{
		{"rewritten", write},
		{"renamed over", func(t *testing.T, path string, jwks []byte) {
			write(t, path+".new", jwks)
			must(t, os.Rename(path+".new", path))
		}},
		{"same size and time", func(t *testing.T, path string, jwks []byte) {
			info, err := os.Stat(path)
			must(t, err)
			if int64(len(jwks)) != info.Size() {
				t.Fatal("the sets differ in size")
			}
			write(t, path, jwks)
			must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := openKeyFile(t, verifiertest.JWKS(t, old.JWK()))
				v := newVerifier(t, originIssuer, f.keys)
				claims, err := v.Verify(t.Context(), fileToken(old))
				wantCode(t, err, "")
				verify(t, v, fileToken(young), verifier.CodeKeyNotFound)

				c.change(t, f.path, verifiertest.JWKS(t, young.JWK()))
				settle()
				verify(t, v, fileToken(young), "")
				verify(t, v, fileToken(old), verifier.CodeKeyNotFound)
				if f.keys.Holds(claims.Key) {
					t.Error("the set still holds the removed key")
				}
				settle()
				f.wantReports(t, "ok")
			})
		})
	}
}

// Kubernetes swaps a symbolic link that the path goes through.
func TestFileBehindASwappedLink(t *testing.T) {
	old, young := verifiertest.NewKey(t, "ES256"), verifiertest.NewKey(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for name, key := range map[string]*verifiertest.Key{"v1": old, "v2": young} {
			must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
			write(t, filepath.Join(dir, name, "jwks.json"), verifiertest.JWKS(t, key.JWK()))
		}
		must(t, os.Symlink("v1", filepath.Join(dir, "data")))
		f := &keyFile{path: filepath.Join(dir, "data", "jwks.json")}
		f.open(t)
		v := newVerifier(t, originIssuer, f.keys)
		verify(t, v, fileToken(old), "")

		must(t, os.Symlink("v2", filepath.Join(dir, "data.new")))
		must(t, os.Rename(filepath.Join(dir, "data.new"), filepath.Join(dir, "data")))
		settle()
		verify(t, v, fileToken(young), "")
	})
}

// Somebody saves half a file. The good set serves on, and the fault is reported once.
func TestFileThatTurnsBadKeepsTheLastGoodSet(t *testing.T) {
	key := verifiertest.NewKey(t, "ES256")
	jwks := verifiertest.JWKS(t, key.JWK())
	synctest.Test(t, func(t *testing.T) {
		f := openKeyFile(t, jwks)
		v := newVerifier(t, originIssuer, f.keys)
		for _, bad := range [][]byte{jwks[:len(jwks)/2], []byte(`{"keys":[]}`), make([]byte, 1<<20+1), nil} {
			write(t, f.path, bad)
			settle()
			settle()
			verify(t, v, fileToken(key), "")
		}
		must(t, os.Remove(f.path))
		settle()
		settle()
		verify(t, v, fileToken(key), "")
		write(t, f.path, jwks)
		settle()
		f.wantReports(t, "not a JSON object", "no keys", "larger than 1 MiB", "not a JSON object", "no such file", "ok")
	})
}

// What health and metrics say of a file: how long ago it was last seen to hold the set.
func TestFileStatus(t *testing.T) {
	key := verifiertest.NewKey(t, "ES256")
	jwks := verifiertest.JWKS(t, key.JWK(), verifiertest.NewKey(t, "EdDSA").JWK())
	synctest.Test(t, func(t *testing.T) {
		f := openKeyFile(t, jwks)
		opened := time.Now()
		want := func(fetched time.Time, mention string) {
			t.Helper()
			got := f.keys.Status()
			now := time.Now()
			if got.Keys != 2 || !got.Fetched.Equal(fetched) || got.Age != now.Sub(fetched) || !got.Next.After(now) || got.Next.Sub(now) > 10*time.Second {
				t.Errorf("got status %+v, want two keys, fetched %s, and the next look within 10s", got, fetched)
			}
			if (mention == "") != (got.Err == nil) || got.Err != nil && !strings.Contains(got.Err.Error(), mention) {
				t.Errorf("got error %v, want %q", got.Err, mention)
			}
		}
		want(opened, "")
		settle()
		good := time.Now()
		want(good, "")
		write(t, f.path, jwks[:len(jwks)/2])
		settle()
		settle()
		want(good, "not a JSON object")
		write(t, f.path, jwks)
		settle()
		want(time.Now(), "")
	})
}

// A gateway must not start with no keys and hope.
func TestFileThatIsBadAtFirst(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.json")
	write(t, empty, []byte(`{"keys":[]}`))
	for _, path := range []string{empty, filepath.Join(dir, "missing.json"), dir, ""} {
		keys, err := verifier.NewFileKeySet(verifier.FileConfig{Path: path})
		if err == nil {
			keys.Close()
			t.Errorf("%q was taken for a key set", path)
		}
	}
}

func TestFileClose(t *testing.T) {
	key := verifiertest.NewKey(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		f := openKeyFile(t, verifiertest.JWKS(t, key.JWK()))
		f.keys.Close()
		f.keys.Close() // twice is once
		write(t, f.path, nil)
		settle()
		verify(t, newVerifier(t, originIssuer, f.keys), fileToken(key), "")
		f.wantReports(t)
	})
}
