package caddymodule

import (
	"context"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// The events that handlers of Caddy's `events` app can subscribe to. Their data has no token.
const (
	eventReplayDetected    = "byoa.replay_detected"
	eventJWKSRefreshFailed = "byoa.jwks_refresh_failed"
	eventKeyRotated        = "byoa.key_rotated"
	eventSessionRevoked    = "byoa.session_revoked"
)

// eventsWaiting is how many events wait for a slow handler. Further ones are dropped, and the log says so.
const eventsWaiting = 256

// emit emits an event in the config in force. It returns at once, and what handlers do
// with the event, or to themselves, reaches nobody else: they run one after the other,
// in the order of the events, in a goroutine of their own. So they cannot abort what the
// event is about, which is done already. What still waits when the config is replaced
// reaches nobody: the audit log is the record.
func emit(name string, data map[string]any) {
	if app := running.app(); app != nil && app.emitter != nil {
		app.emitter.emit(name, data)
	}
}

// emitDecision emits what a decision of the gateway is an event of, if anything.
func emitDecision(e gateway.Event) {
	switch {
	case isReplay(e):
		emit(eventReplayDetected, dataOf(e, "code", string(e.Code)))
	case e.Kind == gateway.EventRevoke && e.Err == nil:
		emit(eventSessionRevoked, dataOf(e))
	}
}

// dataOf says whom a decision is about, as far as it is known.
func dataOf(e gateway.Event, more ...string) map[string]any {
	data := map[string]any{"environment": e.Environment}
	known := append([]string{"user", e.UserID, "session", e.SessionID, "jti", e.JTI}, more...)
	for i := 0; i+1 < len(known); i += 2 {
		if known[i+1] != "" {
			data[known[i]] = known[i+1]
		}
	}
	return data
}

// An emitter hands the events of one config to Caddy's `events` app, once that has
// started: before, it still takes subscriptions, and must not be asked who has subscribed.
type emitter struct {
	ctx  caddy.Context
	app  *caddyevents.App
	warn *zap.Logger

	mu      sync.Mutex // guards all below
	open    bool       // the config has started
	working bool       // a goroutine delivers
	waiting []event
	dropped int // since the last one that was delivered
}

type event struct {
	name string
	data map[string]any
}

// newEmitter finds the events app as Caddy's own modules do, which instantiates it where
// the config does not name it; without subscriptions it does nothing.
func newEmitter(ctx caddy.Context) (*emitter, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, fmt.Errorf("getting events app: %w", err)
	}
	return &emitter{ctx: ctx, app: app.(*caddyevents.App), warn: ctx.Logger()}, nil
}

// whenStarted has f called when every app of the config has started.
func (e *emitter) whenStarted(f func()) error {
	if err := e.app.On("started", starter(f)); err != nil {
		return fmt.Errorf("subscribing to the start of the config: %w", err)
	}
	return nil
}

type starter func()

// Handle implements [caddyevents.Handler].
func (f starter) Handle(context.Context, caddy.Event) error {
	f()
	return nil
}

// start begins to deliver.
func (e *emitter) start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open = true
	e.work()
}

// stop drops what waits: Caddy would log each as an error of its own.
func (e *emitter) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open, e.waiting = false, nil
}

func (e *emitter) emit(name string, data map[string]any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) >= eventsWaiting {
		e.dropped++
		return
	}
	e.waiting = append(e.waiting, event{name, data})
	e.work()
}

// work sees to it that a goroutine delivers what waits. It needs mu.
func (e *emitter) work() {
	if e.open && !e.working && len(e.waiting) > 0 {
		e.working = true
		go e.deliverAll()
	}
}

// deliverAll ends when nothing waits any more, so that an idle emitter has no goroutine.
func (e *emitter) deliverAll() {
	for {
		next, dropped, ok := e.next()
		if !ok {
			return
		}
		if dropped > 0 {
			e.warn.Warn("dropped events because their handlers do not keep up: make the handlers that subscribe to byoa.* faster",
				zap.Int("dropped", dropped))
		}
		e.deliver(next)
	}
}

func (e *emitter) next() (next event, dropped int, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) == 0 {
		e.working = false
		return event{}, 0, false
	}
	next, e.waiting = e.waiting[0], e.waiting[1:]
	dropped, e.dropped = e.dropped, 0
	return next, dropped, true
}

// deliver survives a handler that panics: nobody else would, as this is no request of a server's.
func (e *emitter) deliver(next event) {
	defer func() {
		if p := recover(); p != nil {
			e.warn.Error("a handler of an event panicked: the event may not have reached all of its handlers",
				zap.String("event", next.name), zap.Any("panic", p))
		}
	}()
	e.app.Emit(e.ctx, next.name, next.data)
}

// Interface guard
var _ caddyevents.Handler = starter(nil)
