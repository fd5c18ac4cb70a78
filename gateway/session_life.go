package gateway

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

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
	fresh, err := e.signIn(ctx, "", want)
	if err != nil {
		return nil, err
	}
	if err := e.revoked(s); err != nil { // it may have been while the exchange was under way
		return nil, err
	}
	return fresh, nil
}

// Standing returns nil, or why a session that was admitted before, for a connection that
// lasts, no longer counts: it was revoked, or all of its user's were, its identity was
// linked to another user, the environment is switched off, or the store cannot tell. It
// asks nothing remote and does not look at the time.
func (e *Environment) Standing(s *Session) error {
	if err := e.Enabled(); err != nil {
		return err
	}
	return e.revoked(s)
}

// spend uses key up. Exactly one of any number of callers gets nil.
func (e *Environment) spend(ctx context.Context, key string, until time.Time, used *Refusal) error {
	switch err := e.cfg.Store.Use(ctx, key, until.Add(rememberPast)); {
	case err == nil:
		return nil
	case errors.Is(err, ErrUsed):
		return used
	default:
		return cmp.Or(givenUp(ctx), storeUnavailable(err))
	}
}

func storeUnavailable(err error) error {
	why := "the record of what was used and revoked cannot be reached"
	if errors.Is(err, ErrFull) {
		why = "the record is full: nothing new is used up or revoked before something else in it has had its time"
	}
	return &Refusal{Code: CodeStoreUnavailable, RetryAfter: storeRetry, Err: errors.New(why), Cause: err}
}
