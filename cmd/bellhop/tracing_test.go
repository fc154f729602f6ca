package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestUpTraces sends the spans of triggers and runs when it stops.
func TestUpTraces(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 1000)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- string(b)
	}))
	p := start(t, environment(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL, "OTEL_BSP_SCHEDULE_DELAY=3600000"), "up", "--demo")
	p.await(t, sampleRun)
	p.interrupt(t)
	p.await(t, `^bye: \d+ runs?, all ok$`)
	if code := p.exits(); code != 0 {
		t.Errorf("exits with %d", code)
	}
	collector.Close()
	close(bodies)
	var all strings.Builder
	for b := range bodies {
		all.WriteString(b)
	}
	for _, span := range []string{"trigger log-input", "run log-input"} {
		if !strings.Contains(all.String(), span) {
			t.Errorf("no span %q was sent", span)
		}
	}
}

// TestUpWithoutItsCollector runs as well when nobody takes its spans, and ends.
func TestUpWithoutItsCollector(t *testing.T) {
	t.Parallel()
	p := start(t, environment(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=10"), "up", "--demo")
	p.await(t, sampleRun)
	p.await(t, sampleRun)
	p.interrupt(t)
	p.await(t, `^bye: \d+ runs?, all ok$`)
	if code := p.exits(); code != 0 {
		t.Errorf("exits with %d", code)
	}
}

func TestUpRefusesToTraceAnyhow(t *testing.T) {
	t.Parallel()
	p := start(t, environment(t, "OTEL_TRACES_EXPORTER=jaeger"), "up")
	if code := p.exits(); code != 2 || !strings.Contains(p.said(), `OTEL_TRACES_EXPORTER="jaeger": use otlp, or none`) {
		t.Errorf("exits with %d", code)
	}
}
