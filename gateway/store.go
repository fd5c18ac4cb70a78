package gateway

import (
	"context"
	"errors"
	"time"
)

// ErrUsed is what [Store.Use] returns for a key that was used before.
var ErrUsed = errors.New("already used")

// ErrFull is in the error of a [Store] that has no room for something new, because
// none of what it holds has had its time.
var ErrFull = errors.New("the record is full")

// A Store is the record of what must not be forgotten: assertions and elevated
// tokens that were used up, sessions that were revoked, and which identities are one
// user's. It is no cache: where it cannot tell, it returns an error, and callers refuse.
//
// All methods may be called concurrently. Keys are opaque, 1 to 512 bytes.
// Implementations prove themselves with package storetest.
type Store interface {
	// Use spends key, which stays spent at least until the given time. Of any
	// number of concurrent calls with one key, in any process that shares the
	// store, exactly one returns nil and the others [ErrUsed]. When it returns nil
	// the record has reached whatever the store promises to survive. Any other
	// error means that the store cannot tell, or has no room ([ErrFull]), or that
	// until has passed already: the caller refuses.
	Use(ctx context.Context, key string, until time.Time) error

	// Revoke records r. Of several revocations with one key the latest At and the
	// latest Until count, and no more than the first of them needs room. A store whose
	// room is bounded keeps some that only an operator's revocations may use: users
	// make as many of their own as they like, and must not keep anybody from being
	// logged out, or the environment from being switched off. Without room the error
	// is [ErrFull].
	Revoke(ctx context.Context, r Revocation) error

	// RevokedAt returns when key was revoked, or the zero time if it was not.
	// It answers from memory: it is asked several times for every request.
	RevokedAt(key string) (time.Time, error)

	Directory
}

// A Revocation is what a [Store] is told of something that is revoked.
type Revocation struct {
	Key   string    // names it
	At    time.Time // the instant at which it is revoked
	Until time.Time // to be remembered until then

	// ByOperator says that an operator revokes it, and not somebody what is theirs: it
	// may use the room that is kept for that.
	ByOperator bool
}

// A Prober is a [Store] that can tell whether it could take a write: for health
// checks, which want to know before a request does.
type Prober interface {
	// Probe returns nil, or why [Store.Use] or [Store.Revoke] of something new would
	// fail for a user if it were called now. Where that is [ErrFull], there may still be
	// room for an operator's revocations: it is for them to put things right with. It
	// records nothing, and may cost what a write costs.
	Probe(ctx context.Context) error
}

// A Cache remembers credentials that were verified and exchanged. It may forget
// at any time and is never the record of what was used up or revoked.
type Cache interface {
	// Get returns what was set for the SHA-256 of a credential.
	Get(key [32]byte) (*Remembered, bool)

	// Set remembers r, which takes about cost bytes, until the given time.
	Set(key [32]byte, r *Remembered, cost int64, until time.Time)
}

// Remembered is one verified credential and the session it stands for. Only
// this package reads it: what a hit still has to satisfy is decided in [Environment.Authenticate].
type Remembered struct {
	presented string // the whole credential, compared on a hit
	session   *Session
	marks     marks // that would end the session
}
