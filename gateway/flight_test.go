package gateway_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// inFlight returns what an environment answers once it does, and comes back when all that
// can be done before the exchanger answers has been. It is for a bubble of synctest.
func inFlight(ctx context.Context, e *gateway.Environment, credential string) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		s, err := e.Authenticate(ctx, credential)
		done <- answer{s, err}
	}()
	synctest.Wait()
	return done
}

type answer struct {
	session *gateway.Session
	err     error
}

// wantWaiting fails the test where there is an answer already.
func wantWaiting(t *testing.T, done <-chan answer) {
	t.Helper()
	select {
	case got := <-done:
		t.Fatalf("answered %+v, %v while the exchange is under way", got.session, got.err)
	default:
	}
}

// answered returns the answer, which must be there.
func answered(t *testing.T, done <-chan answer) answer {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-done:
		return got
	default:
		t.Error("it waits for another one's exchange")
		return answer{err: errors.New("no answer")}
	}
}

// holding has the exchanger of a world answer nobody until answer is called, or the test is over.
func (w *world) holding(t *testing.T) (answer func()) {
	hold := make(chan struct{})
	w.local.hold = hold
	answer = sync.OnceFunc(func() { close(hold) })
	t.Cleanup(answer)
	return answer
}

func TestOneFlightPerToken(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	synctest.Test(t, func(t *testing.T) {
		exchange := w.holding(t)
		for range 200 {
			go func() {
				if _, err := w.env.Authenticate(context.Background(), token); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		exchange()
	})
	if got := w.local.count(); got != 1 {
		t.Errorf("%d exchanges of one token, want 1", got)
	}
}

// Who came first has the work begun, and leaves.
func TestACallerThatLeavesCancelsNobody(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	synctest.Test(t, func(t *testing.T) {
		exchange := w.holding(t)
		ctx, leave := context.WithCancel(context.Background())
		left := inFlight(ctx, w.env, token)
		stayed := inFlight(context.Background(), w.env, token)
		leave()
		if err := answered(t, left).err; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller that left got %v", err)
		}
		wantWaiting(t, stayed)
		exchange()
		wantCode(t, answered(t, stayed).err, "")
	})
	if got := w.local.count(); got != 1 {
		t.Errorf("%d exchanges, want one: the second caller was to be in the flight of the first", got)
	}
}

// Whoever knows what a token says and not its signature, as one who reads a log does, sends
// it with a signature of their own while its owner's is being exchanged.
func TestAForgedSignatureDoesNotShareAFlight(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	forged := token[:strings.LastIndexByte(token, '.')+1] + strings.Repeat("A", 86)
	synctest.Test(t, func(t *testing.T) {
		exchange := w.holding(t)
		owner := inFlight(context.Background(), w.env, token)
		wantCode(t, answered(t, inFlight(context.Background(), w.env, forged)).err, verifier.CodeSignatureInvalid)
		wantWaiting(t, owner)
		exchange()
		wantCode(t, answered(t, owner).err, "")
	})
}

// Two environments trust one login system. What is found out for the one is no answer in
// the other, where the user, the rules and the revocations are others.
func TestTwoEnvironmentsShareNoFlight(t *testing.T) {
	const otherID = "11111111-1111-4111-8111-111111111111"
	one := newWorld(t)
	other := newWorld(t, func(c *gateway.Config) {
		c.ID, c.Exchanger = otherID, gatewaytest.NewLocal(t, one.clock, otherID)
		c.Providers, c.Now = gatewaytest.NewConfig(t, one.issuer, one.clock).Providers, one.clock.Now
	})
	token := one.external("alice")
	synctest.Test(t, func(t *testing.T) {
		exchange := one.holding(t)
		here := inFlight(context.Background(), one.env, token)
		there := answered(t, inFlight(context.Background(), other.env, token))
		wantCode(t, there.err, "")
		if want := gateway.UserID(otherID, one.issuer.URL(), "alice"); there.session.UserID != want {
			t.Errorf("the other environment answers with user %q, want its own %q", there.session.UserID, want)
		}
		wantWaiting(t, here)
		exchange()
		got := answered(t, here)
		wantCode(t, got.err, "")
		if want := gateway.UserID(environmentID, one.issuer.URL(), "alice"); got.session.UserID != want {
			t.Errorf("the environment answers with user %q, want its own %q", got.session.UserID, want)
		}
	})
}

// An exchanger hangs. It is nobody's request, so that nobody's deadline would end it: all
// who send the token wait for the flight that does, until the gateway is started anew.
func TestAnExchangeThatHangsEnds(t *testing.T) {
	w := newWorld(t)
	token := w.external("alice")
	synctest.Test(t, func(t *testing.T) {
		w.holding(t)
		start := time.Now()
		select {
		case got := <-inFlight(context.Background(), w.env, token):
			wantCode(t, got.err, gateway.CodeExchangeFailed)
			if r := (*gateway.Refusal)(nil); !errors.As(got.err, &r) || !r.Timeout {
				t.Errorf("refused with %+v, want it to say that it took too long", got.err)
			}
		case <-time.After(time.Minute):
			t.Error("it waits for a minute, and on")
		}
		if took := time.Since(start); took < time.Second {
			t.Errorf("given up after %s: an exchange may take longer", took)
		}
	})
	w.local.hold = nil
	w.authenticate(t, token) // the next one is exchanged
}
