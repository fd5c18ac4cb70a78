package caddymodule_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Without a place for signing keys there would be tokens that nobody can verify after a restart.
func TestStorageThatCannotBeWrittenRefusesTheConfig(t *testing.T) {
	g := prepare(t)
	blocked := filepath.Join(g.storage(), "storage")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := g.tryLoad(plainEnvironment, plainSite)
	if err == nil || !strings.Contains(err.Error(), "environment default") || !strings.Contains(err.Error(), blocked) {
		t.Fatalf("error %v, want one that names the environment and the path", err)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	g.load(plainEnvironment, plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
}

// What was remembered under an old config is not believed under a stricter one.
func TestStricterConfigForgetsWhatWasVerified(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	alice := g.external("alice")
	g.want(request{path: "/wallets/1", bearer: alice}, 200, "")
	g.load(strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\n\t\t\talgorithms EdDSA", 1), plainSite)
	g.want(request{path: "/wallets/1", bearer: alice}, 401, "algorithm_not_allowed")
}

// What was used and revoked stays so through a reload, and one that is refused changes nothing.
func TestReload(t *testing.T) {
	g := start(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	r := request{method: "POST", path: "/wallets/1/export", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")}
	g.want(r, 200, "")
	g.load(plainEnvironment, plainSite+"\n\theader X-Config two")
	got := g.want(r, 403, "elevated_used")
	if got.header.Get("X-Config") != "two" {
		t.Error("the new config does not run")
	}
	if err := g.tryLoad(strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\n\t\t\tscope \"not a scope\"", 1), plainSite); err == nil {
		t.Fatal("a broken config was taken")
	}
	g.want(r, 403, "elevated_used")
	g.want(request{path: "/wallets/1", bearer: session}, 200, "")
}
