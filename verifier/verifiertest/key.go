package verifiertest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

// A Key is a key pair made for one run of a test. It stands on the standard
// library alone, so that what it signs is no echo of the code under test.
type Key struct {
	tb      testing.TB
	alg     string
	kid     string
	private crypto.Signer
}

// NewKey makes a key for an algorithm of RFC 7518 or RFC 8037.
func NewKey(tb testing.TB, alg string) *Key {
	tb.Helper()
	k := &Key{tb: tb, alg: alg, kid: "test-" + rand.Text()[:8]}
	var err error
	switch alg {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		k.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		k.private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		k.private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, k.private, err = ed25519.GenerateKey(rand.Reader)
	default:
		tb.Fatalf("making a key: unknown algorithm %q", alg)
	}
	if err != nil {
		tb.Fatalf("making a key: %v", err)
	}
	return k
}

// ID returns the kid.
func (k *Key) ID() string { return k.kid }

// Private returns the private key itself.
func (k *Key) Private() crypto.Signer { return k.private }

// JWK returns the public key as a JWK (RFC 7517), in a map of the caller's own.
func (k *Key) JWK() map[string]any {
	jwk := map[string]any{"kid": k.kid, "alg": k.alg, "use": "sig"}
	switch public := k.private.Public().(type) {
	case *rsa.PublicKey:
		e := binary.BigEndian.AppendUint32(nil, uint32(public.E))
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", encode(public.N.Bytes()), encode(bytes.TrimLeft(e, "\x00"))
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			k.tb.Fatalf("encoding a key: %v", err)
		}
		half := len(point) / 2
		jwk["kty"], jwk["crv"] = "EC", public.Params().Name
		jwk["x"], jwk["y"] = encode(point[1:1+half]), encode(point[1+half:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", encode(public)
	}
	return jwk
}

// Sign signs input with the key's own algorithm, and returns the signature in the
// form that RFC 7518 section 3 and RFC 8037 section 3.1 ask for.
func (k *Key) Sign(input []byte) []byte {
	k.tb.Helper()
	return k.SignAs(k.alg, input)
}

// SignAs signs as alg says, as far as the key can: RS256 with a key made for PS256,
// ES384 with one on P-256. The form of an ECDSA signature follows the curve.
func (k *Key) SignAs(alg string, input []byte) []byte {
	k.tb.Helper()
	signature, err := k.signAs(alg, input)
	if err != nil {
		k.tb.Fatalf("signing as %s: %v", alg, err)
	}
	if curve, ok := k.private.Public().(*ecdsa.PublicKey); ok {
		signature = fixedLength(k.tb, signature, curve.Params())
	}
	return signature
}

func (k *Key) signAs(alg string, input []byte) ([]byte, error) {
	if _, ok := k.private.(ed25519.PrivateKey); ok {
		return k.private.Sign(nil, input, crypto.Hash(0))
	}
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
	h := hash.New()
	h.Write(input)
	if strings.HasPrefix(alg, "PS") {
		return k.private.Sign(rand.Reader, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
	}
	return k.private.Sign(rand.Reader, h.Sum(nil), hash)
}

// Token returns a compact JWS of claims (RFC 7515 section 7.1), signed with the key's
// own algorithm whatever header says. Filled in unless given: alg, kid, and typ
// "JWT". A member that is given as nil is left out.
func (k *Key) Token(header, claims map[string]any) string {
	k.tb.Helper()
	input := k.part(header, map[string]any{"alg": k.alg, "kid": k.kid, "typ": "JWT"}) + "." + k.part(claims, nil)
	return input + "." + encode(k.Sign([]byte(input)))
}

func (k *Key) part(members, defaults map[string]any) string {
	k.tb.Helper()
	object, err := json.Marshal(merge(members, defaults))
	if err != nil {
		k.tb.Fatalf("encoding a part of a token: %v", err)
	}
	return encode(object)
}

// merge returns members over defaults, without those that are nil.
func merge(members, defaults map[string]any) map[string]any {
	merged := make(map[string]any)
	for _, m := range []map[string]any{defaults, members} {
		for name, v := range m {
			merged[name] = v
			if v == nil {
				delete(merged, name)
			}
		}
	}
	return merged
}

// fixedLength turns an ECDSA signature from DER to the two numbers side by side.
func fixedLength(tb testing.TB, der []byte, curve *elliptic.CurveParams) []byte {
	tb.Helper()
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		tb.Fatalf("decoding a signature: %v", err)
	}
	size := (curve.BitSize + 7) / 8
	signature := make([]byte, 2*size)
	rs.R.FillBytes(signature[:size])
	rs.S.FillBytes(signature[size:])
	return signature
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
