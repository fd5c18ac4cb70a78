package caddymodule_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func init() {
	autoexport.RegisterSpanExporter("byoa_test", func(context.Context) (sdktrace.SpanExporter, error) { return &spans, nil })
}

// spans is where Caddy's `tracing` exports to in these tests.
var spans spanRecorder

type spanRecorder struct {
	mu  sync.Mutex
	all []sdktrace.ReadOnlySpan
}

func (r *spanRecorder) ExportSpans(_ context.Context, all []sdktrace.ReadOnlySpan) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, all...)
	return nil
}

func (r *spanRecorder) Shutdown(context.Context) error { return nil }

// take returns what was exported, and forgets it.
func (r *spanRecorder) take() []sdktrace.ReadOnlySpan {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

func TestSpans(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "byoa_test")
	spans.take()
	g := start(t, plainEnvironment, plainSite)
	session := g.signIn("alice")
	for _, c := range []struct {
		name string
		r    request
		want []string // name, code
	}{
		{"a session", request{path: "/wallets/1", bearer: session}, []string{"byoa.authenticate ", "byoa.step_up "}},
		{"no token", request{path: "/wallets/1"}, []string{"byoa.authenticate token_missing"}},
		{"garbage", request{path: "/wallets/1", bearer: "x"}, []string{"byoa.authenticate token_malformed"}},
		{"a route for nobody", request{path: "/closed", bearer: session}, []string{"byoa.authenticate ", "byoa.step_up route_denied"}},
		{"no elevated token", request{method: "POST", path: "/wallets/1/export", bearer: session}, []string{"byoa.authenticate ", "byoa.step_up step_up_required"}},
		{"an assertion", request{method: "POST", path: "/wallets/1/export", bearer: session, assertion: g.assertion("alice", "wallet:export")}, []string{"byoa.authenticate ", "byoa.step_up "}},
	} {
		g.load(plainEnvironment, "tracing\n"+plainSite)
		g.do(c.r)
		g.load(plainEnvironment, plainSite) // the last config with tracing exports when it goes
		if got := g.spansOfByoa(c.name); !slices.Equal(got, c.want) {
			t.Errorf("%s: spans %q, want %q", c.name, got, c.want)
		}
	}
	g.do(request{path: "/wallets/1", bearer: session})
	if all := spans.take(); len(all) > 0 {
		t.Errorf("%d spans without tracing", len(all))
	}
}

// spansOfByoa are the spans of one request, each with its code, as they ended.
func (g *running) spansOfByoa(name string) (described []string) {
	g.t.Helper()
	all := spans.take()
	within := map[string]bool{}
	for _, span := range all {
		if !strings.HasPrefix(span.Name(), "byoa.") {
			within[span.SpanContext().SpanID().String()] = true
		}
	}
	for _, span := range all {
		text := fmt.Sprint(span.Name(), span.Attributes(), span.Status(), span.Events())
		for _, token := range append(g.secrets, g.upstream.tokens()...) {
			if shownSegment(text, token) != "" {
				g.t.Errorf("%s: span %s shows a part of a token", name, span.Name())
			}
		}
		if within[span.SpanContext().SpanID().String()] {
			continue
		}
		attributes := map[string]string{}
		for _, a := range span.Attributes() {
			attributes[string(a.Key)] = a.Value.AsString()
		}
		if !within[span.Parent().SpanID().String()] || attributes["byoa.environment"] != "default" {
			g.t.Errorf("%s: span %s is not within that of the request, or has %v", name, span.Name(), attributes)
		}
		if failed := span.Status().Code == codes.Error; failed != (attributes["byoa.code"] != "") {
			g.t.Errorf("%s: span %s has status %v and code %q", name, span.Name(), span.Status(), attributes["byoa.code"])
		}
		described = append(described, span.Name()+" "+attributes["byoa.code"])
	}
	return described
}
