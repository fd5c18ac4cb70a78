package caddymodule_test

import (
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// vectorGateway is a gateway for the vectors of package verifier, with one environment for
// each way in which they configure a verifier.
type vectorGateway struct {
	*running
	bad, good []*presented // those that are refused, and their controls

	vectors      map[string]*verifiertest.Vector
	environments map[string]*vectorEnvironment // by their configuration
	begun        time.Time                     // when all were issued that sign in: a refused one differs from its control in one thing

	mu   sync.Mutex // guards what follows
	ring *verifiertest.Ring
	sent []string // tokens
}

// vectorEnvironment has an issuer of its own, whom no other environment knows.
type vectorEnvironment struct {
	name, id, host string
	config         verifier.Config
	jwks           []byte
	sessions       map[string]string // what signs the users in for whom assertions are presented
}

// presented is a vector in its environment.
type presented struct {
	*verifiertest.Vector
	at      *vectorEnvironment
	subject string // for whom it is presented as an assertion; empty: it is to sign in
	token   string // that signs in
}

// startVectors runs a gateway for the refused vectors of these names, or for all, and for their
// controls. Nothing was presented to it yet.
func startVectors(t *testing.T, names ...string) *vectorGateway {
	t.Helper()
	g := &vectorGateway{
		running: prepareAdmin(t), begun: time.Now(), ring: verifiertest.NewRing(t),
		vectors: map[string]*verifiertest.Vector{}, environments: map[string]*vectorEnvironment{},
	}
	for _, v := range verifiertest.ReadVectors(t, "../verifier/testdata/vectors") {
		g.vectors[v.Name] = v
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(g.vectors))
	}
	controls := map[string]bool{}
	for _, name := range names {
		v := g.vectors[name]
		switch {
		case v == nil:
			t.Fatalf("no vector is called %s", name)
		case v.Expect != verifiertest.OK:
			g.bad = append(g.bad, g.present(v))
			controls[v.Control] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(controls)) {
		g.good = append(g.good, g.present(g.vectors[name]))
	}
	g.options = "servers {\n max_header_size 8MiB\n}"
	g.load(g.caddyfile())
	return g
}

// present puts a vector into the environment that is configured as it wants.
func (g *vectorGateway) present(v *verifiertest.Vector) *presented {
	c := v.Make(g.t, g.ring, g.begun)
	key := fmt.Sprint(string(c.JWKS), c.Config.Audiences, c.Config.Algorithms, c.Config.Leeway, c.Config.MaxBytes, c.Config.Assertion)
	e := g.environments[key]
	if e == nil {
		n := len(g.environments)
		e = &vectorEnvironment{
			name: fmt.Sprint("e", n), id: fmt.Sprintf("95b11417-f18f-457f-8804-%012d", n), host: fmt.Sprintf("e%d.issuer.example", n),
			config: c.Config, jwks: c.JWKS, sessions: map[string]string{},
		}
		g.environments[key] = e
	}
	p := &presented{Vector: v.Replace(e.itsIssuer()), at: e, subject: c.Subject}
	if !c.Assertion {
		p.token = p.Make(g.t, g.ring, g.instant(p)).Token
		return p
	}
	if e.sessions[c.Subject] == "" {
		login := g.vectors["sign-in"].Replace(e.itsIssuer()).Replace(strings.NewReplacer(`"sub":"user-1"`, `"sub":"`+c.Subject+`"`))
		e.sessions[c.Subject] = login.Make(g.t, g.ring, g.begun).Token
	}
	return p
}

// itsIssuer makes tokens of the issuer that all vectors have tokens of this environment's.
func (e *vectorEnvironment) itsIssuer() *strings.Replacer {
	return strings.NewReplacer("issuer.ex", e.name+".issuer.ex", "ISSUER.ex", strings.ToUpper(e.name)+".ISSUER.ex")
}

// instant is when a token is issued. Clocks do not stand still here, so what begins in the
// future has to begin later than this test ends.
func (g *vectorGateway) instant(p *presented) time.Time {
	switch p.Expect {
	case "not_yet_valid":
		return g.begun.Add(30 * time.Minute)
	case "lifetime_too_long": // by a second, and not yet too long a while ago
		return time.Now().Add(20 * time.Second)
	}
	if p.subject != "" {
		return time.Now()
	}
	return g.begun
}

// tokenOf is the token of a vector: of one that signs in the same each time, of an assertion
// one that was not used yet.
func (g *vectorGateway) tokenOf(p *presented) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	token := p.token
	if p.subject != "" {
		unused := rand.Text()[:8]
		token = p.Replace(strings.NewReplacer(`"jti":"a-1"`, `"jti":"`+unused+`"`, "{{repeat 256 j}}", "{{repeat 248 j}}"+unused)).
			Make(g.t, g.ring, g.instant(p)).Token
	}
	g.sent = append(g.sent, token)
	return token
}

// caddyfile has every environment, each on a route of its own.
func (g *vectorGateway) caddyfile() (environments, site string) {
	g.t.Helper()
	var all, names, routes strings.Builder
	for _, e := range g.environments {
		all.WriteString(e.caddyfile(g.t))
		names.WriteString(" " + e.name)
		routes.WriteString("handle /" + e.name + "/* {\n byoa " + e.name + " {\n allow_query token\n }\n" +
			" step_up /" + e.name + "/export wallet:export\n reverse_proxy {{upstream}}\n}\n")
	}
	return all.String(), "byoa_api {\n environment" + names.String() + "\n check public\n}\n" + routes.String()
}

func (e *vectorEnvironment) caddyfile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, e.jwks, 0o600); err != nil {
		t.Fatal(err)
	}
	rules := "leeway " + e.config.Leeway.String() + "\n"
	for name, values := range map[string][]string{"audience": e.config.Audiences, "algorithms": e.config.Algorithms} {
		if len(values) > 0 {
			rules += name + " " + strings.Join(values, " ") + "\n"
		}
	}
	if e.config.MaxBytes > 0 {
		rules += "max_token_size 1MiB\n" // the most that there is
	}
	if e.config.Assertion.RequireIssuer { // as it is where two have the same keys
		rules += "provider https://second." + e.host + " {\n jwks_file " + file + "\n}\n"
	}
	rules += "assertion {\n"
	for name, value := range map[string]string{"type": e.config.Assertion.Type, "audience": e.config.Assertion.Audience} {
		if value != "" {
			rules += name + " " + value + "\n"
		}
	}
	if e.config.Assertion.MaxLifetime > 0 {
		rules += "max_lifetime " + e.config.Assertion.MaxLifetime.String() + "\n"
	}
	return "environment " + e.name + " {\n id " + e.id + "\n issuer https://" + e.host + "\n jwks_file " + file +
		"\n cookie_name jwt\n session {\n cookie " + sessionCookie + "\n }\n store memory\n" + rules + "}\n}\n"
}
