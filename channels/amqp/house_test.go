//go:build unix

package amqp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/channels/amqp"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// house is a NATS server, a queue, and what runs between.
type house struct {
	*testing.T
	s     *natstest.Server
	nc    *nats.Conn
	js    jetstream.JetStream
	d     *workers.Dispatcher
	q     *queue
	lines *journal
	log   *slog.Logger
}

func newHouse(t *testing.T, url string) *house {
	t.Helper()
	h := &house{T: t, s: natstest.Start(t), lines: &journal{}}
	h.log = slog.New(slog.NewTextHandler(io.Writer(h.lines), nil))
	h.nc = h.s.Connect()
	var err error
	h.js, err = jetstream.New(h.nc)
	h.ok(err)
	h.ok(workers.Setup(t.Context(), h.js, workers.SetupOptions{}))
	_, err = h.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "bellhop-triggers", Subjects: []string{"bellhop.trigger.>", "bellhop.hand"}})
	h.ok(err)
	h.d = workers.NewDispatcher(h.js, "")
	h.q = openQueue(t, url)
	return h
}

func (h *house) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// broker is how the channels under test connect.
func (h *house) broker() amqp.Broker {
	return amqp.Broker{Name: "test", URLs: []string{h.q.url}}
}

// run runs something until stop is called, at the test's end at the latest.
func (h *house) run(f func(ctx context.Context) error) (stop func()) {
	h.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := f(ctx); err != nil {
			h.Errorf("it ended with %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	h.Cleanup(stop)
	return stop
}

// in runs an In on the house's queue.
func (h *house) in(o amqp.InOptions) (c *amqp.In, stop func()) {
	h.Helper()
	o.Logger = h.log
	if o.Queue == "" {
		o.Queue = h.q.name
	}
	c, err := amqp.NewIn(h.broker(), o)
	h.ok(err)
	return c, h.run(func(ctx context.Context) error { return c.Run(ctx, h.d) })
}

// worker runs a worker.
func (h *house) worker(o workers.Options, handle func(w *workers.Worker)) (stop func()) {
	h.Helper()
	o.Logger = h.log
	w := workers.New(h.nc, o)
	handle(w)
	return h.run(w.Run)
}

// await waits until a channel's status is as it should be.
func (h *house) await(m *channels.Meter, what string, is func(s channels.Status) bool) channels.Status {
	h.Helper()
	var s channels.Status
	eventually(h, func() bool { s = m.Status(); return is(s) }, func() string { return fmt.Sprintf("%s: it is %+v\n%s", what, s, h.lines) })
	return s
}

// eventually looks again and again until it is so, or says how it is instead. A
// queue's length, a meter and a service's first worker tell nobody of a change, and
// RabbitMQ is a process of its own, which no bubble holds: so there is a pause between
// two looks, and no other way: what is looked at has no event to wait for. No test
// depends on the pause's length.
func eventually(t testing.TB, so func() bool, instead func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(instead())
		}
	}
}

// connected waits until a channel has its connection.
func (h *house) connected(m *channels.Meter) {
	h.Helper()
	h.await(m, "connected", func(s channels.Status) bool { return s.Connected })
}

// away waits until a channel says that it has none, for a reason.
func (h *house) away(m *channels.Meter, reason string) {
	h.Helper()
	h.await(m, "away: "+reason, func(s channels.Status) bool { return !s.Connected && strings.Contains(s.LastError, reason) })
}

// send publishes to the house's queue for service s.
func (h *house) send(p amqp091.Publishing) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	h.ok(h.q.publish(ctx, p))
}

// stored waits until so many rings are stored.
func (h *house) stored(n uint64) {
	h.Helper()
	var have uint64
	var err error
	eventually(h, func() bool {
		var s jetstream.Stream
		if s, err = h.js.Stream(h.Context(), "bellhop-rings"); err == nil {
			have = s.CachedInfo().State.Msgs
		}
		return err == nil && have >= n
	}, func() string { return fmt.Sprintf("%d rings are not stored: %v\n%s", n, err, h.lines) })
	if have > n {
		h.Fatalf("%d rings are stored, want %d", have, n)
	}
}

// journal is a log that can be read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func orderedFrom(subject string) jetstream.OrderedConsumerConfig {
	return jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}}
}

// holds waits until the queue has so many messages that nobody has taken.
func (h *house) holds(want int) {
	h.Helper()
	var n int
	eventually(h, func() bool {
		var err error
		n, err = h.q.messages(h.q.name)
		h.ok(err)
		return n == want
	}, func() string { return fmt.Sprintf("the queue has %d messages, want %d\n%s", n, want, h.lines) })
}

// known waits until a worker has come for a service: nobody tells of that.
func (h *house) known(service string) {
	h.Helper()
	eventually(h, func() bool {
		known, err := h.d.Known(h.Context(), service)
		h.ok(err)
		return known
	}, func() string { return "no worker comes for " + service })
}
