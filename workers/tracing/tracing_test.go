package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/tracing"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

func TestMain(m *testing.M) { natstest.Main(m) }

const (
	parent      = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	parentTrace = "0af7651916cd43dd8448eb211c80319c"
)

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs a worker with tracing, until the test's end, and gives its runs.
func serve(t *testing.T, p trace.TracerProvider, d func(*workers.Dispatcher) workers.ServiceFunc) (jetstream.JetStream, chan workers.Run) {
	t.Helper()
	s := natstest.Start(t)
	nc := s.Connect()
	js, err := jetstream.New(nc)
	ok(t, err)
	ok(t, workers.Setup(t.Context(), js, workers.SetupOptions{}))
	runs := make(chan workers.Run, 100)
	w := workers.New(nc, workers.Options{
		Attempts: 1, Timeout: time.Minute, Logger: slog.New(slog.DiscardHandler), OnRun: func(r workers.Run) { runs <- r },
	})
	w.Use(tracing.Middleware(p))
	w.Handle("s", d(workers.NewDispatcher(js, "")))
	// The program's own span is no run's parent.
	ctx := trace.ContextWithSpanContext(context.WithoutCancel(t.Context()), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{9}, SpanID: trace.SpanID{9}, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	synctest.Wait()
	return js, runs
}

func traceOf(traceparent string) string {
	if len(traceparent) < 36 {
		return ""
	}
	return traceparent[3:35]
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewInMemoryExporter()
		p := sdk.NewTracerProvider(sdk.WithSyncer(spans))
		var seen workers.Trigger
		js, runs := serve(t, p, func(d *workers.Dispatcher) workers.ServiceFunc {
			d.Before(tracing.Carry)
			return func(ctx context.Context, tr *workers.Trigger) ([]byte, error) {
				seen = *tr
				if tr.Channel == "cli" {
					_, err := d.Ring(ctx, workers.Ring{Channel: "chain", Service: "other", ID: "next", Header: nats.Header{"Color": {"red"}}})
					return nil, err
				}
				return nil, nil
			}
		})
		ring := func(h nats.Header) workers.Run {
			t.Helper()
			spans.Reset()
			_, err := workers.NewDispatcher(js, "").Ring(t.Context(), workers.Ring{Channel: "cli", Service: "s", Job: "j", Header: h, Payload: []byte("pay")})
			ok(t, err)
			r := <-runs
			synctest.Wait()
			return r
		}
		came := nats.Header{"Traceparent": {parent}, "tracestate": {"a=b"}, "Color": {"blue"}}
		r := ring(came)
		span := spans.GetSpans()[0]
		own := span.SpanContext.TraceID().String()
		if own == parentTrace || span.Parent.IsValid() || len(span.Links) != 1 || span.Links[0].SpanContext.TraceID().String() != parentTrace ||
			span.Links[0].SpanContext.SpanID().String() != "b7ad6b7169203331" || span.Links[0].SpanContext.TraceState().String() != "a=b" {
			t.Errorf("trace %s, parent %v, links %v", own, span.Parent, span.Links)
		}
		if r.Trace != own || r.Outcome != "ok" {
			t.Errorf("recorded as trace %s instead of %s, %s %s", r.Trace, own, r.Outcome, r.Error)
		}
		// What the service has, and passes on, is the run's.
		want := nats.Header{"traceparent": {fmt.Sprintf("00-%s-%s-01", own, span.SpanContext.SpanID())}, "Color": {"blue"}}
		if d := cmp.Diff(want, seen.Header); d != "" {
			t.Error(d)
		}
		next, err := js.Stream(t.Context(), "bellhop-rings")
		ok(t, err)
		m, err := next.GetLastMsgForSubject(t.Context(), "bellhop.ring.chain.other")
		ok(t, err)
		if got := m.Header["traceparent"]; traceOf(strings.Join(got, "")) != own || m.Header.Get("Color") != "red" {
			t.Errorf("rings with %v", m.Header)
		}
		about := map[attribute.Key]string{}
		for _, kv := range span.Attributes {
			about[kv.Key] = kv.Value.String()
		}
		wantAbout := map[attribute.Key]string{
			"messaging.system": "nats", "messaging.operation.type": "process", "messaging.message.id": r.Run, "messaging.message.body.size": "3",
			"faas.trigger": "other", "faas.invocation_id": r.Run,
			"bellhop.service": "s", "bellhop.run": r.Run, "bellhop.attempt": "1", "bellhop.job": "j", "bellhop.channel": "cli",
		}
		if d := cmp.Diff(wantAbout, about); d != "" {
			t.Error(d)
		}
		if span.Name != "run s" || span.SpanKind != trace.SpanKindConsumer || span.Status.Code != codes.Ok || span.InstrumentationScope.Version != workers.Version {
			t.Errorf("span %s, %s, %v, of %v", span.Name, span.SpanKind, span.Status, span.InstrumentationScope)
		}

		for _, h := range []nats.Header{nil, {"traceparent": {"00-absurd"}}} {
			r := ring(h)
			if span := spans.GetSpans()[0]; len(span.Links) != 0 || r.Trace != span.SpanContext.TraceID().String() {
				t.Errorf("with %v: links %v, recorded as %s", h, span.Links, r.Trace)
			}
		}

		// A direct call, too.
		spans.Reset()
		request := nats.NewMsg("bellhop.call.s")
		request.Header.Set("traceparent", parent)
		_, err = js.Conn().RequestMsg(request, time.Minute)
		ok(t, err)
		synctest.Wait()
		if span := spans.GetSpans()[0]; (<-runs).Trace != span.SpanContext.TraceID().String() || len(span.Links) != 1 {
			t.Errorf("a call is span %v", span)
		}
	})
}

// A dead letter holds the trigger as it came, and not what the service was given.
func TestHeaderStaysTheTriggers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js, runs := serve(t, sdk.NewTracerProvider(), func(*workers.Dispatcher) workers.ServiceFunc {
			return func(context.Context, *workers.Trigger) ([]byte, error) { return nil, errors.New("no") }
		})
		_, err := workers.NewDispatcher(js, "").Ring(t.Context(), workers.Ring{Channel: "cli", Service: "s", Header: nats.Header{"traceparent": {parent}}})
		ok(t, err)
		<-runs
		synctest.Wait()
		s, err := js.Stream(t.Context(), "bellhop-dead")
		ok(t, err)
		m, err := s.GetLastMsgForSubject(t.Context(), "bellhop.dead.s")
		ok(t, err)
		if got := m.Header.Get("traceparent"); got != parent {
			t.Errorf("buried with %s", got)
		}
	})
}

func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewInMemoryExporter()
		js, runs := serve(t, sdk.NewTracerProvider(sdk.WithSyncer(spans)), func(*workers.Dispatcher) workers.ServiceFunc {
			return func(ctx context.Context, tr *workers.Trigger) ([]byte, error) {
				switch string(tr.Payload) {
				case "panic":
					panic("oh")
				case "exit":
					runtime.Goexit()
				case "slow":
					<-ctx.Done()
					return nil, ctx.Err()
				case "deaf":
					time.Sleep(time.Hour)
				case "never":
					return nil, workers.Permanent(errors.New("never"))
				case "long":
					return nil, errors.New(strings.Repeat("é", 3000))
				}
				return nil, errors.New("no luck")
			}
		})
		d := workers.NewDispatcher(js, "")
		for _, tt := range []struct{ payload, kind, text string }{
			{"fail", "_OTHER", "no luck"},
			{"never", "permanent", "never"},
			{"panic", "panic", "the service panicked or ended its goroutine"},
			{"exit", "panic", "the service panicked or ended its goroutine"},
			{"slow", "timeout", "context deadline exceeded"},
			{"long", "_OTHER", strings.Repeat("é", 512)},
			{"deaf", "timeout", "no luck"}, // when it has come back
		} {
			spans.Reset()
			_, err := d.Ring(t.Context(), workers.Ring{Channel: "cli", Service: "s", Payload: []byte(tt.payload)})
			ok(t, err)
			r := <-runs
			time.Sleep(2 * time.Hour)
			span := spans.GetSpans()[0]
			kind := ""
			for _, kv := range span.Attributes {
				if kv.Key == "error.type" {
					kind = kv.Value.AsString()
				}
			}
			if kind != tt.kind || span.Status.Code != codes.Error || span.Status.Description != tt.text {
				t.Errorf("%s ends as %s, %v", tt.payload, kind, span.Status)
			}
			if r.Trace != span.SpanContext.TraceID().String() { // also of one that was given up
				t.Errorf("%s is recorded as trace %q", tt.payload, r.Trace)
			}
		}
	})
}

// A provider that does nothing changes nothing.
func TestOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen nats.Header
		js, runs := serve(t, noop.NewTracerProvider(), func(*workers.Dispatcher) workers.ServiceFunc {
			return func(_ context.Context, tr *workers.Trigger) ([]byte, error) { seen = tr.Header; return nil, nil }
		})
		d := workers.NewDispatcher(js, "")
		d.Before(tracing.Carry)
		_, err := d.Ring(t.Context(), workers.Ring{Channel: "cli", Service: "s", Header: nats.Header{"traceparent": {parent}}})
		ok(t, err)
		if r := <-runs; r.Trace != parentTrace || seen.Get("traceparent") != parent {
			t.Errorf("recorded as %s, given %v", r.Trace, seen)
		}
		if v := tracing.Trigger(noop.NewTracerProvider())("s", "r", time.Now()); v != "" {
			t.Errorf("a trigger has %s", v)
		}
	})
}

func TestTrigger(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	due := time.Date(2026, 12, 7, 9, 0, 0, 5e6, time.UTC)
	got := tracing.Trigger(sdk.NewTracerProvider(sdk.WithSyncer(spans)))("billing", "j@1", due)
	span := spans.GetSpans()[0]
	if want := fmt.Sprintf("00-%s-%s-01", span.SpanContext.TraceID(), span.SpanContext.SpanID()); got != want || span.Name != "trigger billing" {
		t.Errorf("got %s, want %s of %s", got, want, span.Name)
	}
	// One that is not sampled says so to whoever comes after.
	got = tracing.Trigger(sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())))("billing", "j@1", due)
	if !strings.HasSuffix(got, "-00") {
		t.Errorf("not sampled, but %s", got)
	}
}

// Outside of a run, and with what is no traceparent, SetTrace does nothing.
func TestSetTrace(t *testing.T) {
	workers.SetTrace(t.Context(), parent)
	synctest.Test(t, func(t *testing.T) {
		js, runs := serve(t, noop.NewTracerProvider(), func(*workers.Dispatcher) workers.ServiceFunc {
			return func(ctx context.Context, tr *workers.Trigger) ([]byte, error) {
				workers.SetTrace(ctx, string(tr.Payload))
				return nil, nil
			}
		})
		own := strings.ReplaceAll(parent, "0af", "fff")
		for payload, want := range map[string]string{"": parentTrace, "absurd": parentTrace, strings.Repeat("0", 60): parentTrace, own: traceOf(own)} {
			_, err := workers.NewDispatcher(js, "").Ring(t.Context(), workers.Ring{
				Channel: "cli", Service: "s", Payload: []byte(payload), Header: nats.Header{"traceparent": {parent}},
			})
			ok(t, err)
			r := <-runs
			if r.Trace != want {
				t.Errorf("%q is recorded as %s", payload, r.Trace)
			}
		}
	})
}
