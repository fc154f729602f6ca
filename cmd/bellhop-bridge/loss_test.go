//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels/amqp/amqptest"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// messages is how many go each way.
const messages = 100_000

// TestNothingIsLost has 100,000 messages go each way, while bridges are killed,
// one after the other, and the broker is killed and comes back: every id that went
// in comes out, and no other.
func TestNothingIsLost(t *testing.T) {
	node := amqptest.Start(t)
	server := natstest.StartProcess(t, natstest.ProcessOptions{})
	nc, err := nats.Connect(server.URL, nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := scheduler.Setup(t.Context(), js, scheduler.Options{}); err != nil {
		t.Fatal(err)
	}
	// Classic queues: in RabbitMQ 3.10 a quorum queue may not survive the kill of a
	// young node (it syncs meta.dets late).
	if err := onChannel(node.URL, func(ch *amqp091.Channel) error {
		var all []error
		for _, name := range []string{"in", "out"} {
			_, err := ch.QueueDeclare(name, true, false, false, false, amqp091.Table{"x-queue-type": "classic"})
			all = append(all, err)
		}
		return errors.Join(all...)
	}); err != nil {
		t.Fatal(err)
	}
	config := []string{"BELLHOP_NATS_URL=" + server.URL, "BELLHOP_CHANNELS=" + file(t, fmt.Sprintf(`
amqp:
  rabbit:
    urls: [%s]
    in:
      - {queue: in, service: sink}
    out:
      publish: {routing_key: out, concurrency: 256}
`, node.URL))}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	b := start(t, config...)
	b.await("consuming")

	var both sync.WaitGroup
	inside, outside := newIDs(), newIDs()
	both.Go(func() { publishAll(ctx, t, node.URL) })
	both.Go(func() { ringAll(ctx, t, js) })
	both.Go(func() { consumeRings(ctx, t, js, inside) })
	both.Go(func() { consumeQueue(ctx, t, node.URL, outside) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		both.Wait()
	}()

	// Each disturbance comes when some more have arrived.
	for i := 1; i <= 6; i++ {
		for inside.n() < i*messages/10 && outside.n() < i*messages/10 && ctx.Err() == nil {
			pause(ctx)
		}
		b.kill()
		if i%2 == 0 {
			node.Kill()
			node.Up(t)
		}
		b = start(t, config...)
	}
	<-done
	for what, got := range map[string]*ids{"rung": inside, "published": outside} {
		want := func(i int) string { return fmt.Sprintf("http:%d", i) }
		if what == "rung" {
			want = func(i int) string { return fmt.Sprintf("amqp:rabbit=2Fin:no-%d", i) }
		}
		missing := 0
		for i := range messages {
			if !got.seen[want(i)] {
				missing++
			}
		}
		if missing > 0 || len(got.seen) != messages {
			t.Errorf("%s: %d ids, and %d are missing", what, len(got.seen), missing)
		}
		t.Logf("%s: %d, of which %d came again", what, got.all, got.all-len(got.seen))
	}
	b.stop()
	if t.Failed() {
		t.Log(b.said())
	}
}

// ids are what has arrived.
type ids struct {
	mu   sync.Mutex
	seen map[string]bool
	all  int
}

func newIDs() *ids { return &ids{seen: make(map[string]bool, messages)} }

// add takes one; true when all have come.
func (s *ids) add(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[id] = true
	s.all++
	return len(s.seen) >= messages
}

func (s *ids) n() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// publishAll publishes each message until it was confirmed.
func publishAll(ctx context.Context, t *testing.T, url string) {
	const batch = 500
	for from := 0; from < messages; {
		err := onChannel(url, func(ch *amqp091.Channel) error {
			if err := ch.Confirm(false); err != nil {
				return err
			}
			for from < messages {
				var all []*amqp091.DeferredConfirmation
				for i := from; i < min(from+batch, messages); i++ {
					dc, err := ch.PublishWithDeferredConfirm("", "in", true, false, amqp091.Publishing{
						MessageId: fmt.Sprintf("no-%d", i), DeliveryMode: amqp091.Persistent, Body: fmt.Append(nil, i),
					})
					if err != nil {
						return err
					}
					all = append(all, dc)
				}
				for _, dc := range all {
					if ok, err := dc.WaitContext(ctx); err != nil || !ok {
						return errors.Join(err, errors.New("not confirmed"))
					}
				}
				from += batch
			}
			return nil
		})
		if err != nil && !pause(ctx) {
			t.Errorf("published up to %d: %v", from, err)
			return
		}
	}
}

// onChannel does something on a connection of its own.
func onChannel(url string, f func(ch *amqp091.Channel) error) error {
	c, err := amqp091.Dial(url)
	if err != nil {
		return err
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		return err
	}
	return f(ch)
}

func pause(ctx context.Context) bool {
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ringAll rings the service that publishes, each ring until it was confirmed. On a busy
// machine that may take longer than the pipe waits; its id keeps it from being stored
// twice.
func ringAll(ctx context.Context, t *testing.T, js jetstream.JetStream) {
	p, err := workers.NewDispatcher(js, "").NewPipe()
	if err != nil {
		t.Error(err)
		return
	}
	defer p.Close()
	var all sync.WaitGroup
	var ring func(i int)
	ring = func(i int) {
		all.Add(1)
		p.Ring(ctx, workers.Ring{Channel: "http", Service: "publish", ID: fmt.Sprint(i), Payload: fmt.Append(nil, i)}, func(_ string, err error) {
			switch {
			case err != nil && ctx.Err() == nil && !errors.Is(err, workers.ErrRefused):
				all.Go(func() { ring(i) }) // whoever says so must not be kept
			case err != nil:
				t.Error(err)
			}
			all.Done()
		})
	}
	for i := range messages {
		ring(i)
	}
	all.Wait()
}

// consumeRings reads what the bridges have rung.
func consumeRings(ctx context.Context, t *testing.T, js jetstream.JetStream, got *ids) {
	c, err := js.OrderedConsumer(ctx, "bellhop-rings", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"bellhop.ring.amqp.sink"}})
	if err != nil {
		t.Error(err)
		return
	}
	all, err := c.Messages()
	if err != nil {
		t.Error(err)
		return
	}
	defer all.Stop()
	stop := context.AfterFunc(ctx, all.Stop)
	defer stop()
	for {
		m, err := all.Next()
		if err != nil {
			t.Errorf("%d were rung: %v", got.n(), err)
			return
		}
		if got.add(m.Headers().Get(workers.HeaderRun)) {
			return
		}
	}
}

// consumeQueue reads what the bridges have published.
func consumeQueue(ctx context.Context, t *testing.T, url string, got *ids) {
	for complete := false; !complete; {
		err := onChannel(url, func(ch *amqp091.Channel) error {
			if err := ch.Qos(1000, 0, false); err != nil {
				return err
			}
			all, err := ch.Consume("out", "", false, false, false, false, nil)
			if err != nil {
				return err
			}
			for {
				select {
				case d, ok := <-all:
					if !ok {
						return errors.New("the broker has gone")
					}
					complete = got.add(d.MessageId)
					if complete || got.all%100 == 0 {
						if err := d.Ack(true); err != nil {
							return err
						}
					}
					if complete {
						return nil
					}
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		if !complete && !pause(ctx) {
			t.Errorf("%d were published: %v", got.n(), err)
			return
		}
	}
}

// TestConfiguration refuses what cannot be right with exit code 2.
func TestConfiguration(t *testing.T) {
	for want, text := range map[string]string{
		"there is none to run":      "# nothing\n",
		"no such kind of channel":   "carrier-pigeon: {}\n",
		"line 2: amqp.r: a URL":     "amqp:\n  r: {in: [{queue: q, service: s}]}\n",
		"the file holds more":       "amqp: {}\n---\namqp: {}\n",
		"amqp.r.in[0].quue: there":  "amqp:\n  r:\n    urls: [amqp://127.0.0.1/]\n    in: [{quue: q, service: s}]\n",
		"name a YAML file that can": "",
	} {
		path := file(t, text)
		if text == "" {
			path += ".missing"
		}
		b := start(t, "BELLHOP_CHANNELS="+path)
		if code := b.exits(); code != 2 || !strings.Contains(b.said(), want) {
			t.Errorf("%s: it exits with %d and says %s", want, code, b.said())
		}
	}
}
