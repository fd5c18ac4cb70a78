package caddymodule_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/caddymodule"
	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// rotation is what the admin API says of signing keys.
type rotation struct {
	Healthy        bool
	Algorithm      string
	Current, Next  string
	Since, Rotates time.Time
	Published      int
	Error          string
}

func (g *running) rotate() rotation {
	g.t.Helper()
	var r rotation
	if err := json.Unmarshal([]byte(g.ask(request{method: "POST", path: on("default", "keys/rotate")}, 200).raw), &r); err != nil {
		g.t.Fatal(err)
	}
	return r
}

// published are the kids in the environment's JWKS.
func (g *running) published() []string {
	g.t.Helper()
	var set struct{ Keys []struct{ Kid string } }
	got := g.want(request{path: "/api/v0/sdk/" + environmentID + "/.well-known/jwks.json"}, 200, "")
	if err := json.Unmarshal([]byte(got.raw), &set); err != nil {
		g.t.Fatal(err)
	}
	var kids []string
	for _, k := range set.Keys {
		kids = append(kids, k.Kid)
	}
	return kids
}

// Rotating by hand must not surprise anybody who verifies tokens: the next key is
// published long before it signs.
func TestAdminRotatesTheSigningKeys(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	before, session := g.published(), g.signIn("alice")
	if len(before) != 1 {
		t.Fatalf("%d keys are published at first, want 1", len(before))
	}
	r := g.rotate()
	if !r.Healthy || r.Error != "" || r.Algorithm != "ES256" || r.Published != 2 || r.Current != before[0] || r.Next == "" || r.Next == r.Current {
		t.Errorf("after the rotation: %+v, want another key next to %s", r, before[0])
	}
	if wait := time.Until(r.Rotates); wait < 55*time.Minute || wait > 65*time.Minute {
		t.Errorf("the next key signs in %s, want an hour", wait)
	}
	if now := g.published(); len(now) != 2 || now[1] != r.Next {
		t.Errorf("published are %q, want the next key, %s, among them", now, r.Next)
	}
	g.want(request{path: "/wallets/1", bearer: session}, 200, "")
	g.want(request{path: "/wallets/1", bearer: g.signIn("alice")}, 200, "")

	if again := g.rotate(); again != r {
		t.Errorf("a second rotation in a row: %+v, want nothing changed from %+v", again, r)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.load(plainEnvironment, plainSite)
	if again := g.rotate(); again.Next != r.Next || !again.Rotates.Equal(r.Rotates) {
		t.Errorf("after a restart: %+v, want nothing changed from %+v", again, r)
	}
}

// keyless is an exchanger without keys of its own, as one would be that asks a server.
type keyless struct{ gateway.Exchanger }

func (keyless) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "byoa.exchangers.test_keyless", New: func() caddy.Module { return new(keyless) }}
}

func (k *keyless) OpenExchanger(caddymodule.Opening) (gateway.Exchanger, error) { return k, nil }

func init() { caddy.RegisterModule(keyless{}) }

func TestAdminRotatesNothingWhereThereAreNoKeys(t *testing.T) {
	g := prepareAdmin(t)
	config := `{
		"admin": {"listen": "` + g.admin + `", "config": {"persist": false}},
		"storage": {"module": "file_system", "root": "` + filepath.Join(g.storage(), "storage") + `"},
		"logging": {"logs": {"default": {"writer": {"output": "file", "filename": "` + g.logFile + `"}}}},
		"apps": {"byoa": {"environments": {"default": {
			"issuer": "` + g.issuer.URL() + `", "jwks_url": "` + g.issuer.JWKSURL() + `",
			"exchange": {"exchanger": "test_keyless"}, "store": {"store": "memory"}}}}}
	}`
	if err := caddy.Load([]byte(config), true); err != nil {
		t.Fatal(err)
	}
	g.refused(request{method: "POST", path: on("default", "keys/rotate")}, 409, "no signing keys of its own")
	got := g.ask(request{path: "/byoa/environments"}, 200)
	if !strings.Contains(got.raw, `"exchanger":"test_keyless","store":"memory"`) {
		t.Errorf("the environment is shown as %s", got.raw)
	}
	g.health(200)
	if got := g.ask(request{path: "/byoa/health"}, 200); strings.Contains(got.raw, "signing_keys") {
		t.Errorf("health of keys that are not there: %s", got.raw)
	}
}
