package gateway

import (
	"context"
	"errors"
)

// SignIn starts a new session from an external JWT, and says of whom. Each call starts
// another one; none of them outlives the JWT. A JWT whose session was revoked starts none.
//
// The user is the one to whom the JWT's identity belongs. Where [Config].Link is set, the
// identity joins the user of present, the session that the caller sent a token of in
// Authorization, or nil: if the JWT is of another login system than the one behind
// present. From then on it signs that user in. Any other present changes nothing. The
// caller has authenticated present, and never takes it from a cookie, which a browser
// would also send on behalf of another site; that it still counts, is asked here.
//
// What cannot be linked is refused, and signs nobody in: with [CodeIdentityTaken] where
// the identity is another user's, with [CodeTooManyIdentities], with [CodeStoreUnavailable]
// where there is no room. An identity that has come with requests and never signed in can
// be linked; what an upstream holds under the ID of the user that it made until then stays
// there. No link is ever undone.
//
// The user has at least the session's own identity. Where the directory has no room for
// one more user, or does not take the identity because it is longer than
// [MaxIdentitySize], the sign-in goes on, and the user stays unknown: there are no visits.
func (e *Environment) SignIn(ctx context.Context, external string, present *Session) (*Session, User, error) {
	if err := e.Enabled(); err != nil {
		return nil, User{}, err
	}
	s, u, err := e.start(ctx, external, present)
	e.observe(ctx, Event{Kind: EventSignIn, Session: s, Err: err})
	return s, u, err
}

// start verifies first and writes then, so that a JWT which is refused leaves nothing
// behind. It mints last, for the user of whom the directory says that it is one.
func (e *Environment) start(ctx context.Context, external string, present *Session) (*Session, User, error) {
	claims, err := e.verify(ctx, external)
	if err != nil {
		return nil, User{}, err
	}
	origin := originID(e.cfg.ID, external)
	want, err := e.propose(claims, origin, newSessionID(origin))
	if err != nil {
		return nil, User{}, err
	}
	u, err := e.enter(ctx, want, present)
	if err != nil {
		return nil, User{}, err
	}
	want.UserID = u.ID
	s, err := e.obtain(ctx, external, want)
	if err != nil {
		return nil, User{}, err
	}
	return s, u, nil
}

// enter records that the user of want signs in, whoever that is to be.
func (e *Environment) enter(ctx context.Context, want Session, present *Session) (User, error) {
	if e.joins(&want, present) {
		return e.link(ctx, want, present)
	}
	return e.visit(ctx, &want)
}

// visit records the visit of a user who has nothing to link. Whom the directory cannot
// know may enter all the same: there is nothing that only a known user could do.
func (e *Environment) visit(ctx context.Context, want *Session) (User, error) {
	if err := e.originRevoked(want); err != nil {
		return User{}, err
	}
	by := e.identityOf(want)
	unknown := User{ID: want.UserID, Identities: []Identity{by}}
	if !by.fits() {
		return unknown, nil
	}
	switch u, err := e.cfg.Store.Visit(ctx, by, want.IssuedAt); {
	case errors.Is(err, ErrFull):
		return unknown, nil
	case err != nil:
		return User{}, directoryUnavailable(err)
	default:
		return u, nil
	}
}
