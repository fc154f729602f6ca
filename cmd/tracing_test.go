package cmd_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// sent is a span that has reached the collector, and the process it is of.
type sent struct {
	*otlp.Span
	program string
}

// collect is a collector of traces: OTLP over HTTP, in protobuf.
func collect(t *testing.T) (url string, spans chan sent) {
	t.Helper()
	spans = make(chan sent, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("got %s, %v", r.URL.Path, err)
		}
		var request collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			t.Error(err)
		}
		for _, of := range request.ResourceSpans {
			program := ""
			for _, kv := range of.Resource.Attributes {
				if kv.Key == "service.name" {
					program = kv.Value.GetStringValue()
				}
			}
			for _, scope := range of.ScopeSpans {
				for _, span := range scope.Spans {
					spans <- sent{span, program}
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, spans
}

// TestTracing has the daemons send their spans to a collector, the last ones when
// they are stopped: a trigger's, its run's with a link to it, and the program
// that the run starts knows of it.
func TestTracing(t *testing.T) {
	dir := build(t)
	s := serve(t, server.Options{Port: -1})
	to, spans := collect(t)
	defined := filepath.Join(t.TempDir(), "services.yaml")
	if err := os.WriteFile(defined, []byte("tell:\n  shell: echo \"$TRACEPARENT\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"BELLHOP_NATS_URL=" + s.ClientURL(), "OTEL_EXPORTER_OTLP_ENDPOINT=" + to, "OTEL_BSP_SCHEDULE_DELAY=3600000"}
	timekeeper := start(t, filepath.Join(dir, "bellhop-scheduler"), env...)
	timekeeper.await(t, "msg=leading")
	worker := start(t, filepath.Join(dir, "bellhop-worker"), append(env, "BELLHOP_SERVICES="+defined, "OTEL_SERVICE_NAME=mine")...)
	worker.await(t, "msg=tracing")
	worker.await(t, "worker started")

	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	records, err := nc.SubscribeSync("bellhop.run.j")
	if err != nil {
		t.Fatal(err)
	}
	_, err = scheduler.NewClient(nc, "").Create(t.Context(), &scheduler.Job{
		Name: "j", Service: "tell", Schedule: scheduler.Schedule{Every: scheduler.Duration(10 * time.Millisecond), MaxRuns: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	record, err := records.NextMsg(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]*daemon{"scheduler": timekeeper, "worker": worker} {
		d.Process.Signal(os.Interrupt)
		if code := d.exits(); code != 0 {
			t.Errorf("%s exits %d", name, code)
		}
	}
	close(spans)
	got := map[string]sent{}
	for span := range spans {
		got[span.program+": "+span.Name] = span
	}
	trigger, run := got["bellhop-scheduler: trigger tell"], got["mine: run tell"]
	if len(got) != 2 || trigger.Span == nil || run.Span == nil {
		t.Fatalf("sent %v", got)
	}
	if len(run.Links) != 1 || string(run.Links[0].SpanId) != string(trigger.SpanId) || string(run.Links[0].TraceId) != string(trigger.TraceId) {
		t.Errorf("the run is linked to %v, the trigger is %x of %x", run.Links, trigger.SpanId, trigger.TraceId)
	}
	for _, want := range []string{fmt.Sprintf(`"trace":"%x"`, run.TraceId), fmt.Sprintf(`"output":"00-%x-%x-01\n"`, run.TraceId, run.SpanId)} {
		if !strings.Contains(string(record.Data), want) {
			t.Errorf("%s is not in the record %s", want, record.Data)
		}
	}
}
