//go:build unix

package caddymodule_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pipe that nobody writes to stands where the keys should: the reload is refused, and the
// old config serves on, and can be left.
func TestKeyFileThatIsAPipe(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	alice := request{path: "/wallets/1", bearer: g.external("alice")}
	g.want(alice, 200, "")
	pipe := filepath.Join(t.TempDir(), "jwks.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	err := g.tryLoad(g.keysBy("jwks_file "+pipe), plainSite)
	if err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("got error %v, want that it is no regular file", err)
	}
	g.want(alice, 200, "")
	g.load(plainEnvironment, plainSite) // the control
	g.want(alice, 200, "")
}

// The same under a gateway that runs: its users do not notice, its operator hears of it, and
// the next config takes over.
func TestKeyFileThatTurnsIntoAPipe(t *testing.T) {
	g := prepare(t)
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, g.issuer.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	g.load(g.keysBy("jwks_file "+file), plainSite)
	alice := request{path: "/wallets/1", bearer: g.external("alice")}
	g.want(alice, 200, "")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	g.waitUntilLogged(g.issuer.URL(), file, "no regular file")
	g.want(alice, 200, "")
	g.load(plainEnvironment, plainSite)
	g.want(alice, 200, "")
}
