package telemetry

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/workers"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// set sets variables, of which all others named OTEL_ are empty: "A=b C=d".
func set(t *testing.T, env string) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG",
		"OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME",
	} {
		t.Setenv(name, "")
	}
	for v := range strings.FieldsSeq(env) {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
}

const here = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 "

func TestStart(t *testing.T) {
	for _, tt := range []struct {
		env     string
		on      bool
		refused string
	}{
		{"", false, ""},
		{here, true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://c.example/v1/traces", true, ""},
		{"OTEL_TRACES_EXPORTER=otlp", true, ""}, // to the standard's own endpoint
		{here + "OTEL_TRACES_EXPORTER=none", false, ""},
		{here + "OTEL_SDK_DISABLED=TRUE", false, ""},
		{here + "OTEL_SDK_DISABLED=false OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", true, ""},
		{here + "OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0.1 OTEL_RESOURCE_ATTRIBUTES=a=b", true, ""},
		{"OTEL_TRACES_EXPORTER=jaeger", false, "OTEL_TRACES_EXPORTER"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=user:s3cret@collector:4318", false, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{here + "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", false, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{here + "OTEL_TRACES_SAMPLER=sometimes", false, "OTEL_TRACES_SAMPLER"},
		{here + "OTEL_TRACES_SAMPLER=parentbased_", false, "OTEL_TRACES_SAMPLER"},
		{here + "OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=10%", false, "OTEL_TRACES_SAMPLER_ARG"},
		{here + "OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=NaN", false, "OTEL_TRACES_SAMPLER_ARG"},
		{here + "OTEL_RESOURCE_ATTRIBUTES=absurd", false, "OTEL_RESOURCE_ATTRIBUTES"},
	} {
		t.Run(tt.env, func(t *testing.T) {
			set(t, tt.env)
			tracing, err := Start(t.Context(), "p", quiet())
			if tt.refused != "" {
				if e, ok := errors.AsType[*config.Error](err); !ok || e.Variable != tt.refused || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer tracing.Stop()
			if on := tracing.Trigger() != nil; on != tt.on {
				t.Errorf("traces: %v", on)
			}
		})
	}
}

// taker counts the middleware that it is given.
type taker int

func (u *taker) Use(m ...workers.Middleware) { *u += taker(len(m)) }

func TestUse(t *testing.T) {
	for env, n := range map[string]taker{"": 0, here: 1} {
		set(t, env)
		tracing, err := Start(t.Context(), "p", quiet())
		if err != nil {
			t.Fatal(err)
		}
		var u taker
		if tracing.Use(&u); u != n {
			t.Errorf("%q: took %d", env, u)
		}
		tracing.Stop()
	}
}

// A collector in trouble is told of once, and again when it is well.
func TestTrouble(t *testing.T) {
	broken := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken {
			w.WriteHeader(http.StatusBadRequest) // which is not tried again
		}
	}))
	defer s.Close()
	set(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+s.URL)
	var log bytes.Buffer
	tracing, err := Start(t.Context(), "p", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, broken = range []bool{true, true, false, false} {
		if v := tracing.Trigger()("s", "r", time.Now()); len(v) != 55 {
			t.Errorf("a trigger has %q", v)
		}
		if err := tracing.provider.ForceFlush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	tracing.Stop()
	for text, n := range map[string]int{"traces are not taken": 1, "traces are taken again": 1, "last traces are lost": 0} {
		if strings.Count(log.String(), text) != n {
			t.Errorf("%q is not said %d times:\n%s", text, n, &log)
		}
	}
}

func TestSampler(t *testing.T) {
	link := func(flags oteltrace.TraceFlags) []oteltrace.Link {
		return []oteltrace.Link{{SpanContext: oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
			TraceID: oteltrace.TraceID{1}, SpanID: oteltrace.SpanID{1}, TraceFlags: flags, Remote: true,
		})}}
	}
	yes, no := link(oteltrace.FlagsSampled), link(0)
	for _, tt := range []struct {
		name, arg string
		links     []oteltrace.Link
		want      bool
	}{
		{"", "", nil, true}, {"", "", yes, true}, {"", "", no, false},
		{"always_on", "", no, true}, {"always_off", "", yes, false},
		{"traceidratio", "0", yes, false}, {"traceidratio", "1", no, true}, {"traceidratio", "", nil, true},
		{"parentbased_always_on", "", no, false}, {"parentbased_always_off", "", yes, true}, {"parentbased_always_off", "", nil, false},
		{"parentbased_traceidratio", "0", yes, true}, {"parentbased_traceidratio", "0", nil, false}, {"parentbased_traceidratio", "1", no, false},
	} {
		s, err := sampler(tt.name, tt.arg)
		if err != nil {
			t.Fatal(err)
		}
		p := trace.SamplingParameters{ParentContext: t.Context(), TraceID: oteltrace.TraceID{0xff, 1, 2, 3, 4, 5, 6, 7, 0xff}, Links: tt.links}
		if got := s.ShouldSample(p).Decision == trace.RecordAndSample; got != tt.want {
			t.Errorf("%s %s with %v: %v", tt.name, tt.arg, tt.links, got)
		}
	}
}
