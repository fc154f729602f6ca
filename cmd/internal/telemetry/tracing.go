// Package telemetry sends the traces of a process to an OpenTelemetry collector,
// where the standard variables OTEL_* name one; else it does nothing.
//
//	OTEL_EXPORTER_OTLP_ENDPOINT  where to send, such as http://127.0.0.1:4318
//	OTEL_TRACES_EXPORTER         none switches it off
//	OTEL_TRACES_SAMPLER, _ARG    which traces; a run is sampled as its trigger was
//	OTEL_SERVICE_NAME            the program's name
//
// The others of the OTLP exporter over HTTP and of the SDK count as well.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/tracing"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// flushTime is how long a process that stops waits for its last spans to be
// taken.
const flushTime = 5 * time.Second

// Tracing is the tracing of a process, perhaps off.
type Tracing struct {
	provider *trace.TracerProvider // nil: off
	log      *slog.Logger
}

// Start reads the environment. program is the service's name where that does not
// say another. What cannot be right is a *config.Error; a collector that cannot
// be reached is none, and is logged when there is something to send.
func Start(ctx context.Context, program string, log *slog.Logger) (*Tracing, error) {
	t := &Tracing{log: log}
	on, err := wanted()
	if err != nil || !on {
		return t, err
	}
	sampler, err := sampler(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG"))
	if err != nil {
		return t, err
	}
	to, err := otlptracehttp.New(ctx)
	if err != nil {
		return t, fmt.Errorf("start tracing: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", program), attribute.String("service.version", workers.Version),
	), resource.WithFromEnv())
	if err != nil {
		return t, &config.Error{Variable: "OTEL_RESOURCE_ATTRIBUTES", Value: os.Getenv("OTEL_RESOURCE_ATTRIBUTES"), Want: err.Error()}
	}
	t.provider = trace.NewTracerProvider(trace.WithBatcher(&exporter{SpanExporter: to, log: log}), trace.WithResource(about), trace.WithSampler(sampler))
	log.Info("tracing")
	return t, nil
}

// wanted says whether the environment asks for traces, in a way that is known.
func wanted() (bool, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	endpoint := false
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		value := os.Getenv(name)
		if value == "" {
			continue
		}
		if u, err := url.Parse(value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return false, &config.Error{Variable: name, Value: "…", Want: "use a URL such as http://127.0.0.1:4318"} // it may hold a password
		}
		endpoint = true
	}
	switch v := os.Getenv("OTEL_TRACES_EXPORTER"); v {
	case "":
		if !endpoint {
			return false, nil
		}
	case "none":
		return false, nil
	case "otlp":
	default:
		return false, &config.Error{Variable: "OTEL_TRACES_EXPORTER", Value: v, Want: "use otlp, or none"}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if v := os.Getenv(name); v != "" && v != "http/protobuf" {
			return false, &config.Error{Variable: name, Value: v, Want: "use http/protobuf"}
		}
	}
	return true, nil
}

// Use traces the services of whoever takes middleware.
func (t *Tracing) Use(w interface{ Use(m ...workers.Middleware) }) {
	if t.provider != nil {
		w.Use(tracing.Middleware(t.provider))
	}
}

// Carry has the rings of d carry the trace of who rings.
func (t *Tracing) Carry(d *workers.Dispatcher) {
	if t.provider != nil {
		d.Before(tracing.Carry)
	}
}

// Trigger is for scheduler.Options.Trace; nil when nothing is traced.
func (t *Tracing) Trigger() func(service, run string, due time.Time) string {
	if t.provider == nil {
		return nil
	}
	return tracing.Trigger(t.provider)
}

// Stop sends what is left, for a few seconds at most. Call it when everything
// has drained.
func (t *Tracing) Stop() {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last traces are lost", "error", err)
	}
}

// exporter tells the log of trouble once, and not the SDK's global handler.
type exporter struct {
	trace.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
}

// ExportSpans is part of trace.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []trace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !e.failing.Swap(true):
		e.log.Warn("traces are not taken", "error", err)
	case err == nil && e.failing.Swap(false):
		e.log.Info("traces are taken again")
	}
	return nil
}
