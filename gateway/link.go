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

// link lets somebody in as the user of present, whom their identity joins, and tells how that went.
func (e *Environment) link(ctx context.Context, a *arrival, want Session) (*Session, User, error) {
	want.UserID = a.present.UserID
	s, u, err := e.join(ctx, a, want)
	e.observe(ctx, Event{Kind: EventLink, Session: &want, Err: err})
	return s, u, err
}

// join asks twice whether anything speaks against the link: before a session is minted for
// it, and, since that takes time, in the very moment in which it is written. A session that
// somebody has given up in between, because it was stolen, links nothing.
func (e *Environment) join(ctx context.Context, a *arrival, want Session) (*Session, User, error) {
	l := Link{
		UserID: want.UserID,
		By:     e.identityOf(a.present),
		Joins:  e.identityOf(&want),
		At:     want.IssuedAt,
		Unless: func() error { return e.mayNotJoin(&want, a.present) },
	}
	if err := l.Unless(); err != nil {
		return nil, User{}, err
	}
	if !l.By.fits() || !l.Joins.fits() {
		return nil, User{}, badRequest(fmt.Sprintf("an identity that is linked has an issuer and a subject of %d bytes together at most,"+
			" and one of these two has more: sign in without a session", MaxIdentitySize))
	}
	return e.mintThen(ctx, a, want, func(ctx context.Context) (User, error) {
		u, err := e.cfg.Store.Link(ctx, l)
		if err != nil {
			return User{}, notLinked(err)
		}
		return u, nil
	})
}

// mayNotJoin returns nil, or why the identity of want cannot join the user of present:
// the session that this rests on does not count any more, or the JWT that joins was
// revoked, be it as its own user's or as present's. From then on the JWT is present's
// user's, and is held to what that one had revoked.
func (e *Environment) mayNotJoin(want, present *Session) error {
	if err := e.counts(present); err != nil {
		return err
	}
	return e.originRevoked(want)
}

// counts returns nil, or why a session that was authenticated before can vouch for nobody any more.
func (e *Environment) counts(s *Session) error {
	if !e.cfg.Now().Before(s.Expiry) {
		return &verifier.Error{Code: verifier.CodeExpired, Err: errors.New("the session that the identity was to be linked to has expired")}
	}
	return e.Standing(s)
}

// notLinked turns what a [Directory] says of a link into what the client is told. A
// verdict is one of ours already: see [Link].Unless.
func notLinked(err error) error {
	refused := &Refusal{Cause: err}
	switch {
	case CodeOf(err) != "":
		return err
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
