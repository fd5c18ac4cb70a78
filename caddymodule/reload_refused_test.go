package caddymodule_test

import (
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// refusal is a config with a second environment and a second site, in which one thing is wrong.
type refusal struct {
	name        string
	store       string // of the second environment
	address     string // of the second site
	environment string // that the second site names
	edit        func(config map[string]any)
	want        string // part of the error; empty: there is none
}

// A config that is refused must be as if it had never been, however far it had got.
func TestRefusedConfigLeavesTheRunningOneAlone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, c := range []refusal{
		{name: "an environment that does not exist", environment: "third", want: `unknown environment "third"`},
		{name: "a store that cannot be opened", store: "/dev/null/store.db", want: "/dev/null/store.db"},
		{name: "an app that cannot start", address: taken.Addr().String(), want: "address already in use"},
		{name: "a remote admin endpoint that has no identity", edit: remoteAdmin, want: "remote admin"},
		{name: "nothing wrong with it"},
	} {
		t.Run(c.name, c.run)
	}
}

// remoteAdmin is refused when all apps have started: Caddy sees to the rest of a config
// last, and does not stop the apps again where it fails.
func remoteAdmin(config map[string]any) {
	config["admin"].(map[string]any)["remote"] = map[string]any{"listen": "127.0.0.1:0"}
}

func (c refusal) run(t *testing.T) {
	g := start(t, plainEnvironment, "header X-Config one\n\t"+plainSite)
	session := g.signIn("alice")
	used := request{method: "POST", path: "/wallets/1/export", bearer: session, elevated: g.elevate(session, "alice", "wallet:export")}
	g.want(used, 200, "")
	held, inForce := caddymodule.PoolReferences(), caddymodule.EnvironmentsInForce()

	environments := g.secondEnvironment(c.store)
	for range 8 { // Caddy starts the apps of a config in no fixed order
		err := g.loadElsewhere(environments, c)
		if c.want == "" {
			c.wantAccepted(t, err)
			return
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Fatalf("error %v, want one that says %q", err, c.want)
		}
		if got := caddymodule.EnvironmentsInForce(); !slices.Equal(got, inForce) {
			t.Fatalf("in force are %q, want %q as before", got, inForce)
		}
		if got := g.want(used, 403, "elevated_used").header.Get("X-Config"); got != "one" {
			t.Fatalf("config %q answers, want the one that was not refused", got)
		}
		g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	}
	pollUntil(t, "the refused configs have let go of everything", func() bool {
		return maps.Equal(caddymodule.PoolReferences(), held)
	})
}

func (c refusal) wantAccepted(t *testing.T, err error) {
	t.Helper()
	if got := caddymodule.EnvironmentsInForce(); err != nil || !slices.Equal(got, []string{"default", "second"}) {
		t.Fatalf("error %v and %q in force, want none and both environments", err, got)
	}
}

// secondEnvironment is the usual one and a second one, with a store of its own.
func (g *running) secondEnvironment(store string) string {
	if store == "" {
		store = filepath.Join(g.storage(), "second.db")
	}
	return plainEnvironment + `
		environment second {
			issuer https://second.example.com
			jwks_file ` + writeJWKS(g.t, verifiertest.NewIssuer(g.t)) + `
			store file ` + store + `
		}`
}

// loadElsewhere tries the config with its first site at another address: where a config
// is refused, its servers may have begun to listen, and take a moment to end.
func (g *running) loadElsewhere(environments string, c refusal) error {
	g.t.Helper()
	address, sites := g.address, g.sites
	defer func() { g.address, g.sites, g.edit = address, sites, nil }()
	g.edit = c.edit
	if c.address == "" {
		c.address = freeport.Address(g.t)
	}
	if c.environment == "" {
		c.environment = "second"
	}
	g.address = freeport.Address(g.t)
	g.sites = "http://" + c.address + " {\n byoa " + c.environment + "\n reverse_proxy {{upstream}}\n}"
	return g.tryLoad(environments, plainSite)
}
