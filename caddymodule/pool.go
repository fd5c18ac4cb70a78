package caddymodule

import (
	"errors"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// pool holds what has to survive a config reload: stores, key sets, key rings and
// the memory of verified tokens. During a reload the old and the new config run side
// by side and share them; whoever is the last to let go closes them.
//
// A key names everything that defines the thing, so nothing in the pool is ever
// reconfigured, and a config that is refused changes nothing for the running one.
var pool = caddy.NewUsagePool()

// A lease is what one config holds of the pool. It records what was really
// acquired: Caddy cleans up configs that never got as far as opening anything.
//
// It ends when the config has been released and no request is under way with it any
// more. Caddy cleans a config up as soon as the next one runs, while its last requests
// still go on: what they began with must not be closed under them.
type lease struct {
	opening sync.Mutex // guards keys; held while opening: one config opens one thing at a time
	keys    []string

	mu       sync.Mutex // guards what follows
	requests int        // that are under way
	released bool       // the config has gone
}

// enter puts the end of the lease off until leave is called.
func (l *lease) enter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
}

// leave is called once for every enter. The last one of a config that has gone ends the lease.
func (l *lease) leave() {
	l.mu.Lock()
	l.requests--
	l.mu.Unlock()
	if !l.ended() {
		return
	}
	if err := l.end(); err != nil {
		moduleLog().Error("closing what an earlier config had open failed", zap.Error(err))
	}
}

func (l *lease) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.released && l.requests == 0
}

// pooled is one thing in the pool and how it is closed.
type pooled struct {
	value any
	close func() error
}

// Destruct closes the thing when its last user has let go of it.
func (p pooled) Destruct() error {
	if p.close == nil {
		return nil
	}
	return p.close()
}

// borrow returns what the pool holds under key, and opens it if there is nothing
// yet. What is opened must not depend on the config that happened to open it: no
// context of Caddy's, no logger of one config.
func borrow[T any](l *lease, key string, open func() (T, func() error, error)) (T, error) {
	var none T
	l.opening.Lock()
	defer l.opening.Unlock()
	if l.ended() {
		return none, errors.New("the config that asks for it is no longer running")
	}
	value, _, err := pool.LoadOrNew(key, func() (caddy.Destructor, error) {
		value, closer, err := open()
		if err != nil {
			return nil, err
		}
		return pooled{value: value, close: closer}, nil
	})
	if err != nil {
		return none, err
	}
	l.keys = append(l.keys, key)
	typed, ok := value.(pooled).value.(T)
	if !ok {
		return none, fmt.Errorf("what is pooled as %q is a %T", key, value.(pooled).value)
	}
	return typed, nil
}

// release says that the config has gone. What it has borrowed is let go of at once, or by
// the last request that is under way. A second call does nothing.
func (l *lease) release() error {
	l.mu.Lock()
	l.released = true
	l.mu.Unlock()
	if !l.ended() {
		return nil
	}
	return l.end()
}

// end lets go of everything that was borrowed, the last first. A second call does nothing.
func (l *lease) end() error {
	l.opening.Lock()
	defer l.opening.Unlock()
	var first error
	for i := len(l.keys) - 1; i >= 0; i-- {
		if _, err := pool.Delete(l.keys[i]); err != nil && first == nil {
			first = err
		}
	}
	l.keys = nil
	return first
}
