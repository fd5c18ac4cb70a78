package verifier_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// BenchmarkVerify compares the verification of a token that was never seen before
// with the standard library's check of the same signature: the first should take at
// most 1.3 times the second, and 10 µs. The two take turns, and medians are compared,
// so that a busy machine disturbs both alike.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		b.Run(alg, func(b *testing.B) {
			issuer := verifiertest.NewIssuer(b, verifiertest.WithAlgorithm(alg))
			v, err := verifier.New(verifier.Config{
				Issuer:    issuer.URL(),
				Audiences: []string{"https://api.example.com"},
				Keys:      issuer.KeySet(),
			})
			if err != nil {
				b.Fatal(err)
			}
			token := issuer.Token(map[string]any{
				"aud": []string{"https://api.example.com"}, "jti": "f1f2c8ab", "email": "user@example.com",
				"email_verified": true, "roles": []string{"reader", "writer"}, "auth_time": 1700000000, "acr": "mfa",
			})
			check := bareCheck(issuer.Key().Private().Public(), token)
			var whole, bare []time.Duration
			for b.Loop() {
				start := time.Now()
				_, err := v.Verify(b.Context(), token)
				between := time.Now()
				if err != nil || !check() {
					b.Fatal("token does not verify")
				}
				whole, bare = append(whole, between.Sub(start)), append(bare, time.Since(between))
			}
			w, c := median(whole), median(bare)
			b.ReportMetric(w, "µs/verify")
			b.ReportMetric(c, "µs/bare")
			b.ReportMetric(w/(1.3*c+10), "of-budget")
		})
	}
}

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Nanoseconds()) / 1000
}

func bareCheck(public crypto.PublicKey, token string) func() bool {
	last := strings.LastIndexByte(token, '.')
	input := []byte(token[:last])
	signature, _ := base64.RawURLEncoding.DecodeString(token[last+1:])
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return func() bool {
			digest := sha256.Sum256(input)
			return ecdsa.Verify(key, digest[:], r, s)
		}
	case *rsa.PublicKey:
		return func() bool {
			digest := sha256.Sum256(input)
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
		}
	case ed25519.PublicKey:
		return func() bool { return ed25519.Verify(key, input, signature) }
	}
	return func() bool { return false }
}

func BenchmarkParse(b *testing.B) {
	token := verifiertest.NewIssuer(b).Token(map[string]any{"aud": "https://api.example.com"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verifier.Parse(token, 0); err != nil {
			b.Fatal(err)
		}
	}
}
