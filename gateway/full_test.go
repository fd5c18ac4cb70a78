package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/store"
)

// roomFor lets the world's store hold so many revocations of users.
func roomFor(revocations int) func(*gateway.Config) {
	return func(c *gateway.Config) {
		c.Store = store.NewMemory(store.MemoryConfig{Capacity: revocations, Now: c.Now})
	}
}

// wantFull says that something could not be recorded, for want of room and nothing else.
func wantFull(t *testing.T, err error) {
	t.Helper()
	wantCode(t, err, gateway.CodeStoreUnavailable)
	if !strings.Contains(err.Error(), "the record is full") {
		t.Errorf("error %q, want one that says that the record is full", err)
	}
}

// Anybody can start any number of sessions with one JWT, and end them all.
func TestOneUserCannotUseUpTheRoomThatAnOperatorNeeds(t *testing.T) {
	const room = 50 // and 5 for an operator
	w := newWorld(t, roomFor(room))
	ctx := context.Background()
	jwt := w.external("mallory")
	var sessions []*gateway.Session
	for range room {
		sessions = append(sessions, w.signIn(t, jwt))
	}
	last := len(sessions) - 1 // one of the marks is the JWT's
	for _, s := range sessions[:last] {
		wantCode(t, w.env.Revoke(ctx, s), "")
	}
	wantFull(t, w.env.Revoke(ctx, sessions[last]))
	alice, bob := w.signIn(t, w.external("alice")), w.signIn(t, w.external("bob"))
	wantFull(t, w.env.Revoke(ctx, alice))
	w.wantAuthenticated(t, alice.Token, "")

	w.revokeUser(t, alice.UserID)
	w.wantAuthenticated(t, alice.Token, gateway.CodeSessionRevoked)
	w.disable(t)
	w.wantDisabledBy(t, gateway.DisabledByOperator)
	w.enable(t)
	w.wantAuthenticated(t, bob.Token, "")
	w.revokeSession(t, bob.ID)
	w.wantAuthenticated(t, bob.Token, gateway.CodeSessionRevoked)

	wantFull(t, w.env.RevokeUser(ctx, bob.UserID)) // that was all of it
	w.revokeUser(t, alice.UserID)                  // what is there already needs none
	w.disable(t)
	w.wantDisabledBy(t, gateway.DisabledByOperator)
}

// Of a JWT that is good for a year, each session lives for a day.
func TestAnEndedSessionIsRememberedAsLongAsItsTokensLive(t *testing.T) {
	w := newWorld(t, roomFor(3))
	ctx := context.Background()
	year := map[string]any{"exp": w.clock.Now().Add(years).Unix()}
	jwt := w.external("mallory", year)
	one, two := w.signIn(t, jwt), w.signIn(t, jwt)
	wantCode(t, w.env.Revoke(ctx, one), "")
	wantCode(t, w.env.Revoke(ctx, two), "")

	w.clock.Advance(two.RefreshUntil.Add(10 * time.Minute).Add(-time.Second).Sub(w.clock.Now()))
	alice := w.signIn(t, w.external("alice"))
	wantFull(t, w.env.Revoke(ctx, alice))
	w.clock.Advance(time.Second)
	wantCode(t, w.env.Revoke(ctx, alice), "")
	w.wantAuthenticated(t, alice.Token, gateway.CodeSessionRevoked)
	w.wantSignedIn(t, jwt, gateway.CodeSessionRevoked)
	w.clock.Advance(years / 2)
	w.wantAuthenticated(t, jwt, gateway.CodeSessionRevoked)
	w.wantAuthenticated(t, w.external("mallory", year), "") // another one is, for as long
}

// Whichever token of a session somebody kept, it does not come back.
func TestTheLastTokenOfAnEndedSessionStaysRefused(t *testing.T) {
	w := newWorld(t, func(c *gateway.Config) {
		c.Session = gateway.SessionRules{Lifetime: time.Hour, MaxLifetime: 2 * time.Hour}
	})
	s := w.signIn(t, w.external("alice", map[string]any{"exp": w.clock.Now().Add(years).Unix()}))
	last := s
	for range 3 {
		w.clock.Advance(30 * time.Minute)
		fresh, err := w.env.Refresh(context.Background(), last)
		wantCode(t, err, "")
		last = w.authenticate(t, fresh.Token)
	}
	wantCode(t, w.env.Revoke(context.Background(), s), "")
	w.clock.Advance(last.Expiry.Add(-time.Second).Sub(w.clock.Now()))
	w.wantAuthenticated(t, last.Token, gateway.CodeSessionRevoked)
	if !last.Expiry.Equal(s.RefreshUntil) {
		t.Errorf("the last token ends at %v and the session at %v: this test looks at nothing", last.Expiry, s.RefreshUntil)
	}
}

// A mark that goes with the session must not leave behind a token that lives longer.
func TestNoTokenOutlivesItsSession(t *testing.T) {
	w := newWorld(t, func(c *gateway.Config) {
		c.Session = gateway.SessionRules{Lifetime: time.Hour, MaxLifetime: 30 * time.Minute}
	})
	for name, s := range map[string]*gateway.Session{
		"signed in": w.signIn(t, w.external("alice")), "of the JWT itself": w.authenticate(t, w.external("alice")),
	} {
		if s.Expiry.After(s.RefreshUntil) {
			t.Errorf("%s: the token lives until %v, and the session until %v", name, s.Expiry, s.RefreshUntil)
		}
	}
}

// endless is an exchanger whose session tokens do not say when the session ends.
type endless struct{ gateway.Exchanger }

func (e endless) OpenSession(ctx context.Context, token string) (*gateway.Session, error) {
	s, err := e.Exchanger.OpenSession(ctx, token)
	if err != nil {
		return nil, err
	}
	open := *s
	open.RefreshUntil = time.Time{}
	return &open, nil
}

func TestASessionThatDoesNotSayWhenItEndsStaysEnded(t *testing.T) {
	w := newWorld(t, func(c *gateway.Config) { c.Exchanger = endless{c.Exchanger} })
	s := w.signIn(t, w.external("alice"))
	wantCode(t, w.env.Revoke(context.Background(), s), "")
	w.wantAuthenticated(t, s.Token, gateway.CodeSessionRevoked)
	w.clock.Advance(30 * time.Minute)
	w.wantAuthenticated(t, s.Token, gateway.CodeSessionRevoked)
}
