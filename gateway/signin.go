package gateway

import (
	"context"
	"errors"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// SignIn starts a new session from an external JWT, and says of whom. Each call starts
// another one; none of them outlives the JWT. A JWT whose session was revoked starts none.
//
// The user is the one to whom the JWT's identity belongs. Where [Config].Link is set, the
// identity joins the user of present, the session that the caller sent a token of in
// Authorization, or nil: if the JWT is of another login system than the one behind
// present. From then on it signs that user in. Any other present changes nothing. The
// caller has authenticated present, and never takes it from a cookie, which a browser
// would also send on behalf of another site; that it still counts, is asked here, and once
// more as the link is written.
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
//
// Each accept is shown the session before anything is recorded, and refuses the sign-in
// with its error: for a caller who may have no way to hand the session over.
//
// A sign-in that is refused, or whose caller goes away, has recorded nothing: neither a
// visit nor a link. It is recorded last, and carried through from then on, even if the
// caller has gone: the observer is told what was done. Two refusals come after it: of a JWT
// that was revoked in that very moment, and a [CodeStoreUnavailable] where the store does
// not answer in time, and nobody can tell.
func (e *Environment) SignIn(
	ctx context.Context, external string, present *Session, accept ...func(*Session) error,
) (*Session, User, error) {
	if err := e.Enabled(); err != nil {
		return nil, User{}, err
	}
	s, u, err := e.start(ctx, &arrival{external: external, present: present, accept: accept})
	e.observe(ctx, Event{Kind: EventSignIn, Session: s, Err: err})
	return s, u, err
}

// An arrival is somebody who signs in.
type arrival struct {
	external string
	claims   *verifier.Claims // of external, verified
	present  *Session         // or nil
	accept   []func(*Session) error
}

func (e *Environment) start(ctx context.Context, a *arrival) (s *Session, u User, err error) {
	if a.claims, err = e.verify(ctx, a.external); err != nil {
		return nil, User{}, err
	}
	s, u, err = e.enter(ctx, a)
	if overtaken(err) {
		return e.enter(ctx, a)
	}
	return s, u, err
}

// enter lets somebody in as whoever they are, or are to be from now on.
func (e *Environment) enter(ctx context.Context, a *arrival) (*Session, User, error) {
	origin := originID(e.cfg.ID, a.external)
	want, err := e.propose(a.claims, origin, newSessionID(origin))
	if err != nil {
		return nil, User{}, err
	}
	by := e.visit
	if e.joins(&want, a.present) {
		by = e.link
	}
	s, u, err := by(ctx, a, want)
	if err == nil {
		err = e.entered(s, u)
	}
	if err != nil {
		return nil, User{}, err
	}
	return s, u, nil
}

// entered holds a session that was minted for one user against who entered with it.
func (e *Environment) entered(s *Session, u User) error {
	if u.ID != s.UserID {
		return whose(s, &Refusal{Code: CodeSessionRevoked, Err: errMoved})
	}
	return e.standsYet(s)
}

// visit lets somebody in who has nothing to link.
func (e *Environment) visit(ctx context.Context, a *arrival, want Session) (*Session, User, error) {
	if err := e.originRevoked(&want); err != nil {
		return nil, User{}, err
	}
	return e.mintThen(ctx, a, want, func(ctx context.Context) (User, error) { return e.recordVisit(ctx, &want) })
}

// mintThen has the session minted first and the sign-in recorded then, so that nothing is
// recorded of one that fails. What was minted is told of last, so that nobody reads of a
// session that nobody got.
func (e *Environment) mintThen(
	ctx context.Context, a *arrival, want Session, record func(context.Context) (User, error),
) (s *Session, u User, err error) {
	s, minted := e.mintSession(ctx, a.external, want)
	if minted.Err != nil {
		e.observe(ctx, minted)
		return nil, User{}, minted.Err
	}
	for _, accept := range a.accept {
		if err := accept(s); err != nil {
			return nil, User{}, err
		}
	}
	err = seeThrough(ctx, func(ctx context.Context) (err error) {
		u, err = record(ctx)
		return err
	})
	if err != nil {
		return nil, User{}, err
	}
	e.observe(ctx, minted)
	return s, u, nil
}

// recordVisit returns the user of want, whose JWT may have been revoked since. Whom the
// directory cannot know may enter all the same: there is nothing that only a known user
// could do.
func (e *Environment) recordVisit(ctx context.Context, want *Session) (User, error) {
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
