//go:build unix

package amqp_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
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

// lap is how many messages go one way before the other way of doing it has its
// turn: the two share the machine's moods.
const lap = 20_000

// benchField is a broker, a NATS server in a process of its own, and what both hold.
type benchField struct {
	*testing.B
	q  *queue
	nc *nats.Conn
	js jetstream.JetStream
	d  *workers.Dispatcher
}

func newField(b *testing.B) *benchField {
	b.Helper()
	s := natstest.StartProcess(b, natstest.ProcessOptions{})
	nc, err := nats.Connect(s.URL)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	if err == nil {
		err = workers.Setup(b.Context(), js, workers.SetupOptions{})
	}
	if err != nil {
		b.Fatal(err)
	}
	return &benchField{b, openQueue(b, broker.URL(b)), nc, js, workers.NewDispatcher(js, "")}
}

var payload = make([]byte, 128)

// fill puts messages into the queue.
func (f *benchField) fill(n int) {
	f.Helper()
	var all []*amqp091.DeferredConfirmation
	for i := range n {
		dc, err := f.q.ch.PublishWithDeferredConfirm("", f.q.name, false, false, amqp091.Publishing{
			MessageId: fmt.Sprintf("%d-%d", f.N, time.Now().UnixNano()+int64(i)), DeliveryMode: amqp091.Persistent, Body: payload,
		})
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, dc)
	}
	for _, dc := range all {
		dc.Wait()
	}
}

// raw consumes n messages and publishes each with the client libraries alone, as
// one who knows them would: acknowledged as NATS confirms, several as one.
func (f *benchField) raw(n int) time.Duration {
	f.Helper()
	conn, err := amqp091.Dial(f.q.url)
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Qos(512, 0, false)
	}
	if err != nil {
		f.Fatal(err)
	}
	began := time.Now()
	deliveries, err := ch.Consume(f.q.name, "", false, false, false, false, nil)
	if err != nil {
		f.Fatal(err)
	}
	type pair struct {
		tag    uint64
		future jetstream.PubAckFuture
	}
	under := make(chan pair, 512)
	var acks sync.WaitGroup
	acks.Go(func() {
		n := 0
		for p := range under {
			select {
			case <-p.future.Ok():
				if n++; n%64 == 0 || len(under) == 0 {
					if err := ch.Ack(p.tag, true); err != nil {
						f.Error(err)
					}
				}
			case err := <-p.future.Err():
				f.Error(err)
			}
		}
	})
	for range n {
		d := <-deliveries
		m := nats.NewMsg("bellhop.ring.raw.s")
		m.Header.Set(nats.MsgIdHdr, "raw:"+d.MessageId)
		m.Data = d.Body
		future, err := f.js.PublishMsgAsync(m)
		if err != nil {
			f.Fatal(err)
		}
		under <- pair{d.DeliveryTag, future}
	}
	close(under)
	acks.Wait()
	return time.Since(began)
}

// channel does the same with an In.
func (f *benchField) channel(n int) time.Duration {
	f.Helper()
	c, err := amqp.NewIn(amqp.Broker{Name: "bench", URLs: []string{f.q.url}}, amqp.InOptions{Queue: f.q.name, Service: "s", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	ctx, stop := context.WithCancel(f.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx, f.d) })
	f.until(c.Meter(), func(s channels.Status) bool { return s.Received > 0 })
	began := time.Now()
	f.until(c.Meter(), func(s channels.Status) bool { return s.Rung >= uint64(n) })
	took := time.Since(began)
	stop()
	running.Wait()
	return took
}

func (f *benchField) until(m *channels.Meter, is func(channels.Status) bool) {
	f.Helper()
	eventually(f, func() bool { return is(m.Status()) }, func() string { return fmt.Sprintf("it is %+v", m.Status()) })
}

// BenchmarkIn compares an In with a loop of the client libraries, by turns.
func BenchmarkIn(b *testing.B) {
	f := newField(b)
	var raw, ours time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		f.fill(lap)
		raw += f.raw(lap)
		f.fill(lap)
		b.StartTimer()
		ours += f.channel(lap)
		n += lap
	}
	report(b, n, raw, ours)
}

func report(b *testing.B, n int, raw, ours time.Duration) {
	b.ReportMetric(float64(n)/ours.Seconds(), "channel/s")
	b.ReportMetric(float64(n)/raw.Seconds(), "raw/s")
	b.ReportMetric(raw.Seconds()/ours.Seconds(), "share")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkOut compares an Out that is served by as many runs at a time as a
// bridge has, with as many goroutines that publish and wait with the client library.
func BenchmarkOut(b *testing.B) {
	f := newField(b)
	s, err := amqp.NewOut(amqp.Broker{Name: "bench", URLs: []string{f.q.url}}, amqp.OutOptions{Name: "s", RoutingKey: f.q.name, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	defer running.Wait()
	defer stop()
	f.until(s.Meter(), func(s channels.Status) bool { return s.Connected })
	each := func(do func(id string) error) time.Duration {
		var all sync.WaitGroup
		var next atomic.Int64
		began := time.Now()
		for range 64 {
			all.Go(func() {
				for i := next.Add(1); i <= lap; i = next.Add(1) {
					if err := do(fmt.Sprint(i)); err != nil {
						b.Error(err)
					}
				}
			})
		}
		all.Wait()
		return time.Since(began)
	}
	var raw, ours time.Duration
	n := 0
	for b.Loop() {
		raw += each(func(id string) error {
			dc, err := f.q.ch.PublishWithDeferredConfirm("", f.q.name, true, false, amqp091.Publishing{MessageId: id, DeliveryMode: amqp091.Persistent, Body: payload})
			if err == nil && !dc.Wait() {
				err = amqp.ErrNacked
			}
			return err
		})
		ours += each(func(id string) error {
			_, err := s.Serve(ctx, &workers.Trigger{Run: id, Service: "s", Payload: payload})
			return err
		})
		n += lap
	}
	report(b, n, raw, ours)
}
