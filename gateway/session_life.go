package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// SignIn starts a new session from an external JWT. Each call starts another one;
// none of them outlives the JWT. A JWT whose session was revoked starts none.
func (e *Environment) SignIn(ctx context.Context, external string) (*Session, error) {
	if err := e.Enabled(); err != nil {
		return nil, err
	}
	s, err := e.exchange(ctx, external, uuid.NewString())
	e.observe(ctx, Event{Kind: EventSignIn, Session: s, Err: err})
	return s, err
}

// Refresh carries a session on with a new token of the same ID, never past the
// external JWT's expiry nor the longest life of a session. The old token stays
// valid until its own expiry. s must come from [Environment.Authenticate] and
// from a session token: whoever holds the external JWT signs in with it instead.
func (e *Environment) Refresh(ctx context.Context, s *Session) (*Session, error) {
	fresh, err := e.refresh(ctx, s)
	e.observe(ctx, Event{Kind: EventRefresh, Session: s, Err: err})
	return fresh, err
}

func (e *Environment) refresh(ctx context.Context, s *Session) (*Session, error) {
	if err := e.Enabled(); err != nil {
		return nil, err
	}
	if !s.Presented {
		return nil, &Refusal{Code: CodeBadRequest, Err: errors.New("only a session token can be refreshed: sign in with the external JWT instead")}
	}
	now := e.cfg.Now()
	want := *s
	want.Expiry = earlier(now.Add(e.cfg.Session.Lifetime), s.RefreshUntil)
	if !now.Before(want.Expiry) {
		return nil, &verifier.Error{Code: verifier.CodeExpired, Err: errors.New("the session has reached the end of its longest life: sign in again")}
	}
	return e.signIn(ctx, "", want)
}

// Revoke ends a session: every token with its ID, and the external JWT that it
// came from, are refused from now on, until none of them could be valid any more.
func (e *Environment) Revoke(ctx context.Context, s *Session) error {
	err := e.revoke(ctx, s)
	e.observe(ctx, Event{Kind: EventRevoke, Session: s, Err: err})
	return err
}

func (e *Environment) revoke(ctx context.Context, s *Session) error {
	now := e.cfg.Now()
	until := s.External.Expiry.Add(rememberPast)
	for _, id := range []string{s.Origin, s.ID} { // the JWT first: it could start the session anew
		if err := e.cfg.Store.Revoke(ctx, e.sessionKey(id), now, until); err != nil {
			return storeUnavailable(err)
		}
	}
	return nil
}

// Standing returns nil, or why a session that was admitted before, for a connection that
// lasts, no longer counts: it was revoked, the environment is switched off, or the store
// cannot tell. It asks nothing remote and does not look at the time.
func (e *Environment) Standing(s *Session) error {
	if err := e.Enabled(); err != nil {
		return err
	}
	return e.revoked(s.ID)
}

// revoked returns nil, or why the tokens of the session with this ID, or the external
// JWT that it stands for, no longer count.
func (e *Environment) revoked(id string) error {
	at, err := e.cfg.Store.RevokedAt(e.sessionKey(id))
	if err != nil {
		return storeUnavailable(err)
	}
	if !at.IsZero() {
		return &Refusal{Code: CodeSessionRevoked, Err: errors.New("the session was revoked: sign in again")}
	}
	return nil
}

// sessionKey is not hashed: it is built several times for every request, from parts whose lengths are ours.
func (e *Environment) sessionKey(id string) string { return "session:" + e.cfg.ID + ":" + id }

// spend uses key up. Exactly one of any number of callers gets nil.
func (e *Environment) spend(ctx context.Context, key string, until time.Time, used *Refusal) error {
	switch err := e.cfg.Store.Use(ctx, key, until.Add(rememberPast)); {
	case err == nil:
		return nil
	case errors.Is(err, ErrUsed):
		return used
	default:
		return storeUnavailable(err)
	}
}

func storeUnavailable(err error) error {
	return &Refusal{
		Code:       CodeStoreUnavailable,
		RetryAfter: storeRetry,
		Err:        errors.New("the record of what was used cannot be reached"),
		Cause:      err,
	}
}
