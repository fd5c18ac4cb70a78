package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// joins says whether the sign-in for want is to link its identity to the user of
// present. What is theirs already is not linked again.
func (e *Environment) joins(want, present *Session) bool {
	return e.cfg.Link && present != nil && present.Presented &&
		present.External.Issuer != want.External.Issuer && present.UserID != want.UserID
}

// link joins the identity of want to the user of present, and tells how that went.
func (e *Environment) link(ctx context.Context, want Session, present *Session) (User, error) {
	want.UserID = present.UserID
	u, err := e.join(ctx, &want, present)
	e.observe(ctx, Event{Kind: EventLink, Session: &want, Err: err})
	return u, err
}

// join writes the link last: once the session that it rests on is known to count still,
// and the JWT that joins to be none that was revoked, be it as its own user's or as
// present's. From then on the JWT is present's user's, and is held to what that one had revoked.
func (e *Environment) join(ctx context.Context, want, present *Session) (User, error) {
	if err := e.counts(present); err != nil {
		return User{}, err
	}
	if err := e.originRevoked(want); err != nil {
		return User{}, err
	}
	l := Link{UserID: want.UserID, By: e.identityOf(present), Joins: e.identityOf(want), At: want.IssuedAt}
	if !l.By.fits() || !l.Joins.fits() {
		return User{}, badRequest(fmt.Sprintf("an identity that is linked has an issuer and a subject of %d bytes together at most,"+
			" and one of these two has more: sign in without a session", MaxIdentitySize))
	}
	u, err := e.cfg.Store.Link(ctx, l)
	if err != nil {
		return User{}, notLinked(err)
	}
	return u, nil
}

// counts returns nil, or why a session that was authenticated before can vouch for nobody any more.
func (e *Environment) counts(s *Session) error {
	if !e.cfg.Now().Before(s.Expiry) {
		return &verifier.Error{Code: verifier.CodeExpired, Err: errors.New("the session that the identity was to be linked to has expired")}
	}
	return e.Standing(s)
}

// notLinked turns what a [Directory] says of a link into what the client is told.
func notLinked(err error) error {
	refused := &Refusal{Cause: err}
	switch {
	case errors.Is(err, ErrIdentityTaken):
		refused.Code = CodeIdentityTaken
		refused.Err = errors.New("this identity belongs to another user, and cannot be linked:" +
			" to be that user, sign out and sign in with it alone")
	case errors.Is(err, ErrTooManyIdentities):
		refused.Code = CodeTooManyIdentities
		refused.Err = fmt.Errorf("the user has %d identities, as many as one may have:"+
			" sign in with one of those, or sign out and sign in with this one as another user", MaxIdentities)
	case errors.Is(err, ErrFull):
		refused.Code, refused.RetryAfter = CodeStoreUnavailable, storeRetry
		refused.Err = errors.New("the record of users is full: nothing is linked before somebody in it makes way")
	default:
		return directoryUnavailable(err)
	}
	return refused
}
