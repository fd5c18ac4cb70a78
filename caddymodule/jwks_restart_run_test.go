package caddymodule_test

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// restart is a gateway that is stopped, and started again while its issuer is down.
type restart struct {
	name          string
	before, after func(g *running) []string // where the keys are; nil after: as before
	issuer        string                    // goes after the issuer's name the second time
	id            string                    // of the environment the second time, if not the usual one
	aged          time.Duration             // of the kept keys, beyond their real age
	status        int
	code          string
}

func (c restart) run(t *testing.T) {
	g := prepare(t)
	g.load(g.keysBy(c.before(g)...), plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.issuer.Fail(true)
	g.age(c.aged)

	if c.after == nil {
		c.after = c.before
	}
	issuer := g.issuer.URL() + c.issuer
	lines := append(c.after(g), "id "+cmp.Or(c.id, environmentID), "issuer "+issuer, "audience "+audience,
		"store file "+filepath.Join(g.storage(), "store.db"))
	g.load("environment {\n"+strings.Join(lines, "\n")+"\n}", plainSite)
	g.want(request{path: "/wallets/1", bearer: g.external("bob", map[string]any{"iss": issuer})}, c.status, c.code)
}

// age makes the kept keys older than they are.
func (g *running) age(by time.Duration) {
	g.t.Helper()
	kept, err := filepath.Glob(filepath.Join(g.storage(), "storage", "byoa", "jwks", "*.json"))
	if err != nil || len(kept) != 1 {
		g.t.Fatalf("kept key sets: %q (%v), want one", kept, err)
	}
	content, err := os.ReadFile(kept[0])
	if err != nil {
		g.t.Fatal(err)
	}
	var snapshot verifier.Snapshot
	if err := json.Unmarshal(content, &snapshot); err != nil {
		g.t.Fatal(err)
	}
	snapshot.Fetched = snapshot.Fetched.Add(-by)
	if content, err = json.Marshal(snapshot); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(kept[0], content, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// An outage of the issuer must not become one of the gateway only because somebody
// restarts it. But kept keys serve nobody else, by no other way, and no longer than a day.
func TestRestartWhileTheIssuerIsDown(t *testing.T) {
	byURL := func(g *running) []string { return []string{"jwks_url " + g.issuer.JWKSURL()} }
	byDiscovery := func(*running) []string { return []string{"discovery on"} }
	for _, c := range []restart{
		{name: "by URL", before: byURL, status: 200},
		{name: "by discovery", before: byDiscovery, status: 200},
		{name: "after most of a day", before: byURL, aged: 23 * time.Hour, status: 200},
		{name: "after a day", before: byURL, aged: 24 * time.Hour, status: 503, code: "keys_unavailable"},
		{name: "with another issuer", before: byURL, issuer: "/other", status: 503, code: "keys_unavailable"},
		{
			name: "with another URL", before: byURL, status: 503, code: "keys_unavailable",
			after: func(g *running) []string { return []string{"jwks_url " + g.issuer.JWKSURL() + "?v=2"} },
		},
		{name: "discovered instead of by URL", before: byURL, after: byDiscovery, status: 503, code: "keys_unavailable"},
		{name: "by URL instead of discovered", before: byDiscovery, after: byURL, status: 503, code: "keys_unavailable"},
		{
			name: "over ways that were not allowed before", before: byURL, status: 503, code: "keys_unavailable",
			after: func(g *running) []string { return append(byURL(g), "insecure_http") },
		},
		{name: "in another environment", before: byURL, id: "0c1d2f7e-9a53-4f0e-8a53-1d2f7e9a530c", status: 503, code: "keys_unavailable"},
	} {
		t.Run(c.name, c.run)
	}
}
