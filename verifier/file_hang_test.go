package verifier_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// A mount is a file system that hangs while it is down, as a network file system does.
type mount struct {
	down  atomic.Pointer[chan struct{}] // closed when it is back; nil: it answers
	reads atomic.Int32
}

func (m *mount) read(path string) ([]byte, error) {
	m.reads.Add(1)
	if back := m.down.Load(); back != nil {
		<-*back
	}
	return os.ReadFile(path)
}

// goDown has it hang until back is called.
func (m *mount) goDown() (back func()) {
	until := make(chan struct{})
	m.down.Store(&until)
	return func() { m.down.Store(nil); close(until) }
}

// The mount goes away under a gateway that runs. Its users do not notice, its operator is
// told once, and one read waits for the mount, not one for each look.
func TestFileOnAFileSystemThatHangs(t *testing.T) {
	old, young := verifiertest.NewKey(t, "ES256"), verifiertest.NewKey(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		m, f := &mount{}, &keyFile{path: filepath.Join(t.TempDir(), "jwks.json")}
		write(t, f.path, verifiertest.JWKS(t, old.JWK()))
		f.openReading(t, m.read)
		v := newVerifier(t, originIssuer, f.keys)
		good := time.Now()

		back := m.goDown()
		before := m.reads.Load()
		time.Sleep(time.Minute)
		synctest.Wait()
		verify(t, v, fileToken(old), "")
		f.wantReports(t, "cannot be read within 5s")
		if got := f.keys.Status(); got.Err == nil || !strings.Contains(got.Err.Error(), f.path) || !got.Fetched.Equal(good) || got.Age != time.Minute {
			t.Errorf("got status %+v, want the error, and that the file was last seen a minute ago", got)
		}
		if got := m.reads.Load() - before; got != 1 {
			t.Errorf("%d reads wait for the file system, want 1", got)
		}

		write(t, f.path, verifiertest.JWKS(t, young.JWK()))
		back()
		settle()
		verify(t, v, fileToken(young), "")
		f.wantReports(t, "cannot be read within 5s", "ok")
		if got := f.keys.Status(); got.Err != nil {
			t.Errorf("got status %+v, want no error", got)
		}
	})
}

// A reload, and the end of the process, wait for no file system, whether the look has been
// given up or is under way.
func TestFileCloseDoesNotWaitForTheFileSystem(t *testing.T) {
	key := verifiertest.NewKey(t, "ES256")
	for _, after := range []time.Duration{11 * time.Second, 16 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			m, f := &mount{}, &keyFile{path: filepath.Join(t.TempDir(), "jwks.json")}
			write(t, f.path, verifiertest.JWKS(t, key.JWK()))
			f.openReading(t, m.read)
			back := m.goDown()
			time.Sleep(after)
			synctest.Wait()
			told := len(f.reports)
			begun := time.Now()
			f.keys.Close()
			if took := time.Since(begun); took != 0 {
				t.Errorf("closed after %s, want at once", took)
			}
			write(t, f.path, verifiertest.JWKS(t, verifiertest.NewKey(t, "ES256").JWK()))
			back()
			synctest.Wait()
			verify(t, newVerifier(t, originIssuer, f.keys), fileToken(key), "")
			if len(f.reports) != told {
				t.Errorf("reported %q after the end", f.reports[told:])
			}
		})
	}
}

// A config that names such a file is refused, in time.
func TestFileOnAFileSystemThatHangsAtFirst(t *testing.T) {
	key := verifiertest.NewKey(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		m, path := &mount{}, filepath.Join(t.TempDir(), "jwks.json")
		write(t, path, verifiertest.JWKS(t, key.JWK()))
		back := m.goDown()
		begun := time.Now()
		_, err := verifier.NewFileKeySetReading(verifier.FileConfig{Path: path, Timeout: 3 * time.Second}, m.read)
		if err == nil || !strings.Contains(err.Error(), "cannot be read within 3s") {
			t.Errorf("got error %v, want that it cannot be read", err)
		}
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("waited %s, want the 3s of Timeout", took)
		}
		back()
		(&keyFile{path: path}).openReading(t, m.read) // the control
	})
}
