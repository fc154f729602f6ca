// Package tracing is OpenTelemetry for Bellhop: spans for triggers and runs, and
// the W3C trace context on its way in and out. Whoever does not import it pays
// nothing for it.
//
//	w.Use(tracing.Middleware(provider))
//	d.Before(tracing.Carry)
//	scheduler.Options{Trace: tracing.Trigger(provider)}
//
// The data's way, with what each message's traceparent names:
//
//	scheduler ── span "trigger s" ──► traceparent ─┐         ┌─► the run's record
//	                                              link       │
//	somebody with a span ── Carry ──► traceparent ─┴─► span "run s" ─► the service
//	                                                                     │ ctx, Trigger.Header
//	                                  HTTP endpoint, program, ring ◄─────┘
//
// A run is the root of a trace of its own, with a link to the span that its
// trigger came with: it may come much later, and again after a failure, and each
// attempt is a span of its own.
//
// The trigger that the service is given carries the run's traceparent in place
// of the one that it came with. So whatever passes a trigger's header on, as
// packages forward and command do, names the run, and without tracing what the
// trigger came with.
package tracing

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name of this instrumentation.
const scope = "github.com/bellhop-run/bellhop/workers/tracing"

func tracer(p trace.TracerProvider) trace.Tracer {
	return p.Tracer(scope, trace.WithInstrumentationVersion(workers.Version))
}

// Middleware makes each attempt a span, whose context the service has. Neither
// payload nor output is in it; an error's text is, as in the run's record.
func Middleware(p trace.TracerProvider) workers.Middleware {
	tracer := tracer(p)
	return func(next workers.Service) workers.Service {
		return workers.ServiceFunc(func(ctx context.Context, t *workers.Trigger) (out []byte, err error) {
			ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{}) // not the program's own
			ctx, span := tracer.Start(ctx, "run "+t.Service, options(t)...)
			lost := true // until the service returns
			defer func() {
				end(ctx, span, err, lost)
			}()
			own := *t
			own.Header = carry(ctx, t.Header)
			if v := own.Header[workers.HeaderTrace]; len(v) > 0 {
				workers.SetTrace(ctx, v[0])
			}
			out, err = next.Serve(ctx, &own)
			lost = false
			return out, err
		})
	}
}

// options describe a run, in the words of the conventions for messaging and
// functions where they have any.
func options(t *workers.Trigger) []trace.SpanStartOption {
	about := []attribute.KeyValue{
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.message.id", t.Run),
		attribute.Int("messaging.message.body.size", len(t.Payload)),
		attribute.String("faas.trigger", cause(t.Channel)),
		attribute.String("faas.invocation_id", t.Run),
		attribute.String("bellhop.service", t.Service),
		attribute.String("bellhop.run", t.Run),
		attribute.Int("bellhop.attempt", t.Attempt),
	}
	if t.Job != "" {
		about = append(about, attribute.String("bellhop.job", t.Job))
	}
	if t.Channel != "" {
		about = append(about, attribute.String("bellhop.channel", t.Channel))
	}
	if !t.Due.IsZero() {
		about = append(about, attribute.String("bellhop.due", t.Due.Format(workers.DueLayout)))
	}
	o := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(about...)}
	came := propagation.TraceContext{}.Extract(context.Background(), carrier(t.Header))
	if from := trace.SpanContextFromContext(came); from.IsValid() {
		o = append(o, trace.WithLinks(trace.Link{SpanContext: from}))
	}
	return o
}

// cause is what faas.trigger calls a channel.
func cause(channel string) string {
	switch channel {
	case workers.ChannelScheduler:
		return "timer"
	case "http", "soap":
		return "http"
	case "amqp", "zeromq":
		return "pubsub"
	}
	return "other"
}

// maxError bounds an error's text, in bytes, as in a run's record.
const maxError = 1 << 10

func end(ctx context.Context, span trace.Span, err error, lost bool) {
	switch {
	case lost:
		fail(span, "panic", "the service panicked or ended its goroutine")
	case err == nil:
		span.SetStatus(codes.Ok, "")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		fail(span, "timeout", err.Error())
	case ctx.Err() != nil:
		fail(span, "cancelled", err.Error())
	case workers.IsPermanent(err):
		fail(span, "permanent", err.Error())
	default:
		fail(span, "_OTHER", err.Error()) // the convention's word for no better one
	}
	span.End()
}

func fail(span trace.Span, kind, text string) {
	span.SetAttributes(attribute.String("error.type", kind))
	span.SetStatus(codes.Error, strings.ToValidUTF8(text[:min(len(text), maxError)], ""))
}

// Carry puts the trace context of ctx's span, if it has one, into the header of a
// ring: give it to Dispatcher.Before.
func Carry(ctx context.Context, r *workers.Ring) { r.Header = carry(ctx, r.Header) }

// carry gives a header with the trace context of ctx in place of its own; where
// ctx has none it is h itself.
func carry(ctx context.Context, h nats.Header) nats.Header {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return h
	}
	own := make(nats.Header, len(h)+1)
	maps.Copy(own, h)
	maps.DeleteFunc(own, func(name string, _ []string) bool {
		return strings.EqualFold(name, "traceparent") || strings.EqualFold(name, "tracestate")
	})
	propagation.TraceContext{}.Inject(ctx, carrier(own))
	return own
}

// Trigger makes a span of each trigger, which has ended when it is appended, and
// gives its traceparent: give it to scheduler.Options. It is safe for concurrent
// use, and does not wait for anything.
func Trigger(p trace.TracerProvider) func(service, run string, due time.Time) string {
	tracer := tracer(p)
	return func(service, run string, due time.Time) string {
		ctx, span := tracer.Start(context.Background(), "trigger "+service, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.type", "send"),
			attribute.String("messaging.message.id", run),
			attribute.String("bellhop.service", service),
			attribute.String("bellhop.run", run),
			attribute.String("bellhop.due", due.UTC().Format(workers.DueLayout)),
		))
		defer span.End()
		h := make(carrier, 1)
		propagation.TraceContext{}.Inject(ctx, h)
		return h.Get(workers.HeaderTrace)
	}
}

// carrier is a message's header as a propagation.TextMapCarrier. NATS tells
// upper from lower case, the trace context does not.
type carrier nats.Header

// Get is part of propagation.TextMapCarrier.
func (c carrier) Get(key string) string {
	for name, values := range c {
		if len(values) > 0 && strings.EqualFold(name, key) {
			return values[0]
		}
	}
	return ""
}

// Set is part of propagation.TextMapCarrier.
func (c carrier) Set(key, value string) { c[key] = []string{value} }

// Keys is part of propagation.TextMapCarrier.
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for name := range c {
		keys = append(keys, name)
	}
	return keys
}
