//go:build unix

package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/channels/amqp"
	"github.com/bellhop-run/bellhop/channels/amqp/amqptest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// out runs an Out.
func (h *house) out(o amqp.OutOptions) *amqp.Out {
	h.Helper()
	o.Name, o.Logger = "s", h.log
	s, err := amqp.NewOut(h.broker(), o)
	h.ok(err)
	h.run(s.Run)
	return s
}

// serve has a service run once, for so long at most.
func serve(t *testing.T, s *amqp.Out, run string, most time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	_, err := s.Serve(ctx, &workers.Trigger{Run: run, Service: "s", Payload: []byte(run)})
	return err
}

// TestOut has a worker run a service that publishes: what is stored is published
// with all it has, what cannot be published is a dead letter.
func TestOut(t *testing.T) {
	h := newHouse(t, broker.URL(t))
	s := h.out(amqp.OutOptions{RoutingKey: h.q.name})
	runs := make(chan workers.Run, 10)
	h.worker(workers.Options{OnRun: func(r workers.Run) { runs <- r }}, func(w *workers.Worker) { w.Handle("s", s) })
	run, err := h.d.Ring(t.Context(), workers.Ring{Channel: "http", Service: "s", ID: "1", Payload: []byte{0, 255}, Header: nats.Header{
		"Content-Type": {"a/b"}, "traceparent": {"00-a"}, "Amqp-Headers": {`{"n":{"I":7}}`}, "Amqp-Type": {"t"},
	}})
	h.ok(err)
	if r := <-runs; r.Outcome != workers.OutcomeOK {
		t.Fatalf("it ended as %s: %s\n%s", r.Outcome, r.Error, h.lines)
	}
	h.q.mu.Lock()
	d, there, err := h.q.ch.Get(h.q.name, true)
	h.q.mu.Unlock()
	if !there || err != nil || d.MessageId != run || string(d.Body) != "\x00\xff" || d.ContentType != "a/b" || d.DeliveryMode != amqp091.Persistent ||
		d.Type != "t" || d.Headers["n"] != int32(7) || d.Headers["traceparent"] != "00-a" || d.Headers["Bellhop-Channel"] != "http" {
		t.Errorf("published: %v %+v %v", there, d, err)
	}
	_, err = h.d.Ring(t.Context(), workers.Ring{Channel: "http", Service: "s", Header: nats.Header{"Amqp-Expiration": {"soon"}}})
	h.ok(err)
	if r := <-runs; r.Outcome != workers.OutcomeDead || r.Attempt != 1 || !strings.Contains(r.Error, "Amqp-Expiration") {
		t.Errorf("it ended as %s at attempt %d: %s", r.Outcome, r.Attempt, r.Error)
	}
	if st := s.Meter().Status(); st.Received != 2 || st.Rung != 1 || st.Refused != 1 || st.InFlight != 0 {
		t.Errorf("it is %+v", st)
	}
}

func TestOutSaysWhatIsWrong(t *testing.T) {
	h := newHouse(t, broker.URL(t))
	h.q.do(func(ch *amqp091.Channel) error {
		if err := ch.ExchangeDeclare(h.q.name+".topic", "topic", true, false, false, false, nil); err != nil {
			return err
		}
		_, err := ch.QueueDeclare(h.q.name+".full", true, false, false, false, amqp091.Table{
			"x-queue-type": "quorum", "x-max-length": int32(1), "x-overflow": "reject-publish",
		})
		return err
	})
	t.Run("no queue", func(t *testing.T) {
		s := h.out(amqp.OutOptions{Exchange: h.q.name + ".topic", RoutingKey: "k"})
		var all sync.WaitGroup
		for range 50 { // also those that share a run id
			all.Go(func() {
				if err := serve(t, s, "r", patience); !errors.Is(err, amqp.ErrUnroutable) || workers.IsPermanent(err) || !strings.Contains(err.Error(), "NO_ROUTE") {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		h.q.do(func(ch *amqp091.Channel) error { return ch.QueueBind(h.q.name, "k", h.q.name+".topic", false, nil) })
		if err := serve(t, s, "r", patience); err != nil {
			t.Errorf("with a queue: %v", err)
		}
	})
	t.Run("full", func(t *testing.T) {
		s := h.out(amqp.OutOptions{RoutingKey: h.q.name + ".full"})
		deadline := time.Now().Add(patience)
		for i := 0; ; i++ { // a quorum queue may take a few more than it should
			err := serve(t, s, fmt.Sprint(i), patience)
			if errors.Is(err, amqp.ErrNacked) {
				break
			}
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("a full queue: %v", err)
			}
		}
		if st := s.Meter().Status(); !st.Connected || !strings.Contains(st.LastError, "refused") {
			t.Errorf("it is %+v", st)
		}
	})
	t.Run("missing", func(t *testing.T) {
		s := h.out(amqp.OutOptions{Exchange: h.q.name + ".missing", RoutingKey: "k"})
		if err := serve(t, s, "r", 500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		h.away(s.Meter(), "make it, or set topology to declare")
		h.q.do(func(ch *amqp091.Channel) error {
			return ch.ExchangeDeclare(h.q.name+".missing", "fanout", true, false, false, false, nil)
		})
		h.q.do(func(ch *amqp091.Channel) error { return ch.QueueBind(h.q.name, "", h.q.name+".missing", false, nil) })
		if err := serve(t, s, "r", patience); err != nil {
			t.Errorf("it is there: %v", err)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		name := h.q.name + ".deleted"
		s := h.out(amqp.OutOptions{Exchange: name, RoutingKey: "k", Topology: amqp.Declare})
		if err := serve(t, s, "r", patience); !errors.Is(err, amqp.ErrUnroutable) {
			t.Errorf("declared: %v", err)
		}
		h.q.do(func(ch *amqp091.Channel) error { return ch.ExchangeDelete(name, false, false) })
		if err := serve(t, s, "r", patience); err == nil || !strings.Contains(err.Error(), "NOT_FOUND") {
			t.Errorf("deleted: %v", err)
		}
		if err := serve(t, s, "r", patience); !errors.Is(err, amqp.ErrUnroutable) {
			t.Errorf("made again: %v", err)
		}
	})
}

// TestBlocked has a broker that is short of memory read nothing more: whoever
// publishes waits as long as he may, queues are consumed from all the while, and
// all goes on afterwards. Nothing hangs when it has to stop.
func TestBlocked(t *testing.T) {
	n := amqptest.Start(t)
	h := newHouse(t, n.URL)
	s := h.out(amqp.OutOptions{RoutingKey: h.q.name + ".dead"})
	if err := serve(t, s, "before", patience); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		h.send(amqp091.Publishing{MessageId: fmt.Sprint(i)})
	}
	n.Ctl(t, "set_vm_memory_high_watermark", "absolute", "1")
	// The alarm is told to those who publish: to this one when it writes.
	for {
		if err := serve(t, s, "while", 300*time.Millisecond); err != nil {
			break
		}
	}
	h.away(s.Meter(), "takes nothing")
	c, _ := h.in(amqp.InOptions{Service: "other"})
	h.stored(100)
	h.await(c.Meter(), "all is acknowledged", func(s channels.Status) bool { return s.Rung == 100 && s.InFlight == 0 })
	var waiting sync.WaitGroup
	for i := range 20 {
		waiting.Go(func() {
			if err := serve(t, s, fmt.Sprint("after", i), patience); err != nil {
				t.Errorf("it has waited in vain: %v", err)
			}
		})
	}
	h.await(s.Meter(), "they wait", func(s channels.Status) bool { return s.InFlight == 20 })
	n.Ctl(t, "set_vm_memory_high_watermark", "0.4")
	waiting.Wait()
	h.connected(s.Meter())
}
