package caddymodule

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A signer makes tokens to try the gateway with: as the login system of the demo,
// and for the command `assertion`. What the gateway itself issues is signed elsewhere.
type signer struct {
	key       crypto.Signer
	algorithm string
	kid       string // empty: left out
}

// leastRSABits is the least that the gateway accepts a signature of.
const leastRSABits = 2048

// signingHashes are the algorithms that a signer knows, with the hash of each. EdDSA has none.
var signingHashes = map[string]crypto.Hash{
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	"EdDSA": 0,
}

// newSigner makes a signer with the algorithm, or, where that is empty, with the first that the key is for.
func newSigner(key crypto.Signer, algorithm, kid string) (*signer, error) {
	fitting, err := algorithmsFor(key)
	if err != nil {
		return nil, err
	}
	if algorithm == "" {
		algorithm = fitting[0]
	}
	if !slices.Contains(fitting, algorithm) {
		return nil, fmt.Errorf("algorithm %q is not for this key, which signs with %s", algorithm, strings.Join(fitting, ", "))
	}
	return &signer{key: key, algorithm: algorithm, kid: kid}, nil
}

// algorithmsFor ties each kind of key to what it can sign with (RFC 7518 section 3, RFC 8037 section 3.1).
func algorithmsFor(key crypto.Signer) ([]string, error) {
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		switch public.Params().Name {
		case "P-256":
			return []string{"ES256"}, nil
		case "P-384":
			return []string{"ES384"}, nil
		case "P-521":
			return []string{"ES512"}, nil
		}
		return nil, fmt.Errorf("the key is on the curve %s; known: P-256, P-384, P-521", public.Params().Name)
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < leastRSABits {
			return nil, fmt.Errorf("the RSA key has %d bits; the gateway accepts none below %d", bits, leastRSABits)
		}
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, nil
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	}
	return nil, errors.New("the key is of a kind that signs no token: use an EC, RSA or Ed25519 key")
}

// sign returns a compact JWS (RFC 7515 section 3.1) of the claims.
func (s *signer) sign(typ string, claims map[string]any) (string, error) {
	header := map[string]any{"alg": s.algorithm, "typ": typ}
	if s.kid != "" {
		header["kid"] = s.kid
	}
	var parts []string
	for _, part := range []map[string]any{header, claims} {
		encoded, err := json.Marshal(part)
		if err != nil {
			return "", fmt.Errorf("encoding the token: %w", err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(encoded))
	}
	input := strings.Join(parts, ".")
	signature, err := s.signature([]byte(input))
	if err != nil {
		return "", fmt.Errorf("signing the token: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func (s *signer) signature(input []byte) ([]byte, error) {
	hash, digest := signingHashes[s.algorithm], input
	if hash != 0 {
		h := hash.New()
		h.Write(input)
		digest = h.Sum(nil)
	}
	switch key := s.key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, input), nil
	case *ecdsa.PrivateKey:
		return signECDSA(key, digest)
	case *rsa.PrivateKey:
		if strings.HasPrefix(s.algorithm, "PS") {
			return rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, key, hash, digest)
	}
	return nil, fmt.Errorf("a %T signs nothing here", s.key)
}

// signECDSA writes both numbers at their full length, side by side (RFC 7518 section 3.4).
func signECDSA(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	size := (key.Params().BitSize + 7) / 8
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return signature, nil
}

// payloadOf returns the payload of what looks like a compact JWS, verified by nobody; else nil.
func payloadOf(token string) []byte {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || !json.Valid(payload) {
		return nil
	}
	return payload
}
