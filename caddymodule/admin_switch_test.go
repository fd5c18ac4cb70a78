package caddymodule_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// twoEnvironments share a store and nothing else.
func (g *running) twoEnvironments() string {
	return plainEnvironment + `
		environment second {
			issuer https://second.example.com
			jwks_file ` + writeJWKS(g.t, verifiertest.NewIssuer(g.t)) + `
			audience second
			store file ` + filepath.Join(g.storage(), "store.db") + `
		}`
}

const signInPath = "/api/v0/sdk/" + environmentID + "/externalAuth/signin"

// takesTokens fails the test unless the environment takes tokens.
func (g *running) takesTokens() {
	g.t.Helper()
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
	g.want(request{method: "POST", path: signInPath, body: `{"jwt":"` + g.external("alice") + `"}`}, 200, "")
}

// takesNothing fails the test unless the environment says to all that it is switched off.
func (g *running) takesNothing() {
	g.t.Helper()
	g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 403, "external_auth_disabled")
	g.want(request{method: "POST", path: signInPath, body: `{"jwt":"` + g.external("alice") + `"}`}, 403, "external_auth_disabled")
}

func (g *running) turn(to, answer string) {
	g.t.Helper()
	if got := g.ask(request{method: "POST", path: on("default", to)}, 200); strings.TrimSpace(got.raw) != answer {
		g.t.Errorf("%s: %s, want %s", to, got.raw, answer)
	}
}

const (
	isOn  = `{"enabled":true,"disabled_by":""}`
	isOff = `{"enabled":false,"disabled_by":"operator"}`
)

// Whoever switches an environment off in an emergency must not find it on again because
// somebody changed the config, or because Caddy was restarted.
func TestAdminSwitchOutlivesReloadsAndRestarts(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	g.takesTokens()
	g.turn("disable", isOff)
	g.takesNothing()
	g.want(request{path: "/wallets/1", bearer: session}, 403, "external_auth_disabled")

	g.load(plainEnvironment, plainSite+"\n\theader X-Config two")
	g.takesNothing()
	other := strings.Replace(plainEnvironment, "environment {", "environment other {\n\t\t\tcache_size 8MiB", 1)
	g.load(other, plainSite) // the same id and store, under another name
	g.takesNothing()

	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.load(plainEnvironment, plainSite)
	g.takesNothing()
	if got := g.ask(request{path: "/byoa/environments"}, 200); !strings.Contains(got.raw, strings.Trim(isOff, "{}")) {
		t.Errorf("the environment is shown as %s", got.raw)
	}

	g.turn("disable", isOff)
	g.turn("enable", isOn)
	g.turn("enable", isOn)
	g.takesTokens()
	g.want(request{path: "/wallets/1", bearer: session}, 200, "")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	g.load(plainEnvironment, plainSite)
	g.takesTokens()
}

func TestAdminSwitchIsOneEnvironments(t *testing.T) {
	g := prepareAdmin(t)
	g.load(g.twoEnvironments(), plainSite)
	g.ask(request{method: "POST", path: on("second", "disable")}, 200)
	g.takesTokens()
	g.turn("disable", isOff)
	g.takesNothing()
	g.ask(request{method: "POST", path: on("second", "enable")}, 200)
	g.takesNothing()
}

// What the config says nobody overrules, and the operator's switch stands as it stood.
func TestAdminSwitchYieldsToTheConfig(t *testing.T) {
	g := startAdmin(t, plainEnvironment, plainSite)
	off := strings.Replace(plainEnvironment, "{{environment}}", "{{environment}}\n\t\t\tenabled off", 1)
	g.load(off, plainSite)
	for _, to := range []string{"disable", "enable"} {
		g.refused(request{method: "POST", path: on("default", to)}, 409, "the config has switched")
		if want := (decision{Decision: to, Result: "disabled_by_config"}); g.decisions("default")[0] != want {
			t.Errorf("the last decision is %+v, want %+v", g.decisions("default")[0], want)
		}
	}
	g.takesNothing()
	g.load(plainEnvironment, plainSite)
	g.takesTokens()
	g.turn("disable", isOff)
	g.load(off, plainSite)
	g.refused(request{method: "POST", path: on("default", "enable")}, 409, "the config has switched")
	g.load(plainEnvironment, plainSite)
	g.takesNothing()
}
