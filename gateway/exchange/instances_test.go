package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

func TestOneInstanceRotatesAndTheOtherFollows(t *testing.T) {
	clock, store := verifiertest.NewClock(), newStore()
	cfg := exchange.KeyRingConfig{Store: store, Now: clock.Now}
	one, two := openRing(t, cfg), openRing(t, cfg)
	_, old := sign(t, one)
	if err := one.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := two.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := one.Status().Next
	if kids := published(t, two); !slices.Equal(kids, []string{old, next}) {
		t.Errorf("after both rotated the other publishes %q, want %q and %q", kids, old, next)
	}
	clock.Advance(exchange.DefaultPublish)
	for i, ring := range []*exchange.KeyRing{one, two} {
		if _, kid := sign(t, ring); kid != next {
			t.Errorf("instance %d signs with %q, want %q", i+1, kid, next)
		}
	}
}

// All instances find the rotation due at the same moment, and each of them could do it.
func TestOfManyInstancesOneRotates(t *testing.T) {
	clock, store, told := verifiertest.NewClock(), newStore(), &reports{}
	rings := make([]*exchange.KeyRing, 8)
	for i := range rings {
		rings[i] = openRing(t, exchange.KeyRingConfig{Store: store, Now: clock.Now, Rotated: told.add})
	}
	refreshAll := func() {
		var wg sync.WaitGroup
		for _, ring := range rings {
			wg.Go(func() {
				if err := ring.Refresh(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	_, old := sign(t, rings[0])
	clock.Advance(exchange.DefaultRotate - exchange.DefaultPublish)
	refreshAll()
	made, errs := told.take()
	if len(made) != 1 || errs != nil {
		t.Fatalf("made the keys %q (errors %v), want one", made, errs)
	}
	clock.Advance(exchange.DefaultPublish - time.Nanosecond)
	var last []string // tokens of the old key
	for i, ring := range rings {
		if kids := published(t, ring); !slices.Equal(kids, []string{old, made[0]}) {
			t.Errorf("instance %d publishes %q, want %q and %q", i, kids, old, made[0])
		}
		token, kid := sign(t, ring)
		if kid != old {
			t.Errorf("instance %d signs with %q before it was published for an hour", i, kid)
		}
		last = append(last, token)
	}
	clock.Advance(time.Nanosecond)
	for i, ring := range rings {
		if _, kid := sign(t, ring); kid != made[0] {
			t.Errorf("instance %d signs with %q, want %q", i, kid, made[0])
		}
	}
	clock.Advance(exchange.DefaultTokenLifetime - time.Nanosecond)
	refreshAll()
	for _, ring := range rings {
		for _, token := range last {
			wantVerified(t, ring, token)
		}
	}
	if made, errs := told.take(); made != nil || errs != nil || !store.savedUnderALock {
		t.Errorf("made the keys %q more (errors %v; each saved under the lock: %t), want none", made, errs, store.savedUnderALock)
	}
}

// An instance may hang with the lock in its hand, or be gone without having let go of it.
func TestALockThatIsHeldStopsNobody(t *testing.T) {
	clock, store, told := verifiertest.NewClock(), newStore(), &reports{}
	ring := openRing(t, exchange.KeyRingConfig{Store: store, Now: clock.Now, Rotated: told.add})
	token, old := sign(t, ring)
	clock.Advance(exchange.DefaultRotate)

	store.lock <- struct{}{}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ring.Refresh(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("refreshing: got %v, want %v", err, context.Canceled)
	}
	if kids, errs := told.take(); kids != nil || len(errs) != 1 {
		t.Errorf("reported keys %q and errors %v, want one error", kids, errs)
	}
	wantVerified(t, ring, token)
	if _, kid := sign(t, ring); kid != old {
		t.Errorf("signs with %q, want %q", kid, old)
	}

	<-store.lock
	refresh(t, ring)
	if ring.Status().Next == "" {
		t.Error("with the lock free no next key was made")
	}
}

// A ring that waited for its next regular look at storage would refuse good tokens for a minute.
func TestAnUnknownKeyIsLookedUpAtOnce(t *testing.T) {
	clock, store := verifiertest.NewClock(), newStore()
	cfg := exchange.KeyRingConfig{Store: store, Now: clock.Now}
	one, two := openRing(t, cfg), openRing(t, cfg)
	if err := one.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Advance(exchange.DefaultPublish)
	token, _ := sign(t, one)

	loads, _ := store.counts()
	release := make(chan struct{})
	store.set(func(s *memoryStore) { s.holdLoad = release })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { wantVerified(t, two, token) })
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	parsed, _ := verifier.Parse(token, 0)
	_, err := two.VerifySignature(impatient, parsed)
	wantCode(t, err, verifier.CodeKeysUnavailable)
	close(release)
	wg.Wait()
	if after, _ := store.counts(); after != loads+1 {
		t.Errorf("storage was read %d times for 50 tokens with one unknown key, want once", after-loads)
	}
}

func TestInventedKeysDoNotReadStorageForEach(t *testing.T) {
	clock, store := verifiertest.NewClock(), newStore()
	ring := openRing(t, exchange.KeyRingConfig{Store: store, Now: clock.Now})
	issuer := verifiertest.NewIssuer(t)
	invented := func() error {
		kid := fmt.Sprint("invented at ", clock.Now())
		return verify(t, ring, issuer.Sign(map[string]any{"kid": kid}, map[string]any{"iss": "somebody"}))
	}
	before, _ := store.counts()
	for range 100 {
		wantCode(t, invented(), verifier.CodeKeyNotFound)
		clock.Advance(99 * time.Millisecond)
	}
	if after, _ := store.counts(); after != before+1 {
		t.Errorf("100 invented keys within ten seconds read storage %d times, want once", after-before)
	}
	clock.Advance(time.Second)
	wantCode(t, invented(), verifier.CodeKeyNotFound)
	if after, _ := store.counts(); after != before+2 {
		t.Errorf("after ten seconds storage was read %d times, want twice", after-before)
	}
}

func TestAWithdrawnKeyVerifiesNothing(t *testing.T) {
	clock, store := verifiertest.NewClock(), newStore()
	ring := openRing(t, exchange.KeyRingConfig{Store: store, Now: clock.Now})
	token, kid := sign(t, ring)
	wantVerified(t, ring, token)

	elsewhere := newStore()
	openRing(t, exchange.KeyRingConfig{Store: elsewhere, Now: clock.Now})
	store.set(func(s *memoryStore) { s.content = elsewhere.stored() })
	refresh(t, ring)
	wantCode(t, verify(t, ring, token), verifier.CodeKeyNotFound)
	if ring.Holds(verifier.KeyID(kid)) {
		t.Error("a key that left storage is still held")
	}
}

func TestAnotherAlgorithmSignsAtOnce(t *testing.T) {
	for i, from := range algorithms {
		to := algorithms[(i+1)%len(algorithms)]
		t.Run(from+" to "+to, func(t *testing.T) {
			clock, store, told := verifiertest.NewClock(), newStore(), &reports{}
			before := openRing(t, exchange.KeyRingConfig{Store: store, Algorithm: from, TokenLifetime: time.Hour, Now: clock.Now})
			token, old := sign(t, before)
			before.Close()

			after := openRing(t, exchange.KeyRingConfig{
				Store: store, Algorithm: to, TokenLifetime: time.Hour, Now: clock.Now, Rotated: told.add,
			})
			_, kid := sign(t, after)
			if status := after.Status(); kid == old || status.Algorithm != to {
				t.Errorf("signs with %q (%s), want a new key for %s", kid, status.Algorithm, to)
			}
			if kids, _ := told.take(); !slices.Equal(kids, []string{kid}) {
				t.Errorf("reported %q, want %q", kids, kid)
			}
			wantVerified(t, after, token)
			if kids := published(t, after); !slices.Contains(kids, old) {
				t.Errorf("published %q, want %q among them", kids, old)
			}
			clock.Advance(2 * day) // retired
			refresh(t, after)
			clock.Advance(day) // and a day idle
			refresh(t, after)
			wantCode(t, verify(t, after, token), verifier.CodeKeyNotFound)
		})
	}
}

// During a rolling change of the algorithm no instance may be left without a key,
// nor may the two make keys against each other.
func TestInstancesWithDifferentAlgorithmsGetAlong(t *testing.T) {
	clock, store := verifiertest.NewClock(), newStore()
	one := openRing(t, exchange.KeyRingConfig{Store: store, Algorithm: "ES256", Now: clock.Now})
	two := openRing(t, exchange.KeyRingConfig{Store: store, Algorithm: "EdDSA", Now: clock.Now})
	for range 5 * 60 {
		clock.Advance(time.Minute)
		refresh(t, one, two)
		for _, pair := range [][2]*exchange.KeyRing{{one, two}, {two, one}} {
			token, _ := sign(t, pair[0])
			wantVerified(t, pair[1], token)
		}
	}
	if kids := published(t, one); len(kids) != 2 {
		t.Errorf("published %q, want one key of each", kids)
	}
	if _, saves := store.counts(); saves > 60 { // of 600 turns
		t.Errorf("saved %d times in five hours", saves)
	}
}
