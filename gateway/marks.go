package gateway

import (
	"errors"
	"time"
)

// marks name the revocations in a [Store] that would end one session. They are
// asked at every use, so the names are made once for each credential that is remembered.
//
//   - session is for every token with one sid. Where that is the ID of the session that
//     an external JWT stands for, it is for the JWT as a credential, too: somebody gave
//     up a session that came from it, and it must not start that one anew.
//   - origin is for an external JWT and everything that ever came from it: the JWT itself was given up.
//   - user is for all that one user had until an instant.
//
// So giving up one of several sessions that were started with one JWT leaves the
// others alone, and giving up the JWT ends them all. The names are not hashed: what is
// in them has a length of ours.
type marks struct{ session, origin, user string }

func (e *Environment) sessionMark(sid string) string   { return "session:" + e.cfg.ID + ":" + sid }
func (e *Environment) originMark(origin string) string { return "origin:" + e.cfg.ID + ":" + origin }
func (e *Environment) userMark(userID string) string   { return "user:" + e.cfg.ID + ":" + userID }

func (e *Environment) marksOf(s *Session) marks {
	return marks{e.sessionMark(s.ID), e.originMark(s.Origin), e.userMark(s.UserID)}
}

// revoked returns nil, or why the tokens of a session, or the external JWT that it
// stands for, no longer count.
func (e *Environment) revoked(s *Session) error {
	return whose(s, e.revokedBy(e.marksOf(s), s.issued()))
}

// whose adds to a refusal whose session it is about: it was verified, and whoever
// watches for a stolen token wants to know.
func whose(s *Session, err error) error {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		r.Session = s
	}
	return err
}

// originRevoked is [Environment.revoked] for the external JWT behind a session, as a
// credential: it starts no session once one that came from it was given up.
func (e *Environment) originRevoked(s *Session) error {
	m := marks{e.sessionMark(s.Origin), e.originMark(s.Origin), e.userMark(s.UserID)}
	return whose(s, e.revokedBy(m, s.issued()))
}

// elevatedRevoked is [Environment.revoked] for an elevated token, whose session is known by its ID alone.
func (e *Environment) elevatedRevoked(el *Elevated) error {
	m := marks{e.sessionMark(el.Session), e.originMark(originOf(el.Session)), e.userMark(el.UserID)}
	return e.revokedBy(m, el.IssuedAt)
}

// issued is when the first of what a session rests on was issued: the external JWT
// behind it, or its own token. It is the zero time, before everything else, where the
// external JWT does not say (`iat`, RFC 7519 section 4.1.6).
//
// The one is the issuer's word, by its clock; the other is by ours, of when we minted
// the token. What is remembered, and every session token, is held to both. What is
// verified anew was minted just now by ours, so that the issuer's word alone decides:
// where its clock is ahead, as far as the leeway of its verifier lets it, a JWT from
// before a revocation has an iat from after it, and passes for one that was issued
// later. Ours cannot tell the two apart: of whoever comes right after a revocation, it
// does not know whether the JWT is from before.
func (s *Session) issued() time.Time { return earlier(s.External.IssuedAt, s.IssuedAt) }

// revokedBy returns nil, or the refusal of what has these marks and was issued then.
// Times of issue are whole seconds, rounded down: what was issued in the second of a
// revocation counts as issued before it.
func (e *Environment) revokedBy(m marks, issued time.Time) error {
	for _, mark := range [...]string{m.session, m.origin} {
		if at, err := e.revokedAt(mark); err != nil {
			return err
		} else if !at.IsZero() {
			return sessionRevoked("the session was revoked: sign in again")
		}
	}
	at, err := e.revokedAt(m.user)
	switch {
	case err != nil:
		return err
	case at.IsZero() || issued.After(at):
		return nil
	case issued.IsZero():
		return sessionRevoked("all sessions of the user were revoked, and the external JWT does not say when it was issued (iat):" +
			" it cannot be told from one of those, and the login system has to put iat into new ones")
	default:
		return sessionRevoked("all sessions of the user were revoked: sign in again")
	}
}

func (e *Environment) revokedAt(mark string) (time.Time, error) {
	at, err := e.cfg.Store.RevokedAt(mark)
	if err != nil {
		return time.Time{}, storeUnavailable(err)
	}
	return at, nil
}

func sessionRevoked(why string) *Refusal {
	return &Refusal{Code: CodeSessionRevoked, Err: errors.New(why)}
}
