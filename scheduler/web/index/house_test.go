package index_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // the zones of every machine, whatever it has installed

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/scheduler/web/index"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// house is a server, and a connection to it.
type house struct {
	testing.TB
	s  *natstest.Server
	nc *nats.Conn
	js jetstream.JetStream
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{TB: t, s: natstest.Start(t)}
	h.nc = h.s.Connect()
	var err error
	h.js, err = jetstream.New(h.nc)
	h.ok(err)
	return h
}

// inBubble runs a test on fake time, which starts at midnight, 2000-01-01 UTC.
func inBubble(t *testing.T, f func(h *house)) {
	synctest.Test(t, func(t *testing.T) {
		f(newHouse(t))
	})
}

func (h *house) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *house) setup() {
	h.Helper()
	h.ok(scheduler.Setup(h.Context(), h.js, scheduler.Options{}))
}

// launch runs an index until the test's end.
func (h *house) launch() *index.Index {
	h.Helper()
	nc := h.s.Connect(nats.ReconnectBufSize(-1))
	x := index.New(nc, "", index.Options{Logger: slog.New(slog.NewTextHandler(h.Output(), nil))})
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := x.Run(ctx); err != nil {
			h.Errorf("index: %v", err)
		}
	})
	h.Cleanup(func() {
		cancel()
		wg.Wait()
		nc.Close()
	})
	return x
}

func (h *house) start() *index.Index {
	h.Helper()
	x := h.launch()
	h.ready(x)
	return x
}

func (h *house) ready(x *index.Index) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
	defer cancel()
	h.ok(x.Ready(ctx))
}

// put writes a definition as the nats command would, whatever it holds.
func (h *house) put(key, definition string) {
	h.Helper()
	_, err := h.js.Publish(h.Context(), "$KV.bellhop-jobs."+key, []byte(definition))
	h.ok(err)
}

func (h *house) remove(key, op string) {
	h.Helper()
	m := nats.NewMsg("$KV.bellhop-jobs." + key)
	m.Header.Set("KV-Operation", op)
	if op == "PURGE" {
		m.Header.Set("Nats-Rollup", "sub")
	}
	_, err := h.js.PublishMsg(h.Context(), m)
	h.ok(err)
}

// record stores a run record as a worker would.
func (h *house) record(r workers.Run) {
	h.Helper()
	b, err := json.Marshal(r)
	h.ok(err)
	_, err = h.js.Publish(h.Context(), workers.Namespace("").RunSubject(r.Job, r.Service), b)
	h.ok(err)
}

// until waits until the index has come so far, a minute at most. It looks again
// after each event, which is sent after the change.
func (h *house) until(x *index.Index, what string, so func() bool) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
	defer cancel()
	events := x.Subscribe(ctx)
	for !so() {
		if _, ok := <-events; !ok {
			h.Fatalf("not within a minute: %s", what)
		}
	}
	cancel()
	for range events { // until its goroutine has ended
	}
}

// every gives the definition of a job.
func every(name, service, interval string) string {
	return fmt.Sprintf(`{"name":%q,"service":%q,"schedule":{"every":%q}}`, name, service, interval)
}

// names gives the jobs of all pages of a query.
func (h *house) names(x *index.Index, q index.Query) []string {
	h.Helper()
	var list []string
	for {
		p, err := x.Jobs(q)
		h.ok(err)
		for _, j := range p.Jobs {
			list = append(list, j.Name)
		}
		if q.Cursor = p.Cursor; q.Cursor == "" {
			if len(list) != p.Total {
				h.Errorf("%d jobs on the pages, %d in all", len(list), p.Total)
			}
			return list
		}
	}
}
