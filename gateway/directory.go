package gateway

import (
	"context"
	"errors"
	"time"
)

// Why a [Directory] does not link an identity.
var (
	// ErrIdentityTaken is for an identity that is somebody else's: it was linked to
	// another user, or has signed in before as a user of its own.
	ErrIdentityTaken = errors.New("the identity belongs to another user")

	// ErrTooManyIdentities is for a user who has [MaxIdentities] already.
	ErrTooManyIdentities = errors.New("the user has as many identities as one may have")
)

// MaxIdentities is how many identities one user may have.
const MaxIdentities = 20

// An Identity is one way in which a user is known: to one login system, by one subject.
type Identity struct {
	// ID names it, and is the ID of the user that it makes by itself: see [UserID].
	ID string

	// Issuer and Subject are the `iss` and `sub` of the external JWT.
	Issuer, Subject string
}

// A User is what a [Directory] knows of one.
type User struct {
	ID string

	// FirstVisit and LastVisit are when the user signed in for the first time and for
	// the last; both zero where the directory does not know the user.
	FirstVisit, LastVisit time.Time

	// New says that the sign-in that asks was the first one.
	New bool

	// Identities are the user's, in the order in which they became so.
	Identities []Identity
}

// A Directory is the part of a [Store] that knows the users: when they signed in, and
// which identities are one user's. It has a room of its own, so that neither users nor
// what is used up and revoked can crowd out the other. All methods may be called
// concurrently; IDs are opaque, 1 to 512 bytes, and an identity's issuer and subject
// have [MaxIdentitySize] bytes at most. Any error but those named here means that the
// store cannot tell.
//
// A user with one identity who has not signed in for 400 days makes way for others
// where there is no room. Whoever has linked identities is kept.
type Directory interface {
	// Owner returns the ID of the user to whom an identity belongs: the one it was
	// linked to, or else the identity's own ID. It answers from memory: it is asked for
	// every request.
	Owner(identity string) (userID string, err error)

	// User returns what is known of a user. Of one that is not known, only the ID is set.
	User(ctx context.Context, id string) (User, error)

	// Visit records that the owner of an identity has signed in with it, and returns
	// the user as from then on, New if the user was not known before. Without room for
	// a new user the error is [ErrFull], and nothing is recorded. LastVisit never goes back.
	Visit(ctx context.Context, by Identity, at time.Time) (User, error)

	// Link joins an identity to a user, and records the visit as [Directory.Visit] does.
	// Of any number of concurrent calls that would give one identity to different users,
	// one succeeds. Linking what is linked already only records the visit. The error is
	// [ErrIdentityTaken], [ErrTooManyIdentities], [ErrFull] or what l.Unless says where
	// nothing was changed. When it returns nil the link has reached whatever the store
	// promises to survive.
	Link(ctx context.Context, l Link) (User, error)
}

// A Link is what a [Directory] is told of an identity that joins a user.
type Link struct {
	UserID string   // who is signed in
	By     Identity // as whom: it belongs to the user, which [Directory.Link] makes sure of
	Joins  Identity
	At     time.Time

	// Unless, if it is not nil, is asked right before the link is written, anew or once
	// more, where neither of the two identities speaks against it. Its error refuses the
	// link, and is returned as it is.
	//
	// It may ask [Store.RevokedAt] and [Directory.Owner], and no revocation is recorded
	// between its answer and the link: what [Store.Revoke] had returned for before the
	// link was there is known to it. Since the store waits for it, it must not wait for
	// anything itself, nor write to the store. It may be asked more than once.
	Unless func() error
}

// MaxIdentitySize is the largest size of an identity that a [Directory] takes: issuer and subject, in bytes.
const MaxIdentitySize = 2048
