// Package verifiertest provides an issuer of tokens for tests: one with real keys,
// made per run, that serves its JWK Set over HTTP on loopback. It also reads the test
// vectors of package verifier, so that other layers can be held to the same ones:
// [ReadVectors].
package verifiertest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// JWKSPath is where an [Issuer] serves its JWK Set.
const JWKSPath = "/.well-known/jwks.json"

// An Issuer signs tokens and serves the keys to verify them with. It may be used
// concurrently.
type Issuer struct {
	tb     testing.TB
	server *httptest.Server
	alg    string
	now    func() time.Time
	iss    string

	mu           sync.Mutex // guards all below
	key          *Key
	jwks         []byte // nil: that of key
	cacheControl string
	fails        bool
	fetches      int
}

// An Option changes what [NewIssuer] makes.
type Option func(*Issuer)

// WithAlgorithm sets the algorithm that the issuer signs with. The default is ES256.
func WithAlgorithm(alg string) Option { return func(i *Issuer) { i.alg = alg } }

// WithClock sets the clock by which iat and exp are filled in.
func WithClock(c *Clock) Option { return func(i *Issuer) { i.now = c.Now } }

// WithIssuer sets the iss of its tokens. The default is the URL of its server.
func WithIssuer(iss string) Option { return func(i *Issuer) { i.iss = iss } }

// NewIssuer starts an issuer, which ends with the test.
func NewIssuer(tb testing.TB, opts ...Option) *Issuer {
	tb.Helper()
	i := &Issuer{tb: tb, alg: "ES256", now: time.Now}
	for _, opt := range opts {
		opt(i)
	}
	i.key = NewKey(tb, i.alg)
	mux := http.NewServeMux()
	mux.HandleFunc(JWKSPath, i.serveJWKS)
	mux.HandleFunc("/.well-known/openid-configuration", i.serveMetadata)
	mux.HandleFunc("/.well-known/oauth-authorization-server", i.serveMetadata)
	i.server = httptest.NewServer(mux)
	tb.Cleanup(i.server.Close)
	if i.iss == "" {
		i.iss = i.server.URL
	}
	return i
}

// serveJWKS counts a fetch before it fails it.
func (i *Issuer) serveJWKS(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	i.fetches++
	fails, cacheControl, jwks := i.fails, i.cacheControl, i.current()
	i.mu.Unlock()
	if fails {
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	}
	if cacheControl != "" {
		w.Header().Set("Cache-Control", cacheControl)
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(jwks)
}

// serveMetadata serves what discovery needs (RFC 8414 section 2).
func (i *Issuer) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.iss, "jwks_uri": i.JWKSURL()})
}

// URL returns the iss of the issuer's tokens.
func (i *Issuer) URL() string { return i.iss }

// JWKSURL returns where the JWK Set is served.
func (i *Issuer) JWKSURL() string { return i.server.URL + JWKSPath }

// JWKS returns the JWK Set that is served.
func (i *Issuer) JWKS() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.current()
}

// current returns the JWK Set. The caller holds mu.
func (i *Issuer) current() []byte {
	if i.jwks != nil {
		return i.jwks
	}
	return JWKS(i.tb, i.key.JWK())
}

// JWKS returns a JWK Set of the given JWKs.
func JWKS(tb testing.TB, jwks ...map[string]any) []byte {
	tb.Helper()
	set, err := json.Marshal(map[string]any{"keys": jwks})
	if err != nil {
		tb.Fatalf("encoding JWK Set: %v", err)
	}
	return set
}

// KeySet returns a static set of the keys that are served at this moment.
func (i *Issuer) KeySet() verifier.KeySet {
	i.tb.Helper()
	set, err := verifier.ParseKeySet(i.JWKS())
	if err != nil {
		i.tb.Fatalf("making a key set: %v", err)
	}
	return set
}

// Fetches returns how often the JWK Set was asked for, answered or not.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// Key returns the key that the issuer signs with now.
func (i *Issuer) Key() *Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.key
}

// Rotate replaces the key: from now on the issuer signs with a new one, and serves
// that one alone, also where [Issuer.SetJWKS] had set something else.
func (i *Issuer) Rotate() {
	key := NewKey(i.tb, i.alg)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.jwks = key, nil
}

// Fail makes the issuer answer 503 for its JWK Set, or ends that.
func (i *Issuer) Fail(fail bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fails = fail
}

// SetJWKS makes the issuer serve jwks, whatever that is; nil: its own key again.
func (i *Issuer) SetJWKS(jwks []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.jwks = jwks
}

// SetCacheControl sets the Cache-Control header of the JWK Set; empty: none.
func (i *Issuer) SetCacheControl(value string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cacheControl = value
}

// Sign returns a compact JWS of claims, signed with the issuer's key and algorithm
// whatever header says. Filled in unless given: alg, kid, and typ "JWT". A member
// that is given as nil is left out.
func (i *Issuer) Sign(header, claims map[string]any) string {
	i.tb.Helper()
	return i.Key().Token(header, claims)
}

// Token returns a signed token. Filled in unless given: iss, sub "user-1", iat, and
// exp an hour ahead. A claim that is given as nil is left out.
func (i *Issuer) Token(claims map[string]any) string {
	i.tb.Helper()
	now := i.now().Unix()
	return i.Sign(nil, merge(claims, map[string]any{"iss": i.iss, "sub": "user-1", "iat": now, "exp": now + 3600}))
}

// Assertion returns a signed assertion about subject for scope, with a random jti
// and exp a minute ahead unless given. It has no iss unless given.
func (i *Issuer) Assertion(subject, scope string, claims map[string]any) string {
	i.tb.Helper()
	now := i.now().Unix()
	return i.Sign(nil, merge(claims, map[string]any{
		"sub": subject, "scope": scope, "jti": rand.Text(), "iat": now, "exp": now + 60,
	}))
}
