package gateway

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// User returns what is known of the user of a session. Of one who is not known, because
// they never signed in through [Environment.SignIn] or there was no room to know them,
// that is the ID and the session's own identity, which is always among the Identities.
// New is false: only a sign-in can tell.
func (e *Environment) User(ctx context.Context, s *Session) (User, error) {
	u, err := e.cfg.Store.User(ctx, s.UserID)
	if err != nil {
		return User{}, cmp.Or(givenUp(ctx), directoryUnavailable(err))
	}
	own := e.identityOf(s)
	if !slices.ContainsFunc(u.Identities, func(i Identity) bool { return i.ID == own.ID }) {
		u.Identities = append(slices.Clip(u.Identities), own)
	}
	return u, nil
}

// identityOf is the identity that a session came from.
func (e *Environment) identityOf(s *Session) Identity {
	issuer, subject := s.External.Issuer, s.External.Subject
	return Identity{ID: UserID(e.cfg.ID, issuer, subject), Issuer: issuer, Subject: subject}
}

// fits says whether a [Directory] takes the identity.
func (i Identity) fits() bool { return len(i.Issuer)+len(i.Subject) <= MaxIdentitySize }

// owner returns the ID of the user to whom an identity belongs now.
func (e *Environment) owner(identity string) (string, error) {
	id, err := e.cfg.Store.Owner(identity)
	if err != nil {
		return "", directoryUnavailable(err)
	}
	return id, nil
}

// belongs returns nil, or the refusal of what is good for another user than the one to
// whom the identity behind it belongs now.
func (e *Environment) belongs(identity, userID string) error {
	switch owner, err := e.owner(identity); {
	case err != nil:
		return err
	case owner != userID:
		return &Refusal{Code: CodeSessionRevoked, Err: errMoved}
	default:
		return nil
	}
}

// errMoved is for what was good for a user before its identity was linked to another.
var errMoved = errors.New("the identity belongs to another user now: sign in again")

func directoryUnavailable(err error) error {
	return &Refusal{
		Code:       CodeStoreUnavailable,
		RetryAfter: storeRetry,
		Err:        errors.New("the record of users cannot be reached"),
		Cause:      err,
	}
}
