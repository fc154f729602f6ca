package services

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// TestCrew runs programs, each as its definition says, and sees the figures
// of all.
func TestCrew(t *testing.T) {
	nc := natstest.Start(t).Connect()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := workers.Setup(t.Context(), js, workers.SetupOptions{}); err != nil {
		t.Fatal(err)
	}
	definitions, err := parse([]byte("bad: {shell: exit 1, attempts: 1, concurrency: 3}\ngood: {shell: 'printf $GREETING', env: {GREETING: hello}}\nhuge: {shell: head -c 3000000 /dev/zero}\n"), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	runs := make(chan workers.Run, 10)
	var lines bytes.Buffer // written under the handler's lock, read when the crew has ended
	log := slog.New(slog.NewTextHandler(&lines, nil))
	crew, err := NewCrew(nc, workers.Options{Logger: log, Concurrency: 5, Attempts: 9, OnRun: func(r workers.Run) { runs <- r }}, log, definitions...)
	if err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewPedanticRegistry()
	if err := metrics.Register(crew); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- crew.Run(ctx) }()
	got := map[string]string{}
	for _, service := range []string{"bad", "good"} {
		if _, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{Channel: "cli", Service: service}); err != nil {
			t.Fatal(err)
		}
		r := <-runs
		got[r.Service] = r.Outcome + " " + r.Output + r.Error
	}
	// A caller never takes a part for the whole.
	m, err := nc.Request("bellhop.call.huge", nil, time.Minute)
	if err != nil || m.Header.Get(micro.ErrorCodeHeader) != "413" {
		t.Errorf("a huge output is answered with %v, %v", m.Header, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got["bad"] != "dead exit status 1" || got["good"] != "ok hello" {
		t.Errorf("got %v", got)
	}
	if slots := 5 + 3 + Concurrency + Concurrency; !strings.Contains(lines.String(), fmt.Sprintf("concurrency=%d\n", slots)) {
		t.Errorf("it has not %d slots:\n%s", slots, &lines)
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "bellhop_worker_running" && len(f.GetMetric()) != 3 {
			t.Errorf("figures of %d services", len(f.GetMetric()))
		}
	}
}

func TestCrewRefuses(t *testing.T) {
	nc := natstest.Start(t).Connect()
	log := slog.New(slog.DiscardHandler)
	for _, d := range []Definition{{Name: "a b", URL: "http://c"}, {Name: "a"}, {Name: "a", Command: []string{"no-such-program-anywhere"}}, {Name: "a", URL: "c"}} {
		if d.Check() == nil {
			t.Errorf("nothing is wrong with %+v", d)
		}
	}
	if _, err := NewCrew(nc, workers.Options{}, log, Definition{Name: "a"}); err == nil {
		t.Error("it runs nothing")
	}
}
