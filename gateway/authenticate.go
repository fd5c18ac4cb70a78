package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// Authenticate says whose credential this is: an external JWT of one of the
// providers, or a session token of this environment; its unverified `iss` chooses
// which rules it is held to. An external JWT is exchanged for a session, which is
// remembered as long as it lives.
//
// A remembered credential is still asked four things at every use: is it unexpired,
// is the key that signed it still in its set, is its session not revoked, does its
// identity still belong to the user that it was remembered for. An external JWT whose
// identity joins another user is good for that one from then on, also where it does so
// while the JWT is being exchanged. A caller that goes away does not cancel the work that
// others wait for.
func (e *Environment) Authenticate(ctx context.Context, credential string) (*Session, error) {
	if err := e.Enabled(); err != nil {
		return nil, err
	}
	key := sha256.Sum256([]byte(credential))
	s, err := e.authenticate(ctx, key, credential)
	if overtaken(err) {
		return e.authenticate(ctx, key, credential)
	}
	return s, err
}

// overtaken says whether an external JWT was refused because its identity was linked while
// it was being exchanged. The next attempt is for the user to whom it belongs now; a third
// is never needed, since no identity leaves the user whom it has joined.
func overtaken(err error) bool {
	if !errors.Is(err, errMoved) {
		return false
	}
	r := (*Refusal)(nil)
	return errors.As(err, &r) && r.Session != nil && !r.Session.Presented
}

func (e *Environment) authenticate(ctx context.Context, key [32]byte, credential string) (*Session, error) {
	if s, err := e.remembered(ctx, key, credential); s != nil || err != nil {
		return s, err
	}
	flight := e.flights.DoChan(string(key[:]), func() (s any, err error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTimeout)
		defer cancel()
		defer recovered(&err)
		return e.admit(ctx, key, credential)
	})
	select {
	case done := <-flight:
		if done.Err != nil {
			return nil, done.Err
		}
		s := done.Val.(*Session)
		if err := e.Standing(s); err != nil { // asked now: a flight takes time, and others may have been waiting for it
			return nil, err
		}
		return s, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a verification: %w", ctx.Err())
	}
}

// recovered makes an error of a panic. The work of a flight is nobody's request, so
// no server would recover it, and it would end the process.
func recovered(err *error) {
	switch p := recover().(type) {
	case nil:
	case runtime.Error:
		*err = fmt.Errorf("verifying a credential panicked: %w", p)
	default: // what was said could be a part of the credential
		*err = fmt.Errorf("verifying a credential panicked with a %T", p)
	}
}

// remembered returns the session of a credential that was verified before and
// still is good; nothing at all where it has to be verified anew.
func (e *Environment) remembered(ctx context.Context, key [32]byte, credential string) (*Session, error) {
	r, ok := e.cfg.Memory.Get(key)
	var err error
	if ok = ok && r.presented == credential && e.stillGood(r.session); ok {
		err = e.endedBy(r.marks, r.session.UserID, r.session.issued())
		ok = r.session.Presented || !errors.Is(err, errMoved) // an external JWT is good for whoever its identity belongs to now
	}
	if !ok {
		e.observe(ctx, Event{Kind: EventMemory, Code: memoryMiss})
		return nil, nil
	}
	e.observe(ctx, Event{Kind: EventMemory})
	if err != nil {
		return nil, whose(r.session, err)
	}
	return r.session, nil
}

// memoryMiss marks an [EventMemory] that found nothing.
const memoryMiss verifier.Code = "miss"

// stillGood says whether a remembered session can be used without verifying anything.
// An external JWT is verified anew once its key has left its provider's set, and
// refused. A session token is ours: it is good as long as our own key is published,
// also where the key that had signed the external JWT left its set in the meantime.
// It ends by its own expiry, at the latest with that JWT's; to end it before, revoke it.
func (e *Environment) stillGood(s *Session) bool {
	now := e.cfg.Now()
	if !e.cfg.Exchanger.Holds(s.Key) {
		return false
	}
	if s.Presented {
		return now.Before(s.Expiry)
	}
	p, ok := e.trust[s.External.Issuer]
	return ok && p.Verifier.Keys().Holds(s.External.Key) && now.Before(renewAt(s))
}

// renewAt is when a session that came from an external JWT is minted anew. Where
// the external JWT itself is about to end there is nothing to renew, and it serves to its end.
func renewAt(s *Session) time.Time {
	if !s.Expiry.Before(s.External.Expiry.Truncate(time.Second)) {
		return s.Expiry
	}
	return s.Expiry.Add(-min(renewEarly, s.Expiry.Sub(s.IssuedAt)/4))
}

// admit verifies a credential, exchanges it if it is an external JWT, and remembers the outcome.
func (e *Environment) admit(ctx context.Context, key [32]byte, credential string) (*Session, error) {
	s, err := e.openSession(ctx, credential)
	switch {
	case errors.Is(err, ErrForeign):
		s, err = e.exchange(ctx, credential)
	case err == nil:
		err = e.openedHere(s)
	}
	if err != nil {
		return nil, err
	}
	cost := int64(len(credential) + len(s.Token) + s.External.Size() + rememberedOverhead)
	e.cfg.Memory.Set(key, &Remembered{presented: credential, session: s, marks: e.marksOf(s)}, cost, s.Expiry)
	return s, nil
}

// rememberedOverhead is about what a Session takes beside its strings, and the names of its marks.
const rememberedOverhead = 512 + 512

// openSession verifies a session token. What is none of ours is not verified, and no event.
func (e *Environment) openSession(ctx context.Context, credential string) (*Session, error) {
	start := time.Now()
	s, err := e.cfg.Exchanger.OpenSession(ctx, credential)
	if !errors.Is(err, ErrForeign) {
		e.observe(ctx, Event{Kind: EventVerify, Session: s, Err: err, Took: time.Since(start)})
	}
	return s, err
}

// openedHere holds a session token whose signature is ours against the config, which
// may be another one than when it was minted. Whether it was revoked is asked of whatever comes out of a flight.
func (e *Environment) openedHere(s *Session) error {
	if _, ok := e.trust[s.External.Issuer]; !ok {
		return &verifier.Error{
			Code: verifier.CodeIssuerMismatch,
			Err:  errors.New("the session's login system is no longer trusted here"),
		}
	}
	return nil
}

// exchange verifies an external JWT that came with a request, and exchanges it for the
// session that it stands for.
func (e *Environment) exchange(ctx context.Context, external string) (*Session, error) {
	claims, err := e.verify(ctx, external)
	if err != nil {
		return nil, err
	}
	origin := originID(e.cfg.ID, external)
	want, err := e.propose(claims, origin, origin)
	if err != nil {
		return nil, err
	}
	if err := e.originRevoked(&want); err != nil {
		return nil, err
	}
	return e.obtain(ctx, external, want)
}

// obtain asks the exchanger for the session that a verified external JWT may have.
func (e *Environment) obtain(ctx context.Context, external string, want Session) (*Session, error) {
	s, err := e.signIn(ctx, external, want)
	if err != nil {
		return nil, err
	}
	if err := e.standsYet(s); err != nil {
		return nil, err
	}
	return s, nil
}

// standsYet holds the external JWT behind a session that was just minted against what may
// have happened meanwhile.
func (e *Environment) standsYet(s *Session) error {
	if err := e.originRevoked(s); err != nil {
		return err
	}
	return whose(s, e.belongs(e.identityOf(s).ID, s.UserID))
}

func (e *Environment) verify(ctx context.Context, external string) (*verifier.Claims, error) {
	start := time.Now()
	claims, err := e.providers.Verify(ctx, external)
	e.observe(ctx, Event{Kind: EventVerify, Err: err, Took: time.Since(start)})
	return claims, err
}

// signIn has a session minted, and tells how that went.
func (e *Environment) signIn(ctx context.Context, external string, want Session) (*Session, error) {
	s, told := e.mintSession(ctx, external, want)
	e.observe(ctx, told)
	return s, told.Err
}

// mintSession returns what is to be told of a session as well, with why there is none if that is so.
func (e *Environment) mintSession(ctx context.Context, external string, want Session) (*Session, Event) {
	start := time.Now()
	s, err := e.cfg.Exchanger.SignIn(ctx, external, want)
	told := Event{Kind: EventExchange, Session: s, Took: time.Since(start)}
	if err != nil {
		s = nil
		told.Session, told.Err = &want, exchangeFailed(err) // whose it would have been is verified
	}
	return s, told
}

// propose is the session that an external JWT may have, whoever mints it: one of the
// user to whom the JWT's identity belongs.
func (e *Environment) propose(c *verifier.Claims, origin, sid string) (Session, error) {
	owner, err := e.owner(UserID(e.cfg.ID, c.Issuer, c.Subject))
	if err != nil {
		return Session{}, err
	}
	now := e.cfg.Now()
	until := earlier(now.Add(e.cfg.Session.MaxLifetime), c.Expiry)
	return Session{
		ID:           sid,
		UserID:       owner,
		Email:        e.trust[c.Issuer].email(c),
		External:     c,
		Origin:       origin,
		IssuedAt:     now,
		Expiry:       earlier(now.Add(e.cfg.Session.Lifetime), until),
		RefreshUntil: until,
	}, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// email is the address that the provider vouches for, or empty.
func (p Provider) email(c *verifier.Claims) string {
	address, _ := claimOf[string](c, "email")
	if p.DistrustEmail || address == "" {
		return ""
	}
	for _, name := range []string{"emailVerified", "email_verified"} {
		if value, present := c.Get(name); present {
			verified, _ := value.(bool)
			if !verified {
				return ""
			}
			return address
		}
	}
	if p.AssumeEmailVerified {
		return address
	}
	return ""
}

func claimOf[T any](c *verifier.Claims, name string) (T, bool) {
	value, _ := c.Get(name)
	typed, ok := value.(T)
	return typed, ok
}

// exchangeFailed leaves verdicts as they are and makes any other failure of an exchanger a refusal.
func exchangeFailed(err error) error {
	if CodeOf(err) != "" {
		return err
	}
	return &Refusal{
		Code:    CodeExchangeFailed,
		Timeout: errors.Is(err, context.DeadlineExceeded),
		Err:     errors.New("exchanging the token failed"),
		Cause:   err,
	}
}
