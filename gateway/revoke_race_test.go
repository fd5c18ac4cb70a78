package gateway_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
)

// revocations are all ways to end a session that came from an external JWT.
var revocations = map[string]func(w *world, s *gateway.Session) error{
	"by its holder": func(w *world, s *gateway.Session) error { return w.env.Revoke(context.Background(), s) },
	"by its id":     func(w *world, s *gateway.Session) error { return w.env.RevokeSession(context.Background(), s.ID) },
	"by its origin": func(w *world, s *gateway.Session) error { return w.env.RevokeSession(context.Background(), s.Origin) },
	"with its user": func(w *world, s *gateway.Session) error { return w.env.RevokeUser(context.Background(), s.UserID) },
}

// A revocation that comes while something is being exchanged must not be overtaken by it.
func TestRevokedWhileTheExchangeIsUnderWay(t *testing.T) {
	for what, enter := range map[string]func(w *world, token string, s *gateway.Session) error{
		"a request": func(w *world, token string, _ *gateway.Session) error {
			_, err := w.env.Authenticate(context.Background(), token)
			return err
		},
		"a sign-in": func(w *world, token string, _ *gateway.Session) error {
			_, _, err := w.env.SignIn(context.Background(), token, nil)
			return err
		},
		"a refresh": func(w *world, _ string, s *gateway.Session) error {
			_, err := w.env.Refresh(context.Background(), s)
			return err
		},
		"an elevation": func(w *world, _ string, s *gateway.Session) error {
			_, err := w.env.Elevate(context.Background(), s, w.issuer.Assertion("alice", "wallet:export", nil))
			return err
		},
	} {
		for how, revoke := range revocations {
			t.Run(what+" "+how, func(t *testing.T) {
				w := newWorld(t)
				token := w.external("alice")
				s := w.signIn(t, token)
				w.local.hold = make(chan struct{})
				before := w.local.count()
				entered := make(chan error, 1)
				go func() { entered <- enter(w, token, s) }()
				for w.local.count() == before {
					time.Sleep(time.Millisecond)
				}
				wantCode(t, revoke(w, s), "")
				close(w.local.hold)
				wantCode(t, <-entered, gateway.CodeSessionRevoked)
			})
		}
	}
}

// lateCache does something when a credential has been verified and is about to be remembered.
type lateCache struct {
	*gatewaytest.Memory
	then func()
}

func (c *lateCache) Set(key [32]byte, r *gateway.Remembered, cost int64, until time.Time) {
	c.Memory.Set(key, r, cost, until)
	if c.then != nil {
		c.then()
	}
}

// The last moment before an answer is as good as any: whoever waits for a verification is told what holds then.
func TestEndedAtTheLastMoment(t *testing.T) {
	memory := &lateCache{Memory: gatewaytest.NewMemory()}
	w := newWorld(t, func(c *gateway.Config) { c.Memory = memory })
	token := w.external("alice")
	s, _, err := w.env.SignIn(context.Background(), token, nil)
	wantCode(t, err, "")
	memory.then = func() { w.disable(t) }
	w.wantAuthenticated(t, token, gateway.CodeExternalAuthDisabled)
	w.enable(t)
	memory.then = func() { w.revokeSession(t, s.ID) }
	w.wantAuthenticated(t, s.Token, gateway.CodeSessionRevoked)
}

// The instant that a revocation of a user names comes before the store has recorded it. What is minted in between
// names a later one.
func TestElevatedWhileTheRevocationIsBeingRecorded(t *testing.T) {
	w := newWorld(t)
	s := w.signIn(t, w.external("alice"))
	var between *gateway.Elevated
	w.store.revoking = func() {
		w.store.revoking = nil
		w.clock.Advance(2 * time.Second)
		between = w.elevate(t, s, "wallet:export")
	}
	w.revokeUser(t, s.UserID)
	w.clock.Advance(time.Second)
	w.wantElevated(t, between, gateway.CodeElevatedInvalid)
}

// Once a revocation has returned, nothing works that came from what it ended, whatever was going on at the time.
func TestNothingSurvivesARevocationUnderLoad(t *testing.T) {
	for how, revoke := range revocations {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t)
			s := w.signIn(t, w.external("alice"))
			var mu sync.Mutex // guards what follows
			tokens, elevated := []string{s.Token}, []*gateway.Elevated{}
			load, stop := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for load.Err() == nil {
						w.clock.Advance(time.Millisecond)
						fresh, _ := w.env.Refresh(load, s)
						el, _ := w.env.Elevate(load, s, w.issuer.Assertion("alice", "wallet:export", nil))
						mu.Lock()
						if fresh != nil {
							tokens = append(tokens, fresh.Token)
						}
						if el != nil {
							elevated = append(elevated, el)
						}
						mu.Unlock()
					}
				})
			}
			for enough := false; !enough; time.Sleep(time.Millisecond) {
				mu.Lock()
				enough = len(tokens) > 10 && len(elevated) > 10
				mu.Unlock()
			}
			wantCode(t, revoke(w, s), "")
			stop()
			wg.Wait()
			w.clock.Advance(time.Second)
			for _, token := range tokens {
				w.wantAuthenticated(t, token, gateway.CodeSessionRevoked)
			}
			for _, el := range elevated {
				w.wantElevated(t, el, gateway.CodeElevatedInvalid)
			}
		})
	}
}
