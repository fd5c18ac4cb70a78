package gateway

import (
	"context"
	"errors"
	"time"
)

// revokedFor is how long a revocation is remembered where nothing says when the last
// of what it ends will expire. An external JWT names its own expiry, and there is no
// bound on that: one that is good for longer comes back after ten years.
const revokedFor = 10 * 365 * 24 * time.Hour

// Revoke ends a session: every token with its ID, and the external JWT that it
// came from, are refused from now on, until none of them could be valid any more.
// Another session that was started with the same JWT goes on. Where s stands for
// the JWT itself, which came with the request, all that came from it ends.
//
// Where ctx is cancelled before anything is recorded, nothing is. From then on it is
// carried through, and only a deadline of ctx bounds the wait for the store. The same
// goes for the other revocations, and for the switch.
//
// It is for whoever has the session. Users can start and end any number of them, so
// none of it uses the room that the store keeps for an operator, and the mark of a
// session that was signed in goes when its last token has expired. That of the JWT,
// which may live far longer, is one for all sessions that were started with it.
func (e *Environment) Revoke(ctx context.Context, s *Session) error {
	err := e.end(ctx, s.ID, s.Origin,
		Revocation{Until: s.External.Expiry.Add(rememberPast)},
		Revocation{Until: s.end().Add(rememberPast)})
	e.observe(ctx, Event{Kind: EventRevoke, Session: s, Err: err})
	return err
}

// Identify says whose credential this is, for [Environment.Revoke] and for nothing
// else: it grants nothing. It holds the credential to the rules of
// [Environment.Authenticate], but for one: whether the environment is switched off. That
// is done while something goes wrong, which is when people log out, and what they gave
// up must not be good again once the environment is on. It asks the exchanger for
// nothing and remembers nothing, so that the session of an external JWT has no token.
func (e *Environment) Identify(ctx context.Context, credential string) (*Session, error) {
	ctx, cancel := context.WithTimeout(ctx, flightTimeout)
	defer cancel()
	s, err := e.identify(ctx, credential)
	if err != nil {
		return nil, err
	}
	if err := e.revoked(s); err != nil {
		return nil, err
	}
	return s, nil
}

func (e *Environment) identify(ctx context.Context, credential string) (*Session, error) {
	s, err := e.openSession(ctx, credential)
	if err == nil {
		return s, e.openedHere(s)
	}
	if !errors.Is(err, ErrForeign) {
		return nil, err
	}
	claims, err := e.verify(ctx, credential)
	if err != nil {
		return nil, err
	}
	origin := originID(e.cfg.ID, credential)
	would, err := e.propose(claims, origin, origin)
	if err != nil {
		return nil, err
	}
	return &would, nil
}

// RevokeSession does what [Environment.Revoke] does, for an operator who knows a
// session's ID and no more. It cannot tell whether there ever was such a session.
// What it ends stays ended for ten years, longer than any sensible token lives. A sid
// that no session of this package can have is a [CodeBadRequest], and nothing is recorded.
func (e *Environment) RevokeSession(ctx context.Context, sid string) error {
	origin, ok := parseSessionID(sid)
	if !ok { // what it is instead may be a token: it is told to nobody
		err := badRequest("this is no session id: it is the `sid` of a session token, to the letter")
		e.observe(ctx, Event{Kind: EventRevoke, Err: err})
		return err
	}
	err := e.end(ctx, sid, origin, e.byOperator(), e.byOperator())
	e.observe(ctx, Event{Kind: EventRevoke, SessionID: sid, Err: err})
	return err
}

// end revokes a session, and the external JWT that it came from, each for as long and
// on whose behalf as is said of it.
func (e *Environment) end(ctx context.Context, sid, origin string, jwt, session Revocation) error {
	if sid == origin {
		jwt.Key = e.originMark(origin)
		return e.mark(ctx, jwt)
	}
	jwt.Key, session.Key = e.sessionMark(origin), e.sessionMark(sid)
	return e.mark(ctx, jwt, session) // the JWT first: it could start the session anew
}

// RevokeUser ends everything that a user has until now: every session, with its
// elevated tokens, and every external JWT that was issued until now, which neither
// comes with a request nor signs in any more. A JWT that is issued later does. What
// was issued in this very second counts as issued before.
//
// That is so for all identities of the user, and stays so: a JWT that was issued before
// is not good again once its identity is linked to somebody else, nor where it has joined
// this user only since. The ID of an identity that has joined another user ends what
// came from that identity, its sessions and its JWTs, and leaves that user the rest, with
// such elevated tokens as were granted already. No identity leaves the user: one that
// somebody linked with a stolen session signs them in again with its next JWT.
//
// When a JWT was issued is its issuer's word (`iat`), by its issuer's clock; one that
// does not say is refused as long as the revocation is remembered, which is ten years.
// A login system whose clock is ahead, which the verifier's leeway bounds, keeps its
// last JWT alive by that much: one from before the revocation whose iat is after it
// counts as issued later. What is remembered is held more strictly than what is verified
// anew: the sessions from before are over all the same, and so is that JWT where it
// comes with a request and is remembered still; but from the next second on it signs in
// again. Where the clock is behind, a JWT from right after the revocation is refused.
//
// Each user whose sessions are ended takes up one of the store's revocations for those
// ten years, each session that is ended by its ID two (the JWT and itself), and the
// switch of an environment two for good. The stores of package gateway/store have room
// for a tenth of their capacity of these, 100,000 by default, whatever users do, and
// for more as far as users leave it free. Ending what is ended already takes up nothing.
//
// An ID that cannot be a user's (see [UserID]), such as that of a session or of its
// origin, is a [CodeBadRequest], and nothing is recorded. Whether there is such a user
// it cannot tell.
func (e *Environment) RevokeUser(ctx context.Context, userID string) error {
	if !isUserID(userID) {
		err := badRequest("this is no user id: it is the `sub` of a session token, a lower-case UUID of version 5")
		e.observe(ctx, Event{Kind: EventRevoke, Err: err})
		return err
	}
	err := e.endUser(ctx, userID)
	e.observe(ctx, Event{Kind: EventRevoke, UserID: userID, Err: err})
	return err
}

// endUser marks twice. While the first mark was on its way to the store, an elevated
// token may still have been minted, after the instant that it names; once it is there
// nothing is, and the second names a later instant.
func (e *Environment) endUser(ctx context.Context, userID string) error {
	r := e.byOperator()
	r.Key = e.userMark(userID)
	return e.mark(ctx, r, r)
}

// byOperator is a revocation that an operator orders, of which nobody knows when the
// last that it ends will expire.
func (e *Environment) byOperator() Revocation {
	return Revocation{Until: e.cfg.Now().Add(revokedFor), ByOperator: true}
}

// mark records, one after the other, that what these name is revoked from now on. Whoever
// logs out and leaves the page at once has logged out: of two marks, none is left out.
func (e *Environment) mark(ctx context.Context, revocations ...Revocation) error {
	return seeThrough(ctx, func(ctx context.Context) error {
		for _, r := range revocations {
			r.At = e.cfg.Now()
			if err := e.record(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (e *Environment) record(ctx context.Context, r Revocation) error {
	if err := e.cfg.Store.Revoke(ctx, r); err != nil {
		return storeUnavailable(err)
	}
	return nil
}

func badRequest(why string) *Refusal {
	return &Refusal{Code: CodeBadRequest, Err: errors.New(why)}
}
