package exchange_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func TestFirstStartOfManyInstancesMakesOneKey(t *testing.T) {
	store := newStore()
	rings := make([]*exchange.KeyRing, 8)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() { rings[i] = openRing(t, exchange.KeyRingConfig{Store: store}) })
	}
	wg.Wait()
	token, kid := sign(t, rings[0])
	for i, ring := range rings {
		if got := ring.Status().Current; got != kid {
			t.Errorf("instance %d signs with %q, instance 0 with %q", i, got, kid)
		}
		wantVerified(t, ring, token)
	}
	if _, saves := store.counts(); saves != 1 || !store.savedUnderALock {
		t.Errorf("saved %d times (each under the lock: %t), want once", saves, store.savedUnderALock)
	}
}

func TestKeysSurviveARestart(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			store := newStore()
			before := openRing(t, exchange.KeyRingConfig{Store: store, Algorithm: alg})
			token, kid := sign(t, before)
			before.Close()

			after := openRing(t, exchange.KeyRingConfig{Store: store, Algorithm: alg})
			wantVerified(t, after, token)
			if _, again := sign(t, after); again != kid {
				t.Errorf("signs with %q after a restart, with %q before", again, kid)
			}
			if _, saves := store.counts(); saves != 1 {
				t.Errorf("saved %d times, want once", saves)
			}
		})
	}
}

func TestNoPrivateKeyIsPublished(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			store := newStore()
			ring := openRing(t, exchange.KeyRingConfig{Store: store, Algorithm: alg})
			if err := ring.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if kids := published(t, ring); len(kids) != 2 {
				t.Errorf("published %q, want two keys", kids)
			}
			var stored struct {
				Keys []struct {
					JWK map[string]string `json:"jwk"`
				} `json:"keys"`
			}
			if err := json.Unmarshal(store.stored(), &stored); err != nil {
				t.Fatal(err)
			}
			for _, k := range stored.Keys {
				if k.JWK["d"] == "" {
					t.Fatal("the stored key has no d: nothing is looked for")
				}
				for _, name := range []string{"d", "p", "q", "dp", "dq", "qi"} {
					if secret := k.JWK[name]; secret != "" && strings.Contains(string(ring.JWKS()), secret) {
						t.Errorf("the JWKS holds the value of %s", name)
					}
				}
			}
			ring.JWKS()[0] = 'x'
			if !json.Valid(ring.JWKS()) {
				t.Error("whoever got the JWKS can change it for others")
			}
		})
	}
}

func TestRotation(t *testing.T) {
	clock, store, told := verifiertest.NewClock(), newStore(), &reports{}
	ring := openRing(t, exchange.KeyRingConfig{
		Store: store, Rotate: 30 * day, Publish: time.Hour, TokenLifetime: day, Now: clock.Now, Rotated: told.add,
	})
	first, old := sign(t, ring)

	clock.Advance(30*day - time.Hour - time.Second)
	refresh(t, ring)
	if kids := published(t, ring); len(kids) != 1 {
		t.Fatalf("before the next key is due %q are published", kids)
	}
	if kids, errs := told.take(); kids != nil || errs != nil {
		t.Errorf("the first key and quiet refreshing were reported: %q, %v", kids, errs)
	}

	clock.Advance(time.Second)
	refresh(t, ring)
	status := ring.Status()
	next := status.Next
	if kids, _ := told.take(); next == "" || !slices.Equal(kids, []string{next}) {
		t.Errorf("reported %q, want the next key %q", kids, next)
	}
	if kids := published(t, ring); !slices.Equal(kids, []string{old, next}) {
		t.Errorf("published %q, want %q and %q", kids, old, next)
	}
	if status.Current != old || !status.Rotates.Equal(clock.Now().Add(time.Hour)) || status.Keys != 2 {
		t.Errorf("status %+v, want %s to sign for one hour more", status, old)
	}

	clock.Advance(time.Hour - time.Nanosecond)
	last, kid := sign(t, ring)
	if kid != old {
		t.Error("the next key signs before it was published for an hour")
	}
	clock.Advance(time.Nanosecond)
	if _, kid := sign(t, ring); kid != next {
		t.Error("the old key still signs when the next one is due")
	}
	if since := ring.Status().Since; !since.Equal(clock.Now()) {
		t.Errorf("last rotated at %v, want %v", since, clock.Now())
	}
	wantVerified(t, ring, first)

	clock.Advance(day)
	wantVerified(t, ring, last) // clocks differ: its last token may just be alive
	if !ring.Holds(verifier.KeyID(old)) {
		t.Error("the old key is not held while its last token may live")
	}
	clock.Advance(10 * time.Minute) // it has retired; who says so may have a wrong clock
	refresh(t, ring)
	clock.Advance(day - time.Nanosecond)
	refresh(t, ring)
	if !ring.Holds(verifier.KeyID(old)) {
		t.Error("the old key is gone before it was idle for a day")
	}
	clock.Advance(time.Nanosecond)
	wantCode(t, verify(t, ring, last), verifier.CodeKeyNotFound)
	if ring.Holds(verifier.KeyID(old)) {
		t.Error("the old key is held after a day for which it was idle")
	}
	refresh(t, ring)
	if strings.Contains(string(store.stored()), old) {
		t.Error("the old key is still stored")
	}
}

func TestAnOverdueRotationPublishesFirst(t *testing.T) {
	clock, store := verifiertest.NewClock(), newStore()
	cfg := exchange.KeyRingConfig{Store: store, Now: clock.Now}
	before := openRing(t, cfg)
	_, old := sign(t, before)
	before.Close()
	clock.Advance(90 * day)

	ring := openRing(t, cfg)
	if _, kid := sign(t, ring); kid != old {
		t.Error("a key signs that nobody could have fetched")
	}
	next := ring.Status().Next
	clock.Advance(exchange.DefaultPublish)
	if _, kid := sign(t, ring); kid != next || next == "" {
		t.Errorf("an hour later %q signs, want %q", kid, next)
	}
}
