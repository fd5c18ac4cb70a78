package caddymodule

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

const tracerName = "github.com/caddy-byoa/caddy-byoa"

// startSpan begins a span within the one that Caddy's `tracing` has begun, and returns
// how to end it: with nil, or with why the request is refused. Where no span is recorded
// it does nothing.
//
// A span holds the environment and the code of a refusal, nothing of a token or a user.
func startSpan(ctx context.Context, name, environment string) (context.Context, func(error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, endNothing
	}
	tracer := parent.TracerProvider().Tracer(tracerName)
	ctx, span := tracer.Start(ctx, name, trace.WithAttributes(attribute.String("byoa.environment", environment)))
	return ctx, func(err error) { endSpan(span, err) }
}

func endNothing(error) {}

func endSpan(span trace.Span, err error) {
	if err != nil {
		code := resultOf(err)
		span.SetAttributes(attribute.String("byoa.code", code))
		span.SetStatus(codes.Error, code)
	}
	span.End()
}
