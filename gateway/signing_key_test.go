package gateway_test

import (
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/gateway/gatewaytest"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// ringWorld has a real key ring, whose stored keys the test can change.
func ringWorld(t *testing.T) (w *world, ring *exchange.KeyRing, keys *gatewaytest.KeyStore) {
	t.Helper()
	keys = &gatewaytest.KeyStore{}
	w = newWorld(t, func(c *gateway.Config) {
		ring = openRing(t, keys, c)
		local, err := exchange.NewLocal(exchange.LocalConfig{Environment: c.ID, Ring: ring, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		if local.Ring() != ring {
			t.Error("the exchanger does not give its ring away")
		}
		c.Exchanger = local
	})
	return w, ring, keys
}

func openRing(t *testing.T, keys *gatewaytest.KeyStore, c *gateway.Config) *exchange.KeyRing {
	t.Helper()
	ring, err := exchange.OpenKeyRing(t.Context(), exchange.KeyRingConfig{Store: keys, Publish: 10 * time.Minute, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Close)
	return ring
}

// withdraw puts the keys of another ring in the place of those that are stored: the old ones may have been stolen.
func withdraw(t *testing.T, w *world, ring *exchange.KeyRing, keys *gatewaytest.KeyStore) {
	t.Helper()
	elsewhere := &gatewaytest.KeyStore{}
	openRing(t, elsewhere, &gateway.Config{Now: w.clock.Now})
	document, err := elsewhere.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Save(t.Context(), document); err != nil {
		t.Fatal(err)
	}
	if err := ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Whoever stole a signing key mints what they like with it. Once it is withdrawn, no
// token that it signed opens anything, and none goes to an upstream, remembered or not.
func TestWithdrawnSigningKeyEndsWhatItSigned(t *testing.T) {
	w, ring, keys := ringWorld(t)
	token := w.external("alice")
	inline, s := w.authenticate(t, token), w.signIn(t, token)
	el := w.elevate(t, s, "wallet:export")
	if again := w.authenticate(t, token); again != inline {
		t.Fatal("the session is not remembered: this test looks at nothing")
	}

	withdraw(t, w, ring, keys)
	w.wantAuthenticated(t, s.Token, verifier.CodeKeyNotFound)
	w.wantAuthenticated(t, inline.Token, verifier.CodeKeyNotFound)
	fresh := w.authenticate(t, token)
	if fresh.ID != inline.ID || fresh.Key == inline.Key || !ring.Holds(fresh.Key) {
		t.Errorf("session %s signed by %s, want %s signed by the key that is published now", fresh.ID, fresh.Key, inline.ID)
	}
	_, err := w.stepUp(fresh, gateway.Proof{Elevated: el.Token}, gateway.Need{Scopes: el.Scopes})
	wantCode(t, err, gateway.CodeElevatedInvalid)
	w.wantAuthenticated(t, w.signIn(t, token).Token, "")
}

// A rotation is no withdrawal: the old key stays published, and what it signed goes on.
func TestRotationEndsNothing(t *testing.T) {
	w, ring, _ := ringWorld(t)
	token := w.external("alice")
	inline, s := w.authenticate(t, token), w.signIn(t, token)
	w.clock.Advance(time.Minute)
	if err := ring.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(ring.Status().Rotates.Sub(w.clock.Now()) - time.Minute)
	el := w.elevate(t, s, "wallet:export")
	w.clock.Advance(time.Minute)
	fresh := w.signIn(t, token)
	if fresh.Key == s.Key {
		t.Fatalf("key %s still signs: this test looks at nothing", s.Key)
	}
	w.wantAuthenticated(t, s.Token, "")
	if again := w.authenticate(t, token); again != inline {
		t.Error("a session was minted anew although its key is still published")
	}
	w.wantElevated(t, el, "")
}
