package scheduler_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// house is a server and a connection to it.
type house struct {
	*testing.T
	s      *natstest.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	client *scheduler.Client
}

func newHouse(t *testing.T) *house {
	t.Helper()
	s := natstest.Start(t)
	nc := s.Connect()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &house{t, s, nc, js, scheduler.NewClient(nc, "")}
}

// inBubble runs a test on fake time, which starts at midnight, 2000-01-01 UTC. A
// time.Sleep in it waits for nobody: the clock goes on once all others wait, and then
// to the next time that somebody waits for.
func inBubble(t *testing.T, f func(h *house)) {
	synctest.Test(t, func(t *testing.T) {
		f(newHouse(t))
	})
}

// start runs a scheduler until the function it returns is called, which waits
// for its end.
func (h *house) start(o scheduler.Options) (stop func()) {
	h.Helper()
	s, stop := h.launch(o)
	select {
	case <-s.Ready():
	case <-time.After(time.Minute):
		h.Fatal("the scheduler does not lead within a minute")
	}
	return stop
}

func (h *house) launch(o scheduler.Options) (s *scheduler.Scheduler, stop func()) {
	h.Helper()
	nc := h.s.Connect(nats.ReconnectBufSize(-1))
	o.Logger = slog.New(slog.NewTextHandler(testWriter{h.T}, nil))
	s, err := scheduler.New(nc, o)
	h.ok(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			h.Errorf("scheduler: %v", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		nc.Close()
	})
	h.Cleanup(stop)
	return s, stop
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p[:len(p)-1]))
	return len(p), nil
}

func (h *house) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// ask sends a request as the nats command would, and gives the reply.
func (h *house) ask(verb, body string) string {
	h.Helper()
	m, err := h.nc.Request("bellhop.jobs."+verb, []byte(body), time.Minute)
	h.ok(err)
	return string(m.Data)
}

// rung is a trigger in the log.
type rung struct {
	run, service, due, payload string
	at                         time.Time // when it was stored
}

// log reads all triggers that the log holds.
func (h *house) log() []rung {
	h.Helper()
	stream, err := h.js.Stream(h.Context(), "bellhop-triggers")
	h.ok(err)
	cons, err := stream.OrderedConsumer(h.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{"bellhop.trigger.>"}})
	h.ok(err)
	messages, err := cons.Messages()
	h.ok(err)
	defer messages.Stop()
	var list []rung
	for left := cons.CachedInfo().NumPending; left > 0; {
		m, err := messages.Next()
		h.ok(err)
		meta, err := m.Metadata()
		h.ok(err)
		left = meta.NumPending
		list = append(list, rung{
			run: m.Headers().Get(workers.HeaderRun), service: m.Subject()[len("bellhop.trigger."):],
			due: m.Headers().Get(workers.HeaderDue), payload: string(m.Data()), at: meta.Timestamp,
		})
	}
	return list
}
