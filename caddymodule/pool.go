package caddymodule

import (
	"errors"
	"fmt"
	"sync"
	"time"

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
	served   bool       // the config has been in force
	released bool       // the config has gone
}

// lingerFor is longer than net/http waits for the first request on a connection that a
// browser has opened in advance (5s), and for those on an HTTP/2 connection that it has
// asked to go away.
const lingerFor = 6 * time.Second

// serve says that the config is in force.
func (l *lease) serve() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served = true
}

// leaveBehind releases a config that was cleaned up. Caddy does that while the config's
// servers still shut down: on connections that are open already requests may come in for
// a while. So one that has served lingers beside its successor. Where there is none,
// nothing lingers, from earlier configs neither.
func (l *lease) leaveBehind(successor bool) error {
	l.mu.Lock()
	served := l.served
	l.mu.Unlock()
	if !successor {
		return errors.Join(l.release(), lingerers.releaseAll())
	}
	if !served {
		return l.release()
	}
	lingerers.add(l)
	return nil
}

// lingerers are the leases of configs that were cleaned up a moment ago.
var lingerers lingering

type lingering struct {
	mu     sync.Mutex // guards leases
	leases map[*lease]*time.Timer
}

func (g *lingering) add(l *lease) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leases == nil {
		g.leases = make(map[*lease]*time.Timer)
	}
	g.leases[l] = time.AfterFunc(lingerFor, func() {
		reportClosing(l.release())
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.leases, l)
	})
}

func (g *lingering) releaseAll() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var failures []error
	for l, timer := range g.leases {
		timer.Stop()
		failures = append(failures, l.release())
	}
	g.leases = nil
	return errors.Join(failures...)
}

func reportClosing(err error) {
	if err != nil {
		moduleLog().Error("closing what an earlier config had open failed", zap.Error(err))
	}
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
	if l.ended() {
		reportClosing(l.end())
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
