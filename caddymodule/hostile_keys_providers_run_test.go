package caddymodule_test

import (
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// lender is one of two login systems of one environment, each of which is allowed what the other is not.
type lender struct {
	*verifiertest.Issuer
	audience, algorithm string
	keys                map[string]*verifiertest.Key // by algorithm; it publishes both
	leeway              string
}

func newLender(t *testing.T, audience, algorithm, leeway string) *lender {
	t.Helper()
	l := &lender{
		Issuer: verifiertest.NewIssuer(t), audience: audience, algorithm: algorithm, leeway: leeway,
		keys: map[string]*verifiertest.Key{"ES256": verifiertest.NewKey(t, "ES256"), "EdDSA": verifiertest.NewKey(t, "EdDSA")},
	}
	l.SetJWKS(verifiertest.JWKS(t, l.keys["ES256"].JWK(), l.keys["EdDSA"].JWK()))
	return l
}

func (l *lender) lines() string {
	return "jwks_url " + l.JWKSURL() + "\naudience " + l.audience + "\nalgorithms " + l.algorithm + "\nleeway " + l.leeway + "\n"
}

// token keeps the rules of its issuer, but for what is given; an algorithm that is not empty is another one.
func (l *lender) token(g *running, algorithm string, more map[string]any) string {
	now := time.Now()
	claims := map[string]any{
		"iss": l.URL(), "sub": "alice", "aud": l.audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": "alice@example.com",
	}
	for name, v := range more {
		claims[name] = v
	}
	if algorithm == "" {
		algorithm = l.algorithm
	}
	return g.secret(l.keys[algorithm].Token(nil, claims))
}

// Two login systems of one environment are two sets of rules. A gateway that takes the issuer from one rule and
// the audience or the algorithm from another lets on what neither of them allows.
func TestTwoProvidersDoNotLendEachOtherTheirRules(t *testing.T) {
	g := prepareAdmin(t)
	strict, lax := newLender(t, "https://strict.example", "ES256", "0s"), newLender(t, "https://lax.example", "EdDSA", "10m")
	g.load("environment {\nid "+environmentID+"\nstore memory\nissuer "+strict.URL()+"\n"+strict.lines()+
		"provider "+lax.URL()+" {\n"+lax.lines()+"assume_email_verified\n}\n}", plainSite)
	read := func(token string) request { return request{path: "/wallets/1", bearer: token} }
	signIn := func(token string) request {
		return request{method: "POST", path: endpoints + "/externalAuth/signin", body: `{"jwt":"` + token + `"}`}
	}
	for _, l := range []*lender{strict, lax} {
		g.wantRemembered(t, read(l.token(g, "", nil))) // so that both are known when the rest comes
	}
	ahead := map[string]any{"iat": time.Now().Add(5 * time.Minute).Unix(), "nbf": time.Now().Add(5 * time.Minute).Unix()}
	for _, c := range []struct {
		name  string
		token string
		code  string // empty: it is let on
	}{
		{"the strict one for the other's audience", strict.token(g, "", map[string]any{"aud": lax.audience}), "audience_mismatch"},
		{"the lax one for the other's audience", lax.token(g, "", map[string]any{"aud": strict.audience}), "audience_mismatch"},
		{"the strict one for both audiences", strict.token(g, "", map[string]any{"aud": []string{lax.audience, strict.audience}}), ""},
		{"the strict one by the other's algorithm", strict.token(g, lax.algorithm, nil), "algorithm_not_allowed"},
		{"the lax one by the other's algorithm", lax.token(g, strict.algorithm, nil), "algorithm_not_allowed"},
		{"the strict one with the other's leeway", strict.token(g, "", ahead), "not_yet_valid"},
		{"the lax one with its own", lax.token(g, "", ahead), ""},
		{"the strict one's key in the other's name", strict.token(g, "", map[string]any{"iss": lax.URL(), "aud": lax.audience}), "algorithm_not_allowed"},
		{"and with the other's algorithm", strict.token(g, lax.algorithm, map[string]any{"iss": lax.URL(), "aud": lax.audience}), "key_not_found"},
		{"the lax one's key in the other's name", lax.token(g, strict.algorithm, map[string]any{"iss": strict.URL(), "aud": strict.audience}), "key_not_found"},
		{"the strict one without an audience", strict.token(g, "", map[string]any{"aud": []string{}}), "audience_mismatch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.code == "" {
				g.want(read(c.token), 200, "")
				g.want(signIn(c.token), 200, "")
				return
			}
			seen := g.upstream.count()
			g.want(read(c.token), 401, c.code)
			if got := g.want(signIn(c.token), 422, "invalid_external_auth"); got.body["reason"] != c.code || g.upstream.count() != seen {
				t.Errorf("reason %v, want %s and nothing upstream", got.body["reason"], c.code)
			}
		})
	}
	t.Run("whose word about email is believed", func(t *testing.T) {
		for _, l := range []*lender{strict, lax} {
			g.want(read(l.token(g, "", nil)), 200, "")
			email, vouched := claimsOf(t, g.upstream.last(t).Header.Get("Authorization"))["email"]
			if vouched != (l == lax) {
				t.Errorf("the session of %s has email %v", l.audience, email)
			}
		}
	})
}
