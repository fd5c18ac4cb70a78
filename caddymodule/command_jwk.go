package caddymodule

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// privateJWK is a private key as RFC 7518 section 6 and RFC 8037 section 2 write it.
type privateJWK struct {
	Type      string          `json:"kty"`
	Curve     string          `json:"crv"`
	ID        string          `json:"kid"`
	Algorithm string          `json:"alg"`
	Keys      json.RawMessage `json:"keys"` // there in a JWK Set

	D octets `json:"d"`
	X octets `json:"x"`
	Y octets `json:"y"`
	N octets `json:"n"`
	E octets `json:"e"`
	P octets `json:"p"`
	Q octets `json:"q"`
}

// octets are bytes in base64url.
type octets []byte

// UnmarshalText keeps the value out of the error: it may be the secret part.
func (o *octets) UnmarshalText(text []byte) error {
	decoded, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil {
		return errors.New("not base64url without padding")
	}
	*o = decoded
	return nil
}

func (o octets) int() *big.Int { return new(big.Int).SetBytes(o) }

func parseJWK(content []byte) (*keyFile, error) {
	var k privateJWK
	if json.Unmarshal(content, &k) != nil {
		return nil, errors.New("is no valid JWK: not JSON, or a member of the wrong type or not in base64url")
	}
	switch {
	case k.Keys != nil:
		return nil, errors.New("is a JWK Set; put the one private JWK into a file of its own")
	case k.Type == "oct":
		return nil, errors.New("is a symmetric key; the gateway accepts no signature of one")
	case k.Type != "EC" && k.Type != "RSA" && k.Type != "OKP":
		return nil, errors.New("is a JWK without a kty of EC, RSA or OKP")
	case len(k.D) == 0:
		return nil, errors.New("is a public JWK: it has no member d")
	}
	key, err := k.key()
	if err != nil {
		return nil, fmt.Errorf("is a malformed %s JWK: %w", k.Type, err)
	}
	return &keyFile{key: key, kid: k.ID, algorithm: k.Algorithm}, nil
}

func (k *privateJWK) key() (crypto.Signer, error) {
	switch k.Type {
	case "EC":
		return k.ecdsa()
	case "RSA":
		return k.rsa()
	}
	return k.ed25519()
}

func (k *privateJWK) ecdsa() (crypto.Signer, error) {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve, ok := curves[k.Curve]
	if !ok {
		return nil, errors.New("crv is none of P-256, P-384, P-521")
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, k.D)
	if err != nil {
		return nil, errors.New("d is no key on this curve, at its full length")
	}
	point, err := key.PublicKey.Bytes()
	if err != nil || !bytes.Equal(point, slices.Concat([]byte{4}, k.X, k.Y)) { // SEC 1 section 2.3.3, uncompressed
		return nil, errors.New("x and y are not of the key d")
	}
	return key, nil
}

func (k *privateJWK) rsa() (crypto.Signer, error) {
	exponent := k.E.int()
	if len(k.N) == 0 || !exponent.IsInt64() || exponent.Int64() > 1<<31-1 {
		return nil, errors.New("n or e is missing or too large")
	}
	if len(k.P) == 0 || len(k.Q) == 0 {
		return nil, errors.New("p and q are missing")
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: k.N.int(), E: int(exponent.Int64())},
		D:         k.D.int(),
		Primes:    []*big.Int{k.P.int(), k.Q.int()},
	}
	if err := key.Validate(); err != nil {
		return nil, errors.New("n, e, d, p and q do not belong together")
	}
	key.Precompute()
	return key, nil
}

func (k *privateJWK) ed25519() (crypto.Signer, error) {
	if k.Curve != "Ed25519" || len(k.D) != ed25519.SeedSize {
		return nil, errors.New("crv is not Ed25519, or d not 32 bytes long")
	}
	key := ed25519.NewKeyFromSeed(k.D)
	if !bytes.Equal(key.Public().(ed25519.PublicKey), k.X) {
		return nil, errors.New("x is not of the key d")
	}
	return key, nil
}
