package caddymodule_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/internal/freeport"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// keySource is a place where an issuer publishes keys.
type keySource struct {
	name    string
	line    func(g *running) string
	publish func(g *running, set []byte)
	noticed func(g *running, dead request) // returns when the gateway has looked there again
}

// keySources are all that there are.
func keySources(t *testing.T) []keySource {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jwks.json")
	byNetwork := func(g *running, set []byte) { g.issuer.SetJWKS(set) }
	byStranger := func(g *running, _ request) { // a token with an unknown key has the set fetched
		g.t.Helper()
		fetches := g.issuer.Fetches()
		g.want(request{path: "/wallets/1", bearer: g.stranger("made-up")}, 401, "key_not_found")
		if got := g.issuer.Fetches(); got != fetches+1 {
			g.t.Fatalf("%d fetches for an unknown key, want 1", got-fetches)
		}
	}
	return []keySource{
		{"jwks_url", func(g *running) string { return "jwks_url " + g.issuer.JWKSURL() }, byNetwork, byStranger},
		{"discovery", func(*running) string { return "discovery on" }, byNetwork, byStranger},
		{"jwks_file", func(*running) string { return "jwks_file " + file }, func(g *running, set []byte) {
			g.t.Helper()
			if err := os.WriteFile(file+".new", set, 0o600); err != nil {
				g.t.Fatal(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				g.t.Fatal(err)
			}
		}, func(g *running, dead request) {
			g.t.Helper()
			pollUntil(g.t, "the file is read again", func() bool { return g.do(dead).status != 200 })
		}},
	}
}

// signer is one of the keys of an issuer.
type signer struct{ *verifiertest.Key }

func (s signer) token(g *running, user string) request {
	return request{path: "/wallets/1", bearer: g.secret(s.Token(nil, map[string]any{
		"iss": g.issuer.URL(), "sub": user, "aud": audience, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}))}
}

func (s signer) stepUp(g *running, user, session string) request {
	return request{method: "POST", path: "/wallets/1/export", bearer: session, assertion: g.secret(s.Token(nil, map[string]any{
		"sub": user, "scope": "wallet:export", "jti": fmt.Sprint(time.Now().UnixNano()), "exp": time.Now().Add(30 * time.Minute).Unix(),
	}))}
}

// A key that its issuer takes back was stolen, or may have been. A gateway that only ever adds the keys that
// it fetches believes the thief for good (CVE-2025-22149); nothing comes in its place here that could hide that.
func TestKeyThatIsDroppedDies(t *testing.T) {
	for _, source := range keySources(t) {
		t.Run(source.name, func(t *testing.T) {
			g := prepareAdmin(t)
			stolen, kept := signer{verifiertest.NewKey(t, "ES256")}, signer{verifiertest.NewKey(t, "ES256")}
			source.publish(g, verifiertest.JWKS(t, stolen.JWK(), kept.JWK()))
			g.load(g.keysBy(source.line(g)), plainSite)

			alice, bob := stolen.token(g, "alice"), kept.token(g, "bob")
			g.wantRemembered(t, alice)
			g.wantRemembered(t, bob)
			unused := stolen.token(g, "carol")
			session := g.signInWith(bob.bearer)
			g.want(stolen.stepUp(g, "bob", session), 200, "")

			source.publish(g, verifiertest.JWKS(t, kept.JWK()))
			source.noticed(g, alice)
			seen := g.upstream.count()
			for range 3 {
				g.want(alice, 401, "key_not_found")
				g.want(unused, 401, "key_not_found")
				g.want(stolen.stepUp(g, "bob", session), 401, "key_not_found")
				refusedAtSignIn := request{method: "POST", path: endpoints + "/externalAuth/signin", body: `{"jwt":"` + unused.bearer + `"}`}
				if got := g.want(refusedAtSignIn, 422, "invalid_external_auth"); got.body["reason"] != "key_not_found" {
					t.Errorf("sign-in: reason %v, want key_not_found", got.body["reason"])
				}
			}
			if n := g.upstream.count() - seen; n != 0 {
				t.Errorf("%d requests of the dropped key reached the upstream", n)
			}
			g.wantRemembered(t, bob)
			g.want(kept.token(g, "dave"), 200, "")
			g.want(kept.stepUp(g, "bob", session), 200, "")
			if p := g.health(200).Environments[0].Providers[0]; p.Keys != 1 {
				t.Errorf("%d keys, want the one that is left", p.Keys)
			}
		})
	}
}

// A set without any key would lock everybody out, so the old one serves on. But an issuer that takes back
// its only key means it: whoever operates the gateway has to learn of it by every way there is.
func TestSetWithoutKeysIsTold(t *testing.T) {
	for name, set := range map[string]string{
		"an empty set": `{"keys":[]}`, "only keys of no use": `{"keys":[{"kty":"oct","k":"AAAA"}]}`, "an object without keys": `{}`, "nothing": ``,
	} {
		t.Run(name, func(t *testing.T) {
			g := withEvents(t, allEvents("")...)
			g.admin = freeport.Address(t)
			g.load(plainEnvironment, plainSite)
			g.want(request{path: "/wallets/1", bearer: g.external("alice")}, 200, "")
			failures := fmt.Sprintf(`caddy_byoa_jwks_refreshes_total{environment="default",provider=%q,result="error"}`, g.issuer.URL())
			before := g.scrape(g.admin)[failures]
			if p := g.health(200).Environments[0].Providers[0]; p.Error != "" || p.Keys != 1 {
				t.Errorf("health before it: %+v", p)
			}

			g.issuer.SetJWKS([]byte(set))
			g.want(request{path: "/wallets/1", bearer: g.stranger("made-up")}, 401, "key_not_found") // which has it fetched
			g.want(request{path: "/wallets/1", bearer: g.external("bob")}, 200, "")

			if e := wantEvents(t, "byoa.jwks_refresh_failed")[0]; e.Data["provider"] != g.issuer.URL() || e.Data["environment"] != "default" {
				t.Errorf("event with %v", e.Data)
			}
			g.waitUntilLogged(g.issuer.URL(), "fetching keys from "+g.issuer.JWKSURL())
			if after := g.scrape(g.admin)[failures]; after <= before {
				t.Errorf("%v failed refreshes, %v before: it is not counted", after, before)
			}
			if p := g.health(200).Environments[0].Providers[0]; p.Error == "" || p.Keys != 1 || !p.Healthy {
				t.Errorf("health: %+v, want the old key and why there is no newer one", p)
			}
		})
	}
}
