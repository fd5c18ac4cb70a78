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
func (e *Environment) Revoke(ctx context.Context, s *Session) error {
	err := e.end(ctx, s.ID, s.Origin, s.External.Expiry.Add(rememberPast))
	e.observe(ctx, Event{Kind: EventRevoke, Session: s, Err: err})
	return err
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
	err := e.end(ctx, sid, origin, e.cfg.Now().Add(revokedFor))
	e.observe(ctx, Event{Kind: EventRevoke, SessionID: sid, Err: err})
	return err
}

// end revokes a session, and the external JWT that it came from.
func (e *Environment) end(ctx context.Context, sid, origin string, until time.Time) error {
	if sid == origin {
		return e.mark(ctx, e.originMark(origin), until)
	}
	if err := e.mark(ctx, e.sessionMark(origin), until); err != nil { // the JWT first: it could start the session anew
		return err
	}
	return e.mark(ctx, e.sessionMark(sid), until)
}

// RevokeUser ends everything that a user has until now: every session, with its
// elevated tokens, and every external JWT that was issued until now, which neither
// comes with a request nor signs in any more. A JWT that is issued later does. When
// it was issued is its issuer's word (`iat`), by its issuer's clock; one that does not
// say is refused as long as the revocation is remembered, which is ten years. What
// was issued in this very second counts as issued before.
//
// An ID that is no UUID is a [CodeBadRequest], and nothing is recorded. Whether there
// is such a user it cannot tell.
func (e *Environment) RevokeUser(ctx context.Context, userID string) error {
	if !isUUID(userID) {
		err := badRequest("this is no user id: it is the `sub` of a session token, a lower-case UUID")
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
	for range 2 {
		if err := e.mark(ctx, e.userMark(userID), e.cfg.Now().Add(revokedFor)); err != nil {
			return err
		}
	}
	return nil
}

// mark records that what has this mark is revoked from now on.
func (e *Environment) mark(ctx context.Context, mark string, until time.Time) error {
	if err := e.cfg.Store.Revoke(ctx, mark, e.cfg.Now(), until); err != nil {
		return storeUnavailable(err)
	}
	return nil
}

func badRequest(why string) *Refusal {
	return &Refusal{Code: CodeBadRequest, Err: errors.New(why)}
}
