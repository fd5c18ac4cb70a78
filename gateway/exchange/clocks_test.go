package exchange_test

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/verifier"
	"github.com/caddy-byoa/caddy-byoa/verifier/verifiertest"
)

// visit has an instance whose clock is off read the shared keys, once, and leave.
func visit(t *testing.T, cfg exchange.KeyRingConfig, off time.Duration) {
	t.Helper()
	now := cfg.Now
	cfg.Now = func() time.Time { return now().Add(off) }
	cfg.Rotated = nil
	openRing(t, cfg).Close()
}

func TestOneClockInAFarFutureDoesNotStopRotation(t *testing.T) {
	clock, told := verifiertest.NewClock(), &reports{}
	cfg := exchange.KeyRingConfig{Store: newStore(), Now: clock.Now, Rotated: told.add}
	ring := openRing(t, cfg)
	_, first := sign(t, ring)
	visit(t, cfg, 70*365*day)
	refresh(t, ring)
	if got := ring.Status().Next; got != "" {
		t.Errorf("waits for %q to sign at %v", got, ring.Status().Rotates)
	}
	if _, errs := told.take(); len(errs) != 1 || !strings.Contains(errs[0].Error(), "check the clocks") {
		t.Errorf("reported %v, want the wrong clock, once", errs)
	}
	clock.Advance(exchange.DefaultRotate - exchange.DefaultPublish)
	refresh(t, ring)
	clock.Advance(exchange.DefaultPublish)
	if _, kid := sign(t, ring); kid == first {
		t.Error("the first key still signs")
	}
	clock.Advance(3 * day)
	refresh(t, ring)
	clock.Advance(2 * day)
	refresh(t, ring)
	if kids := published(t, ring); len(kids) != 1 {
		t.Errorf("publishes %d keys long after the visit, want the one that signs", len(kids))
	}
	if _, errs := told.take(); errs != nil {
		t.Errorf("reported %v later, want nothing more", errs)
	}
}

func TestRotationByHandDoesNotWaitForAKeyOfAWrongClock(t *testing.T) {
	for name, off := range map[string]time.Duration{"none was there": 0, "29 days ahead": 29 * day, "70 years ahead": 70 * 365 * day} {
		t.Run(name, func(t *testing.T) {
			clock := verifiertest.NewClock()
			cfg := exchange.KeyRingConfig{Store: newStore(), Now: clock.Now}
			ring := openRing(t, cfg)
			clock.Advance(2 * day)
			_, first := sign(t, ring)
			visit(t, cfg, off)
			if err := ring.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			clock.Advance(exchange.DefaultPublish)
			if _, kid := sign(t, ring); kid == first {
				t.Error("an hour after rotation by hand the old key signs")
			}
		})
	}
}

func TestOneWrongClockDeletesNoKeyThatIsNeeded(t *testing.T) {
	for name, off := range map[string]time.Duration{
		"right": 0, "40 days ahead": 40 * day, "70 years ahead": 70 * 365 * day, "40 days behind": -40 * day, "50 years behind": -50 * 365 * day,
	} {
		t.Run(name, func(t *testing.T) {
			clock := verifiertest.NewClock()
			cfg := exchange.KeyRingConfig{Store: newStore(), Now: clock.Now}
			ring := openRing(t, cfg)
			old, _ := sign(t, ring)
			if err := ring.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			clock.Advance(exchange.DefaultPublish)
			token, kid := sign(t, ring)
			visit(t, cfg, off)
			refresh(t, ring)
			started := openRing(t, cfg)
			for _, r := range []*exchange.KeyRing{ring, started} {
				wantVerified(t, r, old)
				wantVerified(t, r, token)
				if _, again := sign(t, r); again != kid {
					t.Errorf("signs with %q, want %q", again, kid)
				}
			}
			// The same clock comes back later: what it has found idle before was of use meanwhile.
			clock.Advance(exchange.DefaultTokenLifetime - time.Hour)
			visit(t, cfg, off+2*day)
			refresh(t, ring)
			wantVerified(t, ring, old)
			wantVerified(t, ring, token)
		})
	}
}

func TestAnOldKeyLeavesInTheEnd(t *testing.T) {
	clock, store := verifiertest.NewClock(), newStore()
	ring := openRing(t, exchange.KeyRingConfig{Store: store, Now: clock.Now})
	token, kid := sign(t, ring)
	if err := ring.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2*exchange.DefaultPublish + exchange.DefaultTokenLifetime)
	refresh(t, ring)
	wantVerified(t, ring, token)
	clock.Advance(day)
	refresh(t, ring)
	wantCode(t, verify(t, ring, token), verifier.CodeKeyNotFound)
	if strings.Contains(string(store.stored()), kid) {
		t.Error("its private half is still stored")
	}
}

func TestAShorterLifetimeLeavesLiveTokensAlone(t *testing.T) {
	clock := verifiertest.NewClock()
	cfg := exchange.KeyRingConfig{Store: newStore(), Now: clock.Now, TokenLifetime: 7 * day}
	long := openRing(t, cfg)
	clock.Advance(exchange.DefaultRotate - day)
	token, _ := sign(t, long)
	long.Close()

	cfg.TokenLifetime = time.Hour
	short := openRing(t, cfg)
	for range 6 * 24 {
		clock.Advance(time.Hour)
		refresh(t, short)
	}
	wantVerified(t, short, token)
	clock.Advance(4 * day)
	refresh(t, short)
	clock.Advance(2 * day)
	refresh(t, short)
	wantCode(t, verify(t, short, token), verifier.CodeKeyNotFound)
}
