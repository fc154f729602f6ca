package tracing_test

import (
	"context"
	"fmt"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/tracing"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// A run is a trace of its own, with a link to where it comes from. Spans that the
// service makes belong to it.
func ExampleMiddleware() {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	fetch := workers.ServiceFunc(func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
		_, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("billing").Start(ctx, "fetch")
		span.End()
		return nil, nil
	})
	// A worker does this when it is told w.Use(tracing.Middleware(provider)).
	_, _ = tracing.Middleware(provider)(fetch).Serve(context.Background(), &workers.Trigger{
		Service: "billing",
		Header:  map[string][]string{"traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
	})
	spans := exporter.GetSpans()
	fmt.Println(spans[0].Name, "is inside of", spans[1].Name, spans[0].Parent.SpanID() == spans[1].SpanContext.SpanID())
	fmt.Println(spans[1].Name, "is linked to", spans[1].Links[0].SpanContext.TraceID())
	// Output:
	// fetch is inside of run billing true
	// run billing is linked to 0af7651916cd43dd8448eb211c80319c
}
