package command_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/command"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// house is a server with every stream that a worker needs.
type house struct {
	t    *testing.T
	nc   *nats.Conn
	ring *workers.Dispatcher
}

func newHouse(t *testing.T) *house {
	t.Helper()
	nc := natstest.Start(t).Connect()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := workers.Setup(t.Context(), js, workers.SetupOptions{}); err != nil {
		t.Fatal(err)
	}
	return &house{t, nc, workers.NewDispatcher(js, "")}
}

// work runs a worker of one service "s" until stop is called; the channel has
// its runs.
func (h *house) work(o workers.Options, s workers.Service) (stop func(), runs chan workers.Run) {
	h.t.Helper()
	runs = make(chan workers.Run, 1000)
	o.Logger, o.OnRun = slog.New(slog.DiscardHandler), func(r workers.Run) { runs <- r }
	w := workers.New(h.nc, o)
	w.Handle("s", s)
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			h.t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	h.t.Cleanup(stop)
	return stop, runs
}

func (h *house) rings(r workers.Ring) string {
	h.t.Helper()
	r.Channel, r.Service = "cli", "s"
	run, err := h.ring.Ring(h.t.Context(), r)
	if err != nil {
		h.t.Fatal(err)
	}
	return run
}

func TestOutcomes(t *testing.T) {
	h := newHouse(t)
	// The payload is a script: a service for the brave.
	_, runs := h.work(workers.Options{Backoff: time.Millisecond, Attempts: 2}, script(t, command.Options{}, `eval "$(cat)"`))
	for _, tt := range []struct{ payload, want string }{
		{"printf %s \"$TRIGGER_CHANNEL $TRIGGER_ATTEMPT\"", "ok cli 1 "},
		{"echo again >&2; exit 75", "failed  exit status 75: again; dead  exit status 75: again"},
		{"echo never >&2; exit 65", "dead  exit status 65: never"},
		{`[ "$TRIGGER_LAST_ERROR" = "exit status 9: hm" ] && exit 0; echo hm >&2; exit 9`, "failed  exit status 9: hm; ok  "},
	} {
		h.rings(workers.Ring{Payload: []byte(tt.payload)})
		var got []string
		for range strings.Count(tt.want, ";") + 1 {
			r := <-runs
			got = append(got, fmt.Sprintf("%s %s %s", r.Outcome, r.Output, r.Error))
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.payload, s, tt.want)
		}
	}
}

// TestTimeout has a job's own timeout end the whole family.
func TestTimeout(t *testing.T) {
	h := newHouse(t)
	grandchild := newWitness(t)
	p := program(t, command.Options{Grace: 50 * time.Millisecond}, "family", grandchild.address(), "chatty", "stubborn")
	_, runs := h.work(workers.Options{}, p)
	h.rings(workers.Ring{Policy: workers.Policy{Timeout: "3s", Retry: &workers.Retry{Attempts: 2, Backoff: "1h"}}})
	grandchild.born()
	grandchild.dead()
	if r := <-runs; r.Outcome != workers.OutcomeTimeout || !strings.Contains(r.Error, "terminated") {
		t.Errorf("%s: %s", r.Outcome, r.Error)
	}
}

// TestDrain stops a worker: what can end does, what cannot is ended with all
// its family before the worker is gone, and given back.
func TestDrain(t *testing.T) {
	h := newHouse(t)
	grandchild := newWitness(t)
	p := program(t, command.Options{Grace: time.Hour}, "family", grandchild.address(), "chatty", "stubborn")
	stop, runs := h.work(workers.Options{DrainTimeout: -1}, p)
	run := h.rings(workers.Ring{})
	grandchild.born()
	stop()
	if r := <-runs; r.Run != run || r.Outcome != workers.OutcomeFailed || !strings.Contains(r.Error, workers.ErrStopped.Error()) {
		t.Errorf("%s: %s %s", r.Run, r.Outcome, r.Error)
	}
	grandchild.dead()

	_, runs = h.work(workers.Options{}, script(t, command.Options{}, "exit 0"))
	if r := <-runs; r.Run != run || r.Outcome != workers.OutcomeOK || r.Attempt != 1 { // it was not its fault
		t.Errorf("%s: %s, attempt %d", r.Run, r.Outcome, r.Attempt)
	}
}

// TestConcurrency has programs that end only when all of them are there.
func TestConcurrency(t *testing.T) {
	h := newHouse(t)
	const n = 5
	all := newWitness(t)
	p := program(t, command.Options{}, "hold", all.address())
	_, runs := h.work(workers.Options{Concurrency: n}, p)
	for range n {
		h.rings(workers.Ring{})
	}
	var there []*witness
	for range n {
		w := &witness{t: t, l: all.l}
		w.born()
		there = append(there, w)
	}
	for _, w := range there {
		w.c.Close() // by which it ends
	}
	for range n {
		if r := <-runs; r.Outcome != workers.OutcomeOK {
			t.Errorf("%s: %s", r.Outcome, r.Error)
		}
	}
}
