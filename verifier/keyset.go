package verifier

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// A KeyID names a key by what it is: its RFC 7638 thumbprint (SHA-256, base64url).
// Unlike a kid, it never means another key later.
type KeyID string

// A KeySet verifies signatures with the keys of one issuer. Its methods may be
// called concurrently.
type KeySet interface {
	// VerifySignature checks the signature of t and returns the key that verifies
	// it. The key decides the algorithm: the token's alg counts only where it is
	// one that the key is for. A verdict is an [*Error] with [CodeKeyNotFound],
	// [CodeAlgorithmNotAllowed], [CodeSignatureInvalid] or [CodeKeysUnavailable];
	// any other error means that the set itself failed. Claims are not its business.
	VerifySignature(ctx context.Context, t *Token) (KeyID, error)

	// Holds reports whether key is in the set now. Whoever remembers a verified
	// token asks again, so that the token dies with its key. It does not block.
	Holds(key KeyID) bool
}

const (
	minRSABits = 2048
	maxRSABits = 16384 // beyond this one verification takes a noticeable time

	// maxTries bounds the signature checks that one token can cost.
	maxTries = 8
)

// asymmetric lists the signature algorithms of RFC 7518 and RFC 8037 that need no shared secret.
var asymmetric = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// ecdsaAlgorithms ties each curve to the one algorithm it is for (RFC 7518 section 3.4).
var ecdsaAlgorithms = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}

// A StaticKeySet is a set of public keys that never changes.
type StaticKeySet struct {
	keys []*publicKey
}

// publicKey is one usable key of a set.
type publicKey struct {
	id         KeyID
	kid        string
	algorithms []string // the token's alg must be one of these
	raw        crypto.PublicKey
	jwk        map[string]any // public members only
}

// ParseKeySet reads a JWK Set (RFC 7517 section 5), no member of which may come twice. Keys that cannot verify a
// signature are passed over one by one: symmetric and encryption keys, keys of
// unknown type or curve, malformed ones, RSA keys below 2048 bits. Of private keys
// only the public part is read. It is an error if no usable key is left.
func ParseKeySet(jwks []byte) (*StaticKeySet, error) {
	keys, err := parseKeySet(jwks, math.MaxInt)
	if err != nil {
		return nil, fmt.Errorf("parsing JWK Set: %w", err)
	}
	return keys, nil
}

// parseKeySet refuses a set of more than most keys, usable or not.
func parseKeySet(jwks []byte, most int) (*StaticKeySet, error) {
	set, err := decodeMembers(jwks)
	if err != nil {
		return nil, err
	}
	var members []json.RawMessage
	if json.Unmarshal(set["keys"], &members) != nil {
		return nil, errors.New("no array named keys")
	}
	if len(members) > most {
		return nil, fmt.Errorf("%d keys, more than %d", len(members), most)
	}
	if len(members) == 0 {
		return nil, errors.New("no keys")
	}
	s := &StaticKeySet{}
	var firstErr error
	for _, member := range members {
		key, err := parseKey(member)
		if err == nil {
			s.keys = append(s.keys, key)
		} else if firstErr == nil {
			firstErr = err
		}
	}
	if len(s.keys) == 0 {
		return nil, fmt.Errorf("none of its %d keys can verify a signature; the first %w", len(members), firstErr)
	}
	return s, nil
}

// parseKey gives jwx the public members alone: so a private key is reduced to its
// public part, and nothing else that a JWK may carry (x5c, x5u) is looked at.
func parseKey(data []byte) (*publicKey, error) {
	members, err := decodeObject(data)
	if err != nil {
		return nil, err
	}
	// Some servers write out the members that a key does not have. As null they say
	// nothing, so they restrict nothing.
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	k := &publicKey{jwk: make(map[string]any)}
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if v, ok := members[name]; ok {
			k.jwk[name] = v
		}
	}
	if err := k.materialize(); err != nil {
		return nil, err
	}
	if err := k.restrict(members); err != nil {
		return nil, err
	}
	return k, nil
}

// materialize makes the key that the public members describe.
func (k *publicKey) materialize() error {
	if k.jwk["kty"] == "oct" {
		return errors.New("is symmetric")
	}
	public, err := json.Marshal(k.jwk)
	if err != nil {
		return err
	}
	parsed, err := jwk.ParseKey(public)
	if err != nil {
		return errors.New("is malformed or of an unknown kind")
	}
	if err := parsed.Raw(&k.raw); err != nil {
		return errors.New("is malformed or of an unknown kind")
	}
	if k.algorithms, err = algorithmsOf(k.raw); err != nil {
		return err
	}
	sum, err := parsed.Thumbprint(crypto.SHA256)
	if err != nil {
		return errors.New("has no thumbprint")
	}
	k.id = KeyID(base64.RawURLEncoding.EncodeToString(sum))
	return nil
}

// restrict narrows the algorithms by what the key says of itself in alg, use and
// key_ops (RFC 7517 section 4).
func (k *publicKey) restrict(members map[string]any) error {
	var alg, use string
	for name, to := range map[string]*string{"kid": &k.kid, "alg": &alg, "use": &use} {
		var err error
		if *to, err = stringClaim(members, name); err != nil {
			return err
		}
		if *to != "" {
			k.jwk[name] = *to
		}
	}
	if use != "" && use != "sig" {
		return errors.New("is not for signatures")
	}
	// An empty list allows nothing; only a missing one allows all.
	if ops, ok := members["key_ops"]; ok {
		list, _ := ops.([]any)
		if !slices.Contains(list, any("verify")) {
			return errors.New("is not for verifying")
		}
		k.jwk["key_ops"] = []string{"verify"}
	}
	if alg == "" {
		return nil
	}
	if !slices.Contains(k.algorithms, alg) {
		return errors.New("is for an algorithm that it cannot serve")
	}
	k.algorithms = []string{alg}
	return nil
}

// algorithmsOf says for which algorithms a key is fit by type, curve and size. What the
// arithmetic could not cope with, or would take for good, ends here: points off the
// curve, exponents of one.
func algorithmsOf(raw crypto.PublicKey) ([]string, error) {
	switch key := raw.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("is an RSA key of %d bits, not %d to %d", bits, minRSABits, maxRSABits)
		}
		if key.E < 3 || key.E%2 == 0 || key.E > 1<<31-1 {
			return nil, errors.New("has an RSA exponent that is not odd and within [3, 2^31)")
		}
		return asymmetric[:6], nil
	case *ecdsa.PublicKey:
		if _, err := key.ECDH(); err != nil {
			return nil, errors.New("is not a point on its curve")
		}
		if alg, ok := ecdsaAlgorithms[key.Params().Name]; ok {
			return []string{alg}, nil
		}
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return nil, errors.New("is not an Ed25519 key")
		}
		return []string{"EdDSA"}, nil
	}
	return nil, errors.New("is of a kind that signs nothing")
}

// Len returns how many usable keys the set has.
func (s *StaticKeySet) Len() int { return len(s.keys) }

// Holds implements [KeySet].
func (s *StaticKeySet) Holds(key KeyID) bool {
	return slices.ContainsFunc(s.keys, func(k *publicKey) bool { return k.id == key })
}

// MarshalJSON returns the set as a JWK Set of its usable keys, without private parts.
func (s *StaticKeySet) MarshalJSON() ([]byte, error) {
	keys := make([]map[string]any, len(s.keys))
	for i, k := range s.keys {
		keys[i] = k.jwk
	}
	return json.Marshal(map[string]any{"keys": keys})
}

// VerifySignature implements [KeySet]. A token without kid is tried with every key
// that fits its alg, in the order of the set, but with no more than eight.
func (s *StaticKeySet) VerifySignature(_ context.Context, t *Token) (KeyID, error) {
	keys, err := s.candidates(t)
	if err != nil {
		return "", err
	}
	input := t.SigningInput()
	for _, k := range keys[:min(len(keys), maxTries)] {
		if k.verifies(t.algorithm, input, t.signature) {
			return k.id, nil
		}
	}
	return "", refuse(CodeSignatureInvalid, "signature is by none of the keys that fit")
}

// candidates returns the keys that the token may be signed with. Where there are none,
// it matters why: an unknown key may be a new one, a known key of another kind is an
// attempt to have it used for what it is not.
func (s *StaticKeySet) candidates(t *Token) ([]*publicKey, error) {
	var fitting []*publicKey
	known := false
	for _, k := range s.keys {
		if t.hasKid && (k.kid == "" || k.kid != t.kid) {
			continue
		}
		known = true
		if slices.Contains(k.algorithms, t.algorithm) {
			fitting = append(fitting, k)
		}
	}
	switch {
	case len(fitting) > 0:
		return fitting, nil
	case !t.hasKid:
		return nil, refuse(CodeKeyNotFound, "the issuer has no key for %s, and the token names none by kid", quoted(t.algorithm))
	case !known:
		return nil, refuse(CodeKeyNotFound, "the issuer has no key with kid %s", quoted(t.kid))
	default:
		return nil, refuse(CodeAlgorithmNotAllowed, "the key with kid %s is not for %s", quoted(t.kid), quoted(t.algorithm))
	}
}

// verifies is the one place where a signature is checked. jws.NewVerifier does the
// arithmetic for exactly this algorithm and key; none of jwx's own choices of
// algorithm, key or header is involved.
func (k *publicKey) verifies(alg string, input, signature []byte) bool {
	v, err := jws.NewVerifier(jwa.SignatureAlgorithm(alg))
	return err == nil && v.Verify(input, signature, k.raw) == nil
}
