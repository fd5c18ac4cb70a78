package exchange_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway/exchange"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// A deaf store does not heed its context while it hangs: neither do files on a network
// file system that is gone.
type deaf struct {
	*memoryStore

	mu   sync.Mutex // guards what follows
	back chan struct{}
}

// hang has Load hang until the returned function is called.
func (d *deaf) hang() (answer func()) {
	back := make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.back = back
	return func() { close(back) }
}

func (d *deaf) Load(ctx context.Context) ([]byte, error) {
	d.mu.Lock()
	back := d.back
	d.mu.Unlock()
	if back != nil {
		<-back
	}
	return d.memoryStore.Load(context.WithoutCancel(ctx))
}

// deafRing is a ring in a bubble of its own time, on a store that can be made to hang.
func deafRing(t *testing.T, told *reports) (*exchange.KeyRing, *deaf) {
	t.Helper()
	d := &deaf{memoryStore: newStore()}
	return openRing(t, exchange.KeyRingConfig{Store: d, Rotated: told.add}), d
}

// A reload, and the end of the process, do not wait for ever. What the storage answers
// later changes nothing in it.
func TestCloseDoesNotWaitForStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := &reports{}
		ring, d := deafRing(t, told)
		token, _ := sign(t, ring)
		time.Sleep(30*day - time.Hour - 30*time.Second) // the next read finds that a key is due
		_, saves := d.counts()
		answer := d.hang()
		time.Sleep(time.Minute) // the goroutine is reading now
		begun := time.Now()
		ring.Close()
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("closing took %s, want 5s", took)
		}
		wantVerified(t, ring, token)
		if err := ring.Rotate(t.Context()); err == nil {
			t.Error("a closed ring rotates")
		}
		told.take()

		answer()
		synctest.Wait()
		if _, now := d.counts(); now != saves {
			t.Errorf("saved %d times after the end", now-saves)
		}
		if kids, errs := told.take(); kids != nil || errs != nil {
			t.Errorf("reported keys %q and errors %v after the end, want nothing", kids, errs)
		}
	})
}

// The control: a storage that heeds its context, or has nothing to do, is waited for.
func TestCloseIsSoonWhereStorageHeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		ring := openRing(t, exchange.KeyRingConfig{Store: store})
		store.set(func(s *memoryStore) { s.holdLoad = make(chan struct{}) })
		time.Sleep(61 * time.Second) // the goroutine is reading now
		begun := time.Now()
		ring.Close()
		if took := time.Since(begun); took != 0 {
			t.Errorf("closing took %s", took)
		}
	})
}

// While the storage hangs nobody can tell whether another instance made the key: the
// bearer of such a token must not lose the session over it, nor wait for long.
func TestAnUnknownKeyWhileStorageHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring, d := deafRing(t, &reports{})
		token, _ := sign(t, ring)
		foreign, _ := sign(t, openRing(t, exchange.KeyRingConfig{Store: newStore()}))
		answer := d.hang()
		for i, wait := range []time.Duration{5 * time.Second, 0, 0} { // nobody waits anew for what did not come
			begun := time.Now()
			err := verify(t, ring, foreign)
			wantCode(t, err, verifier.CodeKeysUnavailable)
			if took := time.Since(begun); took != wait {
				t.Errorf("the token that comes as number %d waited %s, want %s", i, took, wait)
			}
			var refusal *verifier.Error
			if errors.As(err, &refusal) && refusal.RetryAfter <= 0 {
				t.Error("nobody is told when to try again")
			}
		}
		wantVerified(t, ring, token) // waits for nothing

		answer()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		wantCode(t, verify(t, ring, foreign), verifier.CodeKeyNotFound) // the control
	})
}

// The operator hears of it, and of its end.
func TestAStorageThatHangsIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := &reports{}
		ring, d := deafRing(t, told)
		answer := d.hang()
		time.Sleep(10 * time.Minute)
		if _, errs := told.take(); len(errs) != 1 || !strings.Contains(errs[0].Error(), "has not answered") {
			t.Errorf("reported %v, want once that the storage has not answered", errs)
		}
		if got := ring.Status().Failure; got == nil {
			t.Error("the status says that all is well")
		}
		answer()
		time.Sleep(time.Minute)
		if got := ring.Status().Failure; got != nil {
			t.Errorf("with storage back the status says %v", got)
		}
	})
}

// A gateway whose storage hangs at the start says so, and makes no key when it answers.
func TestOpeningWhileStorageHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deaf{memoryStore: newStore()}
		answer := d.hang()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		begun := time.Now()
		_, err := exchange.OpenKeyRing(ctx, exchange.KeyRingConfig{Store: d})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that time ran out", err)
		}
		if took := time.Since(begun); took > 31*time.Second {
			t.Errorf("it took %s, want no more than a second beyond 30s", took)
		}
		answer()
		synctest.Wait()
		if d.stored() != nil {
			t.Error("a key was made that nobody waits for any more")
		}
	})
}
