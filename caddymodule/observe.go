package caddymodule

import (
	"context"
	"errors"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// An observer is told what one environment of one config decides, and passes it on to
// the metrics, the audit log and the events. It waits for nobody but the log's writer.
type observer struct {
	metrics *environmentMetrics
	audit   *audit
}

func newObserver(ctx caddy.Context, l *live) *observer {
	return &observer{
		metrics: metrics.of(l.name, moduleName(l.exchanger)),
		audit:   &audit{logger: ctx.Logger().Named("audit"), environment: l.name, id: l.config.ID},
	}
}

// Observe implements [gateway.Observer]. Most of what it is told is that a token was
// remembered, which is a number and nothing else.
func (o *observer) Observe(ctx context.Context, e gateway.Event) {
	o.metrics.count(e)
	o.audit.event(ctx, e)
	emitDecision(e)
}

// stepUpRefused tells of a step-up that was refused without the gateway being asked.
func (o *observer) stepUpRefused(ctx context.Context, s *gateway.Session, err error) {
	e := gateway.Event{Kind: gateway.EventStepUp, Environment: o.audit.environment, Code: gateway.CodeOf(err), Err: err}
	o.Observe(ctx, about(e, s))
}

// about adds to an event whom it is about, if that is known.
func about(e gateway.Event, s *gateway.Session) gateway.Event {
	if s != nil {
		e.Session, e.SessionID, e.UserID = s, s.ID, s.UserID
	}
	return e
}

// isReplay says whether e is somebody trying a second time what could be used once. An
// assertion that comes with a request is the matter of two events, of which one is the replay.
func isReplay(e gateway.Event) bool {
	return e.Kind == gateway.EventElevate && e.Code == gateway.CodeReplayed ||
		e.Kind == gateway.EventStepUp && e.Code == gateway.CodeElevatedUsed
}

// Results that are no refusal: it went well, or nobody waited for how it would go.
const (
	resultOK        = "ok"
	resultCancelled = "cancelled"
)

// resultOf names an outcome: ok, or the code of the refusal. What is nobody's verdict
// has the code that a client is answered with. A client that goes away while it waits
// for a key or the store is no sign of trouble with these.
func resultOf(err error) string {
	switch code := gateway.CodeOf(err); {
	case err == nil:
		return resultOK
	case errors.Is(err, context.Canceled):
		return resultCancelled
	case code != "":
		return string(code)
	case errors.Is(err, gateway.ErrDisabledByConfig):
		return "disabled_by_config"
	default:
		return string(httpapi.AnswerTo(err).Code)
	}
}

// moduleName is the last part of a guest module's ID: `local` of `byoa.exchangers.local`.
func moduleName(guest any) string {
	if m, ok := guest.(caddy.Module); ok {
		return m.CaddyModule().ID.Name()
	}
	return "unknown"
}

// Interface guard
var _ gateway.Observer = (*observer)(nil)
