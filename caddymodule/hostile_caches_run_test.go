package caddymodule_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// policy is the usual environment with more lines, or with others in the place of those
// that begin with the same word.
func (g *running) policy(lines ...string) string {
	of := map[string]string{
		"id": "id " + environmentID, "issuer": "issuer " + g.issuer.URL(), "jwks_url": "jwks_url " + g.issuer.JWKSURL(),
		"audience": "audience " + audience, "store": "store memory",
	}
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		if _, usual := of[name]; !usual {
			name = line
		}
		of[name] = line
	}
	return " {\n" + strings.Join(slices.Sorted(maps.Values(of)), "\n") + "\n}"
}

// looks are what the memory of tokens was asked for.
type looks struct{ hits, misses float64 }

func (g *running) looks() looks {
	g.t.Helper()
	series := g.scrape(g.admin)
	return looks{series[`caddy_byoa_cache_requests_total{cache="tokens",result="hit"}`], series[`caddy_byoa_cache_requests_total{cache="tokens",result="miss"}`]}
}

// look sends r and says what the memory was asked for meanwhile.
func (g *running) look(r request) (response, looks) {
	g.t.Helper()
	before := g.looks()
	got := g.do(r)
	after := g.looks()
	return got, looks{after.hits - before.hits, after.misses - before.misses}
}

// remember sends r until the memory, which takes a token up in its own time, has its token.
func (g *running) remember(r request) {
	g.t.Helper()
	pollUntil(g.t, "the token is remembered", func() bool {
		got, l := g.look(r)
		if got.status != http.StatusOK {
			g.t.Fatalf("%d %q, want 200: this test looks at nothing", got.status, got.code)
		}
		return l == looks{hits: 1}
	})
}

// A policyChange is one line of an environment by which another verdict is due.
type policyChange struct {
	name          string
	before, after []string       // lines; none: the usual ones
	claims        map[string]any // of the external JWT, beside the usual
	code          string         // of the refusal under the policy after; empty: it is let on
	differs       func(minted map[string]any) bool
}

// policyChanges are such that the token is good before. Where it is good after, too, what
// the upstream gets for it is another.
func policyChanges(second, stranger *verifiertest.Issuer) []policyChange {
	return []policyChange{
		{name: "another audience", after: []string{"audience https://other.example.com"}, code: "audience_mismatch"},
		{
			name: "less leeway", before: []string{"leeway 10m"}, after: []string{"leeway 1s"}, code: "not_yet_valid",
			claims: map[string]any{"nbf": time.Now().Add(8 * time.Minute).Unix()},
		},
		{name: "a login system less", before: []string{"provider " + second.URL() + " {\njwks_url " + second.JWKSURL() + "\naudience " + audience + "\n}"}, code: "issuer_mismatch"},
		{name: "other keys", after: []string{"jwks_url " + stranger.JWKSURL()}, code: "key_not_found"},
		{name: "other algorithms", after: []string{"algorithms EdDSA"}, code: "algorithm_not_allowed"},
		{name: "shorter tokens", after: []string{"max_token_size 256B"}, code: "token_too_large"},
		{name: "a type of assertions", after: []string{"assertion {\ntype JWT\n}"}, code: "type_mismatch"},
		{name: "another id", after: []string{"id 0b0ad6ce-6a2e-4d0c-8c3f-5b4f2f7d1c55"}, differs: func(m map[string]any) bool {
			return m["environment_id"] == "0b0ad6ce-6a2e-4d0c-8c3f-5b4f2f7d1c55"
		}},
		{name: "shorter sessions", after: []string{"session {\nlifetime 1m\n}"}, differs: func(m map[string]any) bool {
			return m["exp"].(float64)-m["iat"].(float64) <= 60
		}},
		{name: "another audience of ours", after: []string{"exchange local {\naudience https://internal.example\n}"}, differs: func(m map[string]any) bool {
			return m["aud"] == "https://internal.example"
		}},
		{
			name: "no trust in addresses", after: []string{"trust_email off"}, claims: map[string]any{"email": "a@example.com", "email_verified": true},
			differs: func(m map[string]any) bool { return m["email"] == nil },
		},
		{name: "fewer scopes", after: []string{"scope wallet:other"}, differs: func(map[string]any) bool { return true }},
	}
}

// What was decided under one policy is no answer under another one. Where the key of what is
// remembered leaves a part of the policy out, a reload that makes it stricter changes
// nothing for whoever is inside already. (Oathkeeper, CVE-2026-33496.)
func TestRememberedUnderAnotherPolicyIsNotBelieved(t *testing.T) {
	g := prepareAdmin(t)
	second, stranger := verifiertest.NewIssuer(t), verifiertest.NewIssuer(t)
	loads := 0
	load := func(lines []string) {
		loads++
		g.load("environment"+g.policy(lines...), fmt.Sprintf("header X-Load %d\n%s", loads, plainSite))
	}
	for _, c := range policyChanges(second, stranger) {
		t.Run(c.name, func(t *testing.T) {
			claims := map[string]any{"sub": "alice", "aud": audience, "jti": c.name}
			maps.Copy(claims, c.claims)
			token := g.issuer.Token(claims)
			if c.code == "issuer_mismatch" {
				token = second.Token(claims)
			}
			r := request{path: "/wallets/1", bearer: g.secret(token)}
			load(c.before)
			g.remember(r)
			load(c.after)
			g.wantDecidedAnew(r, c)
			if c.name == "fewer scopes" {
				g.want(request{method: "POST", path: "/wallets/1/export", bearer: r.bearer, assertion: g.assertion("alice", "wallet:export")}, 401, "scope_not_allowed")
			}
		})
	}
	t.Run("control: nothing changes", func(t *testing.T) {
		r := request{path: "/wallets/1", bearer: g.external("bob")}
		load(nil)
		g.remember(r)
		load(nil)
		if got, l := g.look(r); got.status != 200 || l != (looks{hits: 1}) {
			t.Errorf("%d, and the memory was asked %+v, want 200 and one hit: nothing survives any reload", got.status, l)
		}
	})
}

// wantDecidedAnew fails the test unless a request is decided by the policy after a change,
// and not by what was remembered before it.
func (g *running) wantDecidedAnew(r request, c policyChange) {
	g.t.Helper()
	before := g.upstream.count()
	got, l := g.look(r)
	if l.hits != 0 {
		g.t.Errorf("%s: what was remembered under the other policy was found: %+v", c.name, l)
	}
	switch {
	case c.code != "":
		if got.status != 401 || got.code != c.code || g.upstream.count() != before {
			g.t.Errorf("%s: %d %q, and %d requests upstream, want 401 %s and none", c.name, got.status, got.code, g.upstream.count()-before, c.code)
		}
	case got.status != 200:
		g.t.Errorf("%s: %d %q, want 200", c.name, got.status, got.code)
	default:
		if minted := claimsOf(g.t, g.upstream.last(g.t).Header.Get("Authorization")); !c.differs(minted) {
			g.t.Errorf("%s: the upstream got what the other policy had minted: %v", c.name, minted)
		}
	}
}

// Two environments are two policies at one time, in one process, and both see one token.
func TestRememberedInOneEnvironmentIsNotBelievedInAnother(t *testing.T) {
	const otherID, otherAudience = "0b0ad6ce-6a2e-4d0c-8c3f-5b4f2f7d1c55", "https://other.example.com"
	g := prepareAdmin(t)
	there := freeport.Address(t)
	g.sites = "http://" + there + " {\nbyoa second\nreverse_proxy {{upstream}}\n}"
	g.load("environment first"+g.policy("assertion {\naudience one\n}")+"\nenvironment second"+
		g.policy("id "+otherID, "audience "+otherAudience, "assertion {\naudience two\n}"), "byoa first\nreverse_proxy {{upstream}}")

	ours := request{path: "/", bearer: g.external("alice")}
	g.remember(ours)
	ours.at = there
	g.want(ours, 401, "audience_mismatch")

	both := request{path: "/", bearer: g.external("alice", map[string]any{"aud": []string{audience, otherAudience}})}
	g.remember(both)
	here := claimsOf(t, g.upstream.last(t).Header.Get("Authorization"))
	both.at = there
	if got, l := g.look(both); got.status != 200 || l != (looks{misses: 1}) {
		t.Errorf("%d, and the memory was asked %+v, want 200 and one miss: the environment has not seen this token", got.status, l)
	}
	minted := claimsOf(t, g.upstream.last(t).Header.Get("Authorization"))
	if minted["environment_id"] != otherID || minted["sub"] == here["sub"] || minted["sid"] == here["sid"] {
		t.Errorf("the upstream of the second environment got %v, the first one's is %v", minted, here)
	}
	g.remember(both) // now it has
}
