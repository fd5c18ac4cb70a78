package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

const (
	// readInterval is how often storage is read: another instance may have rotated.
	readInterval = time.Minute

	// readAgainFloor is the least time between two reads on behalf of tokens with an unknown kid.
	readAgainFloor = 10 * time.Second

	// storeTimeout bounds what the ring's goroutine does with the store at one time.
	storeTimeout = 30 * time.Second

	// deafAfter is when a store that has not heeded that is reported.
	deafAfter = storeTimeout + 5*time.Second

	// patience is how long a token with an unknown kid, and Close, wait for the store.
	patience = 5 * time.Second
)

var (
	errClosed = errors.New("the key ring is closed")
	errDeaf   = fmt.Errorf("the storage of the signing keys has not answered for %s", deafAfter)
	errGone   = errors.New("the signing keys have disappeared from storage: restore them, or restart all instances to begin with new ones")
)

// Close ends the ring's goroutine and waits for it, but no longer than five seconds for a
// store that does not answer: that keeps the goroutine, which then saves nothing more.
// Sign and verifications go on working with the keys that the ring has, for requests that
// are still under way.
func (r *KeyRing) Close() {
	r.end()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
	}
}

// Refresh reads storage now and does what is due. The ring does it by itself every minute.
func (r *KeyRing) Refresh(ctx context.Context) error {
	kid, err := r.refresh(ctx)
	r.report(kid, err)
	return err
}

// Rotate publishes a next key now, which begins to sign once it has been published
// for as long as every other: it does not sign when Rotate returns. Where a next
// key is published already that begins as soon, Rotate changes nothing. The old key stays published
// until its tokens have expired: Rotate withdraws nothing.
func (r *KeyRing) Rotate(ctx context.Context) error {
	kid, err := r.takeTurn(ctx, func() (string, error) { return r.amend(ctx, true) })
	r.report(kid, err)
	return err
}

// open reads what is stored for the first time. What is wrong then, nobody has to
// live with; only where there is a key to sign with, its successor can wait.
func (r *KeyRing) open(ctx context.Context) error {
	switch err := r.read(ctx); {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := r.amend(ctx, false); err != nil {
			return err
		}
		return nil
	case err != nil:
		return err
	}
	if !r.due() {
		return nil
	}
	kid, err := r.amend(ctx, false)
	if err != nil && r.current().signer == nil {
		return err
	}
	r.report(kid, err)
	return nil
}

// openWithin gives up when ctx ends, even where the store does not.
func (r *KeyRing) openWithin(ctx context.Context) error {
	opened := make(chan error, 1)
	go func() { opened <- r.open(ctx) }()
	select {
	case err := <-opened:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-opened: // most stores say what they were at
		return err
	case <-time.After(time.Second):
		return fmt.Errorf("waiting for the storage of the signing keys: %w", ctx.Err())
	}
}

// keepUp is the ring's goroutine.
func (r *KeyRing) keepUp() {
	ctx := r.life
	defer close(r.ended)
	ticker := time.NewTicker(readInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.refreshSoon(ctx)
		case asked := <-r.asks:
			r.refreshSoon(ctx)
			r.answer(asked)
		}
	}
}

func (r *KeyRing) refreshSoon(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	deaf := time.AfterFunc(deafAfter, func() {
		if ctx.Err() == nil {
			r.report("", errDeaf)
		}
	})
	kid, err := r.refresh(bounded)
	deaf.Stop()
	if ctx.Err() == nil || kid != "" {
		r.report(kid, err)
	}
}

// An ask is what any number of verifications wait for: that storage is read.
type ask struct {
	answered chan struct{} // closed when it was
	late     chan struct{} // closed when that takes too long for anybody to wait
	timer    *time.Timer   // closes late
}

func newAsk() *ask {
	a := &ask{answered: make(chan struct{}), late: make(chan struct{})}
	a.timer = time.AfterFunc(patience, func() { close(a.late) })
	return a
}

// readAgain asks the ring's goroutine to read storage, unless somebody did a
// moment ago, and waits for it. It reports whether there is nothing more to wait for.
func (r *KeyRing) readAgain(ctx context.Context) bool {
	asked, ok := r.ask()
	if !ok {
		return true
	}
	select {
	case <-asked.answered:
		return true
	case <-r.life.Done():
		return true
	case <-asked.late:
	case <-ctx.Done():
	}
	return false
}

// ask joins the ask that is under way, or begins one.
func (r *KeyRing) ask() (*ask, bool) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked != nil {
		return r.asked, true
	}
	if since := now.Sub(r.askedAt); since >= 0 && since < readAgainFloor {
		return nil, false
	}
	r.asked, r.askedAt = newAsk(), now
	r.asks <- r.asked // never waits: one ask at a time, and room for one
	return r.asked, true
}

func (r *KeyRing) answer(asked *ask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = nil
	close(asked.answered)
	asked.timer.Stop()
}

// report remembers how an attempt ended and tells whoever wants to know.
func (r *KeyRing) report(kid string, err error) {
	r.mu.Lock()
	r.failure = err
	r.mu.Unlock()
	if kid != "" || err != nil {
		r.rotated(kid, err)
	}
}

// refresh returns the kid of the key that it made to follow another one, if any.
func (r *KeyRing) refresh(ctx context.Context) (string, error) {
	return r.takeTurn(ctx, func() (string, error) {
		if err := r.read(ctx); err != nil {
			return "", gone(err)
		}
		if !r.due() {
			return "", nil
		}
		return r.amend(ctx, false)
	})
}

// takeTurn keeps an older reading of storage from replacing a newer one.
func (r *KeyRing) takeTurn(ctx context.Context, f func() (string, error)) (string, error) {
	if r.life.Err() != nil {
		return "", errClosed
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
		return f()
	case <-ctx.Done():
		return "", fmt.Errorf("waiting for a turn at the signing keys: %w", ctx.Err())
	}
}

// due says whether something has to be written: a key made, or an end set.
func (r *KeyRing) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.schedule.at(r.doc, r.now())
	return o.unsettled || !o.wants.IsZero()
}

// read takes over what is in storage.
func (r *KeyRing) read(ctx context.Context) error {
	raw, err := r.store.Load(ctx)
	if err != nil {
		return fmt.Errorf("reading the signing keys: %w", err)
	}
	return r.adopt(raw)
}

// amend brings what is stored up to date, under the store's lock: what was read
// before may have been changed by another instance since. It returns the kid of the
// key that it made to follow another one, if any.
func (r *KeyRing) amend(ctx context.Context, byHand bool) (string, error) {
	unlock, err := r.store.Lock(ctx)
	if err != nil {
		return "", fmt.Errorf("locking the signing keys: %w", err)
	}
	defer unlock()

	err = r.read(ctx)
	first := errors.Is(err, fs.ErrNotExist) && r.state.Load() == nil
	if err != nil && !first {
		return "", gone(err)
	}
	now := r.now()
	strays := r.schedule.strays(r.doc, now)
	d, kid, err := r.schedule.amend(r.doc, now, byHand, generateKey)
	if err != nil {
		return "", err
	}
	if err := r.save(ctx, d); err != nil {
		return "", err
	}
	if strays != nil { // not a failure of this attempt, which has dealt with them
		r.rotated("", strays)
	}
	if first {
		return "", nil
	}
	return kid, nil
}

// save stores d, unless that is what is stored, and takes it over.
func (r *KeyRing) save(ctx context.Context, d document) error {
	raw, err := json.MarshalIndent(d, "", "\t")
	if err != nil {
		return fmt.Errorf("encoding the signing keys: %w", err)
	}
	if bytes.Equal(raw, r.raw) {
		return nil
	}
	if err := ctx.Err(); err != nil { // of a store that answered too late; nobody waits for this any more
		return fmt.Errorf("saving the signing keys: %w", err)
	}
	if err := r.store.Save(ctx, raw); err != nil {
		return fmt.Errorf("saving the signing keys: %w", err)
	}
	return r.adopt(raw)
}

// adopt makes the ring work with a document, if that is sound. The signing keys
// that it had are left as they are otherwise.
func (r *KeyRing) adopt(raw []byte) error {
	if r.raw != nil && bytes.Equal(raw, r.raw) {
		return nil
	}
	d, err := decodeDocument(raw)
	if err != nil {
		return fmt.Errorf("reading the signing keys: %w", err)
	}
	keys := make(map[string]key, len(d.Keys))
	for _, stored := range d.Keys {
		if keys[stored.Kid], err = readKey(stored); err != nil {
			return fmt.Errorf("reading the signing keys: %w", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw, r.doc, r.keys = bytes.Clone(raw), d, keys
	r.renewState(r.now())
	return nil
}

// gone says what it means that keys which were there are not.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errGone
	}
	return err
}
