//go:build unix

package verifier_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// Whoever opens a pipe waits until somebody writes to it, and a device need have no end.
func TestFileThatIsNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "link")
	must(t, syscall.Mkfifo(pipe, 0o600))
	must(t, os.Symlink(pipe, link))
	for _, path := range []string{pipe, link, os.DevNull, dir} {
		keys, err := verifier.NewFileKeySet(verifier.FileConfig{Path: path})
		if err == nil {
			keys.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%s: got error %v, want that it is no regular file", path, err)
		}
	}
}

// A pipe takes the place of the file.
func TestFileThatTurnsIntoAPipe(t *testing.T) {
	key := verifiertest.NewKey(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		f := openKeyFile(t, verifiertest.JWKS(t, key.JWK()))
		must(t, os.Remove(f.path))
		must(t, syscall.Mkfifo(f.path, 0o600))
		settle()
		settle()
		verify(t, newVerifier(t, originIssuer, f.keys), fileToken(key), "")
		f.wantReports(t, "no regular file")
	})
}
