package exchange

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// What a [KeyRing] uses where its [KeyRingConfig] says nothing.
const (
	DefaultAlgorithm     = "ES256"
	DefaultRotate        = 30 * 24 * time.Hour
	DefaultPublish       = time.Hour
	DefaultTokenLifetime = 24 * time.Hour
)

// rsaBits is the size of new RSA keys, and the least that stored ones may have.
const rsaBits = 2048

// A KeyStore is where the instances of a gateway share the keys of one ring: a
// single document, private keys included, so it must be readable by them alone.
// All methods may be called concurrently, and should return when ctx is done.
type KeyStore interface {
	// Load returns what was saved last, or an error that wraps [fs.ErrNotExist]
	// where nothing has been saved yet. Any other error means that it cannot tell.
	Load(ctx context.Context) ([]byte, error)

	// Save replaces what is stored, entirely or not at all.
	Save(ctx context.Context, b []byte) error

	// Lock waits until no other process that shares the store holds the lock. The
	// holder calls unlock once. Load does not ask for it.
	Lock(ctx context.Context) (unlock func(), err error)
}

// KeyRingConfig describes a [KeyRing].
type KeyRingConfig struct {
	Store KeyStore // required

	// Algorithm is ES256 (the default), EdDSA or RS256. Signing with RS256 takes
	// about 2 ms of a core, some forty times what the others take. Another
	// algorithm than before takes effect at once, with a key of its own.
	Algorithm string

	// Rotate is how long a key signs. Publish is how long the next key is in the
	// JWKS before it does, and must be shorter; verifiers that fetch the JWKS less
	// often than this miss the change. Zero: the defaults.
	Rotate, Publish time.Duration

	// TokenLifetime is the life of the longest token that the ring's keys will
	// sign: so long, and about a day more, an old key stays published. A [Local]
	// mints none that lives longer. With many times Rotate too many keys would be
	// published at one time, and no ring is opened. Zero: the default.
	TokenLifetime time.Duration

	Now func() time.Time // nil: time.Now

	// Rotated, if set, is told the kid of each key that this ring has made to
	// follow another one, and, with an empty kid, of each attempt to read or renew
	// the keys that failed, and once of each key that shows some instance's clock to
	// be wrong. It is called from any goroutine and should return soon.
	Rotated func(kid string, err error)
}

// A KeyRing is a set of signing keys that rotates by itself: one key signs, the
// next is published before it does, and old ones until the tokens they signed have
// expired. It is the [verifier.KeySet] of those tokens. All methods may be called
// concurrently; none but [KeyRing.Refresh], [KeyRing.Rotate] and a verification
// with an unknown key waits for storage.
//
// While storage cannot be read or written the ring goes on with the keys that it
// knows, including a next one that begins to sign in the meantime.
//
// One visit of an instance whose clock is wrong neither keeps the keys of the others
// from rotating nor deletes a key that they need.
type KeyRing struct {
	store    KeyStore
	schedule schedule
	lifetime time.Duration
	now      func() time.Time
	rotated  func(kid string, err error)

	state atomic.Pointer[ringState]

	turn  chan struct{}      // holds one value while somebody reads or changes what is stored
	asks  chan *ask          // verifications ask the ring's goroutine to read
	life  context.Context    // ended by Close
	end   context.CancelFunc // ends life
	ended chan struct{}      // closed when the goroutine has ended

	mu      sync.Mutex     // guards what follows, and every change of state
	raw     []byte         // the document as it was read or saved last; set by whoever has the turn
	doc     document       // raw, decoded; set by whoever has the turn
	keys    map[string]key // the keys of doc by kid
	asked   *ask           // the one that is under way, or nil
	askedAt time.Time      // when the last ask began
	failure error          // why the last attempt to read or renew failed
}

// OpenKeyRing reads the keys from the store, and makes the first one, under the
// store's lock, where there is none. It fails where storage cannot be read, holds
// anything but a ring's keys, or where a key is needed and cannot be saved: a key
// is never replaced because it could not be understood. The ring then keeps up
// with its storage and the clock until [KeyRing.Close].
func OpenKeyRing(ctx context.Context, cfg KeyRingConfig) (*KeyRing, error) {
	r, err := newKeyRing(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the signing keys: %w", err)
	}
	if err := r.openWithin(ctx); err != nil {
		return nil, fmt.Errorf("opening the signing keys: %w", err)
	}
	// The ring outlives the config that opened it.
	r.life, r.end = context.WithCancel(context.Background())
	go r.keepUp()
	return r, nil
}

func newKeyRing(cfg KeyRingConfig) (*KeyRing, error) {
	r := &KeyRing{
		store: cfg.Store,
		schedule: schedule{
			algorithm: cmp.Or(cfg.Algorithm, DefaultAlgorithm),
			rotate:    cmp.Or(cfg.Rotate, DefaultRotate),
			publish:   cmp.Or(cfg.Publish, DefaultPublish),
		},
		lifetime: cmp.Or(cfg.TokenLifetime, DefaultTokenLifetime),
		now:      cfg.Now,
		rotated:  cfg.Rotated,
		turn:     make(chan struct{}, 1),
		asks:     make(chan *ask, 1),
		ended:    make(chan struct{}),
	}
	s := &r.schedule
	s.outlive = r.lifetime + clockSlack
	if r.now == nil {
		r.now = time.Now
	}
	if r.rotated == nil {
		r.rotated = func(string, error) {}
	}
	switch {
	case r.store == nil:
		return nil, errors.New("no store is given")
	case s.algorithm != "ES256" && s.algorithm != "EdDSA" && s.algorithm != "RS256":
		return nil, fmt.Errorf("algorithm %q is none of ES256, EdDSA, RS256", s.algorithm)
	case s.rotate < 0 || s.publish < 0 || r.lifetime < 0:
		return nil, errors.New("a duration is negative")
	case s.rotate <= s.publish:
		return nil, fmt.Errorf("rotating every %s leaves no room to publish a key %s before it signs", s.rotate, s.publish)
	case s.keys() > maxKeys-spareKeys:
		return nil, fmt.Errorf("rotating every %s while tokens live up to %s would keep %d keys published, more than %d: rotate less often, or let tokens live shorter",
			s.rotate, r.lifetime, s.keys(), maxKeys-spareKeys)
	}
	return r, nil
}

// A key is a stored key, ready for use.
type key struct {
	kid       string // its RFC 7638 thumbprint
	algorithm string
	signer    jws.Signer
	private   crypto.Signer
	public    []byte // public JWK with kid, alg and use
}

// generateKey makes a key for alg; when it lives, others decide.
func generateKey(alg string) (storedKey, error) {
	private, err := generatePrivate(alg)
	if err != nil {
		return storedKey{}, err
	}
	k, err := jwk.FromRaw(private)
	if err != nil {
		return storedKey{}, err
	}
	kid, err := thumbprint(k)
	if err != nil {
		return storedKey{}, err
	}
	encoded, err := json.Marshal(k)
	return storedKey{Kid: kid, Algorithm: alg, Private: encoded}, err
}

func generatePrivate(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	default:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
}

func thumbprint(k jwk.Key) (string, error) {
	sum, err := k.Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// readKey makes a stored key ready for use, and proves that its two halves belong
// together. Its errors quote nothing of the key.
func readKey(stored storedKey) (key, error) {
	broken := fmt.Errorf("key %.64q is not a private JWK for %.16q", stored.Kid, stored.Algorithm)
	parsed, err := jwk.ParseKey(stored.Private)
	if err != nil {
		return key{}, broken
	}
	private, ok := rawPrivate(parsed, stored.Algorithm)
	if !ok {
		return key{}, broken
	}
	k := key{kid: stored.Kid, algorithm: stored.Algorithm, private: private}
	if kid, err := thumbprint(parsed); err != nil || kid != stored.Kid {
		return key{}, fmt.Errorf("key %.64q is stored under a name that is not its thumbprint", stored.Kid)
	}
	if k.signer, err = jws.NewSigner(jwa.SignatureAlgorithm(k.algorithm)); err != nil {
		return key{}, broken
	}
	if k.public, err = publicJWK(private.Public(), k.kid, k.algorithm); err != nil || !k.verifies() {
		return key{}, broken
	}
	return k, nil
}

// rawPrivate returns the private key if it is one that alg signs with here.
func rawPrivate(parsed jwk.Key, alg string) (crypto.Signer, bool) {
	var raw any
	if err := parsed.Raw(&raw); err != nil {
		return nil, false
	}
	switch private := raw.(type) {
	case *ecdsa.PrivateKey:
		return private, alg == "ES256" && private.Curve == elliptic.P256()
	case ed25519.PrivateKey:
		return private, alg == "EdDSA"
	case *rsa.PrivateKey:
		private.Precompute() // or every signature does it again
		return private, alg == "RS256" && private.N.BitLen() >= rsaBits && private.Validate() == nil
	}
	return nil, false
}

// publicJWK is made from the public key alone, so that there is nothing private to leave out.
func publicJWK(public crypto.PublicKey, kid, alg string) ([]byte, error) {
	k, err := jwk.FromRaw(public)
	if err != nil {
		return nil, err
	}
	for name, value := range map[string]string{jwk.KeyIDKey: kid, jwk.AlgorithmKey: alg, jwk.KeyUsageKey: "sig"} {
		if err := k.Set(name, value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(k)
}

// verifies says whether a token that the key signs verifies with what is published of it.
func (k key) verifies() bool {
	token, err := k.sign("JWT", []byte("{}"))
	if err != nil {
		return false
	}
	t, err := verifier.Parse(token, 0)
	if err != nil {
		return false
	}
	set, err := verifier.ParseKeySet(jwkSet(k.public))
	if err != nil {
		return false
	}
	id, err := set.VerifySignature(context.Background(), t)
	return err == nil && string(id) == k.kid
}

// sign returns a compact JWS.
func (k key) sign(typ string, payload []byte) (string, error) {
	header, err := json.Marshal(struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
		Kid       string `json:"kid"`
	}{k.algorithm, typ, k.kid})
	if err != nil {
		return "", fmt.Errorf("encoding a token's header: %w", err)
	}
	token := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := k.signer.Sign([]byte(token), k.private)
	if err != nil {
		return "", fmt.Errorf("signing a token with key %s: %w", k.kid, err)
	}
	return token + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
