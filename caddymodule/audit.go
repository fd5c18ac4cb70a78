package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/gateway/httpapi"
)

// audit writes one line for each decision of an environment to the logger `byoa.audit`:
// an exchange, a link, a step-up, a revocation, a switch, and every other refusal. A request
// whose token is remembered, on a route that needs no more, is no decision and no line.
//
// No line holds a token. The logger is the config's own: Caddy's default one knows
// nothing of a log that includes `byoa.audit` alone.
type audit struct {
	logger          *zap.Logger
	environment, id string // empty where a request was refused before it was known whose it is
}

// strayAudit is for a request that was refused before it was known whose it is.
func strayAudit() *audit {
	return &audit{logger: moduleLog().Named("audit")}
}

// Decisions that no event of the gateway is about.
const (
	kindRefusal gateway.EventKind = "refusal" // made at the edge
	kindRotate  gateway.EventKind = "rotate"  // an operator had the next signing key made
)

// event tells of a decision of the gateway.
func (a *audit) event(ctx context.Context, e gateway.Event) {
	switch e.Kind {
	case gateway.EventExchange, gateway.EventLink, gateway.EventElevate, gateway.EventStepUp,
		gateway.EventRevoke, gateway.EventDisable, gateway.EventEnable:
		a.tell(ctx, visitOf(ctx), e)
	default: // what became of it is told by another event, or at the edge
	}
}

// refused tells that a request was refused, if nothing that happened in it told so already.
func (v *visit) refused(ctx context.Context, err error, s *gateway.Session) {
	if v.knows(err) || gateway.CodeOf(err) == "" && ctx.Err() != nil { // a client that has gone away is not refused
		return
	}
	if r := (*gateway.Refusal)(nil); s == nil && errors.As(err, &r) {
		s = r.Session
	}
	v.audit.tell(ctx, v, about(gateway.Event{Kind: kindRefusal, Err: err}, s))
}

// tell writes what is known of a decision, and remembers of a refusal that it was told.
func (a *audit) tell(ctx context.Context, v *visit, e gateway.Event) {
	d := decision{
		Time:     time.Now(),
		Decision: string(e.Kind),
		Result:   resultOf(e.Err),
		UserID:   e.UserID,
		Session:  e.SessionID,
		JTI:      e.JTI,
		Scopes:   e.Scopes.Names(),
		Reason:   withoutTokens(reasonOf(e.Err)),
	}
	if e.Session != nil && e.Session.External != nil {
		d.ExternalID = e.Session.ExternalID()
	}
	d.ReportOnly = e.Err != nil && e.Kind == gateway.EventStepUp && isReportOnly(ctx)
	if v != nil {
		d.ClientIP, d.Method, d.Path = v.clientIP, v.method, v.path
		if e.Err != nil && !d.ReportOnly { // else the request goes on, and may still be refused
			v.told.Store(&e.Err)
		}
	}
	a.write(d, levelOf(ctx, e.Err))
}

func (a *audit) write(d decision, level zapcore.Level) {
	if line := a.logger.Check(level, d.message()); line != nil {
		line.Write(a.fields(d)...)
	}
	if a.id != "" {
		decisions.add(a.id, d)
	}
}

// message is for people; programs go by the fields.
func (d decision) message() string {
	switch {
	case d.ReportOnly:
		return "would have refused, but for report_only"
	case d.Result == resultCancelled:
		return "given up by the client"
	case d.Result != resultOK:
		return "refused"
	}
	switch gateway.EventKind(d.Decision) {
	case gateway.EventExchange, gateway.EventLink, gateway.EventElevate, gateway.EventStepUp:
		return "granted"
	default:
		return "done"
	}
}

func (a *audit) fields(d decision) []zap.Field {
	fields := []zap.Field{zap.String("decision", d.Decision)}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, zap.String(name, value))
		}
	}
	add("environment", a.environment)
	if d.Result != resultOK {
		add("code", d.Result)
	}
	add("user", d.UserID)
	add("external_id", d.ExternalID)
	add("session", d.Session)
	add("jti", d.JTI)
	if len(d.Scopes) > 0 {
		fields = append(fields, zap.Strings("scopes", d.Scopes))
	}
	add("client_ip", d.ClientIP)
	add("method", d.Method)
	add("path", d.Path)
	add("reason", d.Reason)
	if d.ReportOnly {
		fields = append(fields, zap.Bool("report_only", true))
	}
	return fields
}

// reasonOf is what the client is told in words. What is nobody's verdict is not for everybody.
func reasonOf(err error) string {
	switch {
	case err == nil:
		return ""
	case gateway.CodeOf(err) == "" && !errors.Is(err, gateway.ErrDisabledByConfig):
		return "a failure of the gateway: its log says which"
	default:
		return err.Error()
	}
}

// levelOf tells the client's faults from ours. Of a client that has gone away nobody can tell.
func levelOf(ctx context.Context, err error) zapcore.Level {
	if err == nil || ctx.Err() != nil || errors.Is(err, gateway.ErrDisabledByConfig) ||
		httpapi.AnswerTo(err).Status < http.StatusInternalServerError {
		return zapcore.InfoLevel
	}
	return zapcore.WarnLevel
}

type reportOnlyKey struct{}

// reportingOnly marks what is decided under ctx as not carried out.
func reportingOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, reportOnlyKey{}, true)
}

func isReportOnly(ctx context.Context) bool { return ctx.Value(reportOnlyKey{}) != nil }
