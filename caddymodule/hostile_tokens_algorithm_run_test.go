package caddymodule_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// algorithmAttacks are the ways in which a token has chosen by what it is verified. Each is made by somebody
// who knows the public keys, as everybody does, and no private one; or with a private one, for
// something that it is not for.
var algorithmAttacks = []struct {
	name    string
	vectors []string
}{
	// CVE-2015-9235; CVE-2020-28042
	{"none in any letter case", []string{"alg-none-lower", "alg-none-mixed", "alg-none-upper", "alg-none-signed"}},
	// CVE-2016-5431, CVE-2016-10555
	{"the EC public key as the secret of an HMAC", []string{"alg-hmac-public-key-pem", "alg-hmac-public-key-der", "alg-hmac-public-key-jwk"}},
	{"the RSA public key as the secret of an HMAC", []string{
		"alg-hmac-rsa-public-key-pem", "alg-hmac-rsa-public-key-der", "alg-hmac-rsa-public-key-jwk",
	}},
	// CVE-2026-22817, CVE-2026-22818: a JWK without alg, so the header was believed
	{"an HMAC where the JWK names no algorithm", []string{"alg-hmac-key-without-alg"}},
	{"an HMAC with a secret that the issuer published", []string{"alg-hmac-oct-in-jwks"}},
	{"an algorithm of another type of key", []string{"alg-rs256-for-ec-key", "alg-eddsa-for-ec-key", "alg-lies-about-signature"}},
	{"PS for RS, and RS for PS", []string{"alg-ps256-for-rs256-key", "alg-rs256-for-ps256-key", "alg-rs512-for-rs256-key"}},
	{"another curve", []string{"alg-es256-for-p384-key", "alg-es384-for-p256-key", "alg-es256k", "jwk-crv-swapped", "jwk-off-curve"}},
	{"no algorithm", []string{"alg-missing", "alg-null", "alg-empty", "alg-number", "alg-array"}},
	{"an algorithm that is almost one", []string{"alg-lower-case", "alg-trailing-space", "alg-unknown"}},
	{"an algorithm that the operator left out", []string{"alg-not-configured"}},
	{"an unknown critical extension", []string{"crit", "crit-empty", "crit-null", "crit-known-name"}},
	{"an unencoded payload", []string{"b64-false", "b64-true"}},
	// CVE-2018-0114
	{"the key within the token", []string{"jwk-of-stranger", "jwk-of-stranger-no-kid"}},
	{"the certificate within the token", []string{"x5c-of-stranger"}},
	{"the URL of the key within the token", []string{"jku-of-stranger", "x5u-of-stranger"}},
	{"an encrypted token", []string{"form-jwe", "enc", "zip"}},
	{"a token within the token", []string{"cty-jwt", "cty-application-jwt"}},
	{"a key for something else", []string{"jwk-use-enc", "jwk-ops-sign", "jwk-alg-encryption", "jwk-alg-unfit"}},
	{"a key that is too weak", []string{"rsa-short", "jwk-rsa-exponent-one"}},
	{"no signature", []string{"signature-empty", "signature-empty-rs256", "signature-empty-eddsa", "signature-zero"}},
	{"a signature in another form", []string{"signature-der", "signature-extend", "signature-truncate"}},
}

// The key decides how a token is verified, and the token nothing: not with what, not by whose key, not
// whether at all.
func TestTokenDoesNotChooseHowItIsVerified(t *testing.T) {
	var names []string
	for _, attack := range algorithmAttacks {
		names = append(names, attack.vectors...)
	}
	g := startVectors(t, names...)
	header := tokenWays[0]
	present := func(t *testing.T, p *presented, want string) {
		t.Helper()
		g.wantVerdict(t, header, p, g.tokenOf(p), want)
	}
	for _, attack := range algorithmAttacks {
		t.Run(attack.name, func(t *testing.T) {
			for _, name := range attack.vectors {
				p := named(t, g.bad, name)
				control := named(t, g.good, p.Control)
				present(t, control, "200 "+verifiertest.OK)
				before := g.upstream.count()
				present(t, p, fmt.Sprint("401 ", p.Expect))
				if g.upstream.count() != before {
					t.Errorf("%s reached the upstream", name)
				}
				present(t, control, "200 "+verifiertest.OK)
			}
		})
	}
	t.Run("none, in each of its sixteen spellings", func(t *testing.T) {
		p := named(t, g.bad, "alg-none-lower")
		for _, spelling := range spellingsOf("none") {
			v := presented{Vector: p.Replace(strings.NewReplacer(`"none"`, `"`+spelling+`"`)), at: p.at}
			v.token = v.Make(t, g.ring, g.begun).Token
			present(t, &v, "401 algorithm_not_allowed")
		}
	})
	g.wantInNoLog()
}

func named(t *testing.T, all []*presented, name string) *presented {
	t.Helper()
	i := slices.IndexFunc(all, func(p *presented) bool { return p.Name == name })
	if i < 0 {
		t.Fatalf("the vector %s is missing", name)
	}
	return all[i]
}

// spellingsOf is a word in every mixture of letter case.
func spellingsOf(word string) (all []string) {
	for set := range 1 << len(word) {
		spelling := []byte(word)
		for i := range spelling {
			if set>>i&1 == 1 {
				spelling[i] -= 'a' - 'A'
			}
		}
		all = append(all, string(spelling))
	}
	return all
}
