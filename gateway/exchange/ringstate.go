package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

var _ verifier.KeySet = (*KeyRing)(nil)

// ringState is what requests work with. It never changes.
type ringState struct {
	signer *key
	set    *verifier.StaticKeySet // nil where no key is published
	jwks   []byte
	status RingStatus
	until  time.Time // from when on another state holds; zero: nothing in sight
}

// RingStatus says where a [KeyRing] is in its rotation.
type RingStatus struct {
	Algorithm string
	Current   string    // kid of the key that signs; empty if none may
	Since     time.Time // when it began to: the last rotation
	Next      string    // kid of the published successor, if there is one
	Rotates   time.Time // when the successor begins to sign, or would if it were made on time
	Keys      int       // how many are published
	Failure   error     // why the last attempt to read or renew the keys failed
}

// Sign returns a compact JWS (RFC 7515 section 7.1) with the given `typ` over the
// JSON of the claims that are made for the kid of the key that signs. Where no key
// may sign it returns a [verifier.CodeKeysUnavailable].
func (r *KeyRing) Sign(typ string, claims func(kid string) any) (string, verifier.KeyID, error) {
	k := r.current().signer
	if k == nil {
		return "", "", unavailable(noKey)
	}
	payload, err := plainJSON(claims(k.kid))
	if err != nil {
		return "", "", fmt.Errorf("encoding a token's claims: %w", err)
	}
	token, err := k.sign(typ, payload)
	return token, verifier.KeyID(k.kid), err
}

// plainJSON leaves <, > and & as they are: a token is no part of a web page, and
// each of them would take six bytes.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// VerifySignature implements [verifier.KeySet]. A kid that is unknown may be a key
// that another instance has just made: storage is read once for all who wait, at
// most every ten seconds. Where ctx ends before that, or it takes more than five seconds,
// nobody can tell, and it returns a [verifier.CodeKeysUnavailable].
func (r *KeyRing) VerifySignature(ctx context.Context, t *verifier.Token) (verifier.KeyID, error) {
	s := r.current()
	id, err := s.verify(ctx, t)
	if verifier.CodeOf(err) != verifier.CodeKeyNotFound {
		return id, err
	}
	answered := r.readAgain(ctx)
	if fresh := r.current(); fresh != s { // perhaps thanks to somebody else who was just before us
		id, err = fresh.verify(ctx, t)
	}
	if !answered && verifier.CodeOf(err) == verifier.CodeKeyNotFound {
		return "", unavailable("the gateway's storage does not say at the moment whether it has this key")
	}
	return id, err
}

func (s *ringState) verify(ctx context.Context, t *verifier.Token) (verifier.KeyID, error) {
	if s.set == nil {
		return "", unavailable(noKey)
	}
	return s.set.VerifySignature(ctx, t)
}

// Holds implements [verifier.KeySet].
func (r *KeyRing) Holds(id verifier.KeyID) bool {
	s := r.current()
	return s.set != nil && s.set.Holds(id)
}

// JWKS returns the public keys that verify, as a JWK Set (RFC 7517): those that
// signed before, the one that signs, and the next. Whoever serves it should let it
// be cached for less than Publish, or the next key comes as a surprise.
func (r *KeyRing) JWKS() []byte { return bytes.Clone(r.current().jwks) }

// Status says where the ring is in its rotation.
func (r *KeyRing) Status() RingStatus {
	status := r.current().status
	r.mu.Lock()
	defer r.mu.Unlock()
	status.Failure = r.failure
	return status
}

const noKey = "the gateway has no key of its own at the moment"

func unavailable(why string) error {
	return &verifier.Error{
		Code:       verifier.CodeKeysUnavailable,
		Err:        errors.New(why),
		RetryAfter: readAgainFloor,
	}
}

// current is the state that holds now. Keys begin to sign and leave by the
// clock alone, whether or not the ring's goroutine could do its part.
func (r *KeyRing) current() *ringState {
	s, now := r.state.Load(), r.now()
	if s.until.IsZero() || now.Before(s.until) {
		return s
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.renewState(now)
}

// renewState makes and publishes the state of now. The caller holds r.mu.
func (r *KeyRing) renewState(now time.Time) *ringState {
	o := r.schedule.at(r.doc, now)
	s := &ringState{
		until:  o.changes,
		status: RingStatus{Algorithm: r.schedule.algorithm, Rotates: o.rotates, Keys: len(o.published)},
	}
	if o.signer != nil {
		k := r.keys[o.signer.Kid]
		s.signer, s.status.Current, s.status.Since = &k, k.kid, o.signer.SignsFrom
	}
	if o.next != nil {
		s.status.Next = o.next.Kid
	}
	s.set, s.jwks = r.publicSet(o.published)
	r.state.Store(s)
	return s
}

// publicSet returns no set where no key is left. The caller holds r.mu.
func (r *KeyRing) publicSet(published []storedKey) (*verifier.StaticKeySet, []byte) {
	keys := make([][]byte, len(published))
	for i, k := range published {
		keys[i] = r.keys[k.Kid].public
	}
	jwks := jwkSet(keys...)
	set, err := verifier.ParseKeySet(jwks)
	if err != nil { // it is empty: of each key it was seen that it verifies
		return nil, jwks
	}
	return set, jwks
}

// jwkSet is a JWK Set (RFC 7517 section 5) of encoded keys.
func jwkSet(keys ...[]byte) []byte {
	return slices.Concat([]byte(`{"keys":[`), bytes.Join(keys, []byte(",")), []byte("]}"))
}
