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
//   - own is the same for the user that the session's identity makes by itself, where it
//     has joined another; else it is empty. A JWT that was revoked as one user's does not
//     come back as another's.
//
// So giving up one of several sessions that were started with one JWT leaves the
// others alone, and giving up the JWT ends them all. The names are not hashed: what is
// in them has a length of ours.
//
// The identity is no mark. Its ID is made here as well, since whose it is is asked as often.
type marks struct{ session, origin, user, own, identity string }

func (e *Environment) sessionMark(sid string) string   { return "session:" + e.cfg.ID + ":" + sid }
func (e *Environment) originMark(origin string) string { return "origin:" + e.cfg.ID + ":" + origin }
func (e *Environment) userMark(userID string) string   { return "user:" + e.cfg.ID + ":" + userID }

func (e *Environment) marksOf(s *Session) marks { return e.marksAs(s.ID, s) }

// marksAs are the marks of s if its ID were sid.
func (e *Environment) marksAs(sid string, s *Session) marks {
	m := marks{
		session:  e.sessionMark(sid),
		origin:   e.originMark(s.Origin),
		user:     e.userMark(s.UserID),
		identity: e.identityOf(s).ID,
	}
	if m.identity != s.UserID {
		m.own = e.userMark(m.identity)
	}
	return m
}

// revoked returns nil, or why the tokens of a session, or the external JWT that it
// stands for, no longer count.
func (e *Environment) revoked(s *Session) error {
	return whose(s, e.endedBy(e.marksOf(s), s.UserID, s.issued()))
}

// whose adds to a refusal whose session it is about: it was verified, and whoever
// watches for a stolen token wants to know.
func whose(s *Session, err error) error {
	if r := (*Refusal)(nil); errors.As(err, &r) {
		r.Session = s
	}
	return err
}

// originRevoked returns nil, or why the external JWT behind a session is no credential
// any more: it starts no session once one that came from it was given up.
func (e *Environment) originRevoked(s *Session) error {
	return whose(s, e.revokedBy(e.marksAs(s.Origin, s), s.issued()))
}

// elevatedRevoked is [Environment.revoked] for an elevated token, whose session is known
// by its ID alone. Which identity that was is not known, but its user has to be one
// still: whoever's own identity has joined another user is none any more.
func (e *Environment) elevatedRevoked(el *Elevated) error {
	m := marks{
		session:  e.sessionMark(el.Session),
		origin:   e.originMark(originOf(el.Session)),
		user:     e.userMark(el.UserID),
		identity: el.UserID,
	}
	return e.endedBy(m, el.UserID, el.IssuedAt)
}

// endedBy returns nil, or the refusal of what has these marks, was issued then, and is
// good for the user with that ID.
func (e *Environment) endedBy(m marks, userID string, issued time.Time) error {
	if err := e.revokedBy(m, issued); err != nil {
		return err
	}
	return e.belongs(m.identity, userID)
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
func (e *Environment) revokedBy(m marks, issued time.Time) error {
	for _, mark := range [...]string{m.session, m.origin} {
		if at, err := e.revokedAt(mark); err != nil {
			return err
		} else if !at.IsZero() {
			return sessionRevoked("the session was revoked: sign in again")
		}
	}
	if err := e.userRevoked(m.user, issued); err != nil || m.own == "" {
		return err
	}
	return e.userRevoked(m.own, issued)
}

// userRevoked returns nil, or the refusal of what was issued no later than all that the
// user had was revoked. Times of issue are whole seconds, rounded down: what was issued
// in the second of a revocation counts as issued before it.
func (e *Environment) userRevoked(mark string, issued time.Time) error {
	at, err := e.revokedAt(mark)
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
