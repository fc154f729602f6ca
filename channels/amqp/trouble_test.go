//go:build unix

package amqp_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/channels/amqp"
	"github.com/bellhop-run/bellhop/channels/amqp/amqptest"
	"github.com/bellhop-run/bellhop/workers"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestQueueIsDeleted shows it, and goes on when there is one again.
func TestQueueIsDeleted(t *testing.T) {
	h := newHouse(t, broker.URL(t))
	c, _ := h.in(amqp.InOptions{Service: "s"})
	h.connected(c.Meter())
	h.send(amqp091.Publishing{MessageId: "1"})
	h.stored(1)
	h.q.do(func(ch *amqp091.Channel) error {
		_, err := ch.QueueDelete(h.q.name, false, false, false)
		return err
	})
	h.away(c.Meter(), "make it, or set topology to declare")
	h.q.do(func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare(h.q.name, true, false, false, false, nil)
		return err
	})
	h.connected(c.Meter())
	h.send(amqp091.Publishing{MessageId: "2"})
	h.stored(2)
	if !strings.Contains(h.lines.String(), "the queue was deleted") {
		t.Errorf("nothing is said:\n%s", h.lines)
	}
}

// TestDeclare makes what is missing, with dead letters, and shows where what is
// there was made otherwise.
func TestDeclare(t *testing.T) {
	h := newHouse(t, broker.URL(t))
	name := h.q.name + ".new"
	h.q.do(func(ch *amqp091.Channel) error {
		return ch.ExchangeDeclare(name+".events", "topic", true, false, false, false, nil)
	})
	c, _ := h.in(amqp.InOptions{
		Queue: name, Topology: amqp.Declare, DeliveryLimit: 7, DeadLetter: name + ".morgue", IDHeader: "number",
		Bind: []amqp.Binding{{Exchange: name + ".events", RoutingKey: "a.*"}},
	})
	h.connected(c.Meter())
	h.q.do(func(ch *amqp091.Channel) error {
		return ch.Publish(name+".events", "a.b", true, false, amqp091.Publishing{MessageId: "x", Headers: amqp091.Table{"number": int64(17)}})
	})
	h.stored(1)
	s, err := h.js.Stream(t.Context(), "bellhop-rings")
	h.ok(err)
	m, err := s.GetMsg(t.Context(), 1)
	h.ok(err)
	if m.Subject != "bellhop.ring.amqp.a.b" || !strings.HasSuffix(m.Header.Get("Bellhop-Run"), ":17") {
		t.Errorf("rung: %s %v", m.Subject, m.Header)
	}
	h.q.do(func(ch *amqp091.Channel) error {
		return ch.Publish("", name, true, false, amqp091.Publishing{Body: make([]byte, 2<<20)})
	})
	h.await(c.Meter(), "refused", func(s channels.Status) bool { return s.Refused == 1 })
	eventually(t, func() bool {
		n, err := h.q.messages(name + ".morgue")
		h.ok(err)
		return n == 1
	}, func() string { return "there is no dead letter" })
	other, _ := h.in(amqp.InOptions{Topology: amqp.Declare, Service: "s"}) // without a delivery limit
	h.away(other.Meter(), "made with other settings")
}

// TestConnectionsAreClosed by an administrator, several times, and by a broker that
// is killed or stopped, while messages go both ways: all arrive.
func TestConnectionsAreClosed(t *testing.T) {
	n := amqptest.Start(t)
	h := newHouse(t, n.URL)
	// A classic queue: RabbitMQ keeps the terms of its quorum queues in a file that is
	// not synced at once (meta.dets), and after the kill of a young node such a queue
	// may answer nobody any more, for good (seen with 3.10, in one run of ten).
	name := h.q.name + "-classic"
	h.q.do(func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare(name, true, false, false, false, amqp091.Table{"x-queue-type": "classic"})
		return err
	})
	// The first node of the "cluster" is not there.
	b := h.broker()
	b.URLs = []string{"amqp://guest:guest@127.0.0.1:1/", b.URLs[0]}
	c, err := amqp.NewIn(b, amqp.InOptions{Queue: name, Service: "s", Logger: h.log, Prefetch: 20})
	h.ok(err)
	h.run(func(ctx context.Context) error { return c.Run(ctx, h.d) })
	s := h.out(amqp.OutOptions{RoutingKey: name})
	h.worker(workers.Options{Concurrency: 20, Attempts: 100, Backoff: 10 * time.Millisecond, MaxBackoff: time.Second}, func(w *workers.Worker) { w.Handle("publish", s) })
	const rings = 2000
	trouble := []func(){
		func() { n.Ctl(t, "close_all_connections", "tested") },
		func() { n.Kill(); n.Up(t) },
		func() { n.Ctl(t, "close_all_connections", "tested") },
		func() { n.Stop(t); n.Up(t) },
	}
	for i := range rings {
		if i%(rings/len(trouble)) == 300 {
			trouble[i/(rings/len(trouble))]()
		}
		_, err := h.d.Ring(t.Context(), workers.Ring{Channel: "http", Service: "publish", ID: fmt.Sprint(i)})
		h.ok(err)
	}
	// A round trip: what was published may have been so twice, under one id.
	want := map[string]bool{}
	for i := range rings {
		want[fmt.Sprintf("amqp:test=2F%s:%s", name, workers.Escape(fmt.Sprintf("http:%d", i)))] = true
	}
	h.Cleanup(func() {
		if h.Failed() {
			h.Logf("%d have not come\nin: %+v\nout: %+v\n%s", len(want), c.Meter().Status(), s.Meter().Status(), n.Console())
		}
	})
	h.eachRing("s", func(run string) bool {
		delete(want, run)
		return len(want) > 0
	})
	if st := s.Meter().Status(); st.LastError == "" || st.Rung != rings {
		t.Errorf("out: %+v", st)
	}
}

// eachRing reads the rings for a service as they come.
func (h *house) eachRing(service string, each func(run string) bool) {
	h.Helper()
	sub, err := h.js.OrderedConsumer(h.Context(), "bellhop-rings", orderedFrom("bellhop.ring.*."+service))
	h.ok(err)
	msgs, err := sub.Messages()
	h.ok(err)
	defer msgs.Stop()
	guard := time.AfterFunc(patience, msgs.Stop)
	defer guard.Stop()
	for {
		m, err := msgs.Next()
		if err != nil {
			all := h.lines.String()
			h.Fatalf("not all have come: %v\n%s", err, all[max(0, len(all)-5000):])
		}
		if !each(m.Headers().Get(workers.HeaderRun)) {
			return
		}
	}
}

// TestNATSIsAway keeps messages for a while, then gives them back once, and
// consumes nothing more until NATS is well.
func TestNATSIsAway(t *testing.T) {
	h := newHouse(t, broker.URL(t))
	c, _ := h.in(amqp.InOptions{Service: "s", Hold: 200 * time.Millisecond, Prefetch: 10})
	h.connected(c.Meter())
	h.ok(h.js.DeleteStream(t.Context(), "bellhop-rings"))
	for i := range 30 {
		h.send(amqp091.Publishing{MessageId: fmt.Sprint(i)})
	}
	h.away(c.Meter(), "look at stream bellhop-rings")
	h.holds(30)
	if s := c.Meter().Status(); s.Received > 10 || s.Requeued != s.Received || s.InFlight != 0 {
		t.Errorf("it is %+v", s)
	}
	h.ok(workers.Setup(t.Context(), h.js, workers.SetupOptions{}))
	h.stored(30)
}

// TestStrict refuses what nobody has ever run.
func TestStrict(t *testing.T) {
	h := newHouse(t, broker.URL(t))
	c, _ := h.in(amqp.InOptions{ServiceHeader: "service", Strict: true})
	for _, service := range []string{"known", "unknown"} {
		if service == "known" {
			h.worker(workers.Options{}, func(w *workers.Worker) {
				w.HandleFunc("known", func(context.Context, *workers.Trigger) ([]byte, error) { return nil, nil })
			})
			h.known(service)
		}
		h.send(amqp091.Publishing{Headers: amqp091.Table{"service": service}})
	}
	s := h.await(c.Meter(), "both are settled", func(s channels.Status) bool { return s.Received == 2 && s.InFlight == 0 })
	if s.Rung != 1 || s.Refused != 1 || !strings.Contains(s.LastError, "unknown") {
		t.Errorf("it is %+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := h.q.dead(ctx)
	h.ok(err)
}

func TestOptionsAreChecked(t *testing.T) {
	good := amqp.Broker{Name: "b", URLs: []string{"amqp://127.0.0.1/"}}
	for want, b := range map[string]amqp.Broker{
		"name":      {Name: "a b", URLs: good.URLs},
		"a URL":     {Name: "b"},
		"URL http:": {Name: "b", URLs: []string{"http://user:s3cret@x/"}},
		"heartbeat": {Name: "b", URLs: good.URLs, Heartbeat: -1},
	} {
		if err := b.Check(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, o := range map[string]amqp.InOptions{
		"queue":          {},
		"both there":     {Queue: "q", Service: "s", ServiceHeader: "h"},
		"prefetch":       {Queue: "q", Prefetch: 5000},
		"call timeout":   {Queue: "q", CallTimeout: time.Hour},
		"hold":           {Queue: "q", Hold: time.Hour},
		"delivery limit": {Queue: "q", DeliveryLimit: -1, Topology: amqp.Declare},
		"for topology":   {Queue: "q", DeadLetter: "d"},
		"service":        {Queue: "q", Service: "a b"},
		"topology":       {Queue: "q", Topology: "guess"},
	} {
		if _, err := amqp.NewIn(good, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, o := range map[string]amqp.OutOptions{
		"service":  {RoutingKey: "k"},
		"where to": {Name: "s"},
		"255":      {Name: "s", Exchange: strings.Repeat("x", 256)},
		"topology": {Name: "s", Exchange: "e", Topology: "guess"},
	} {
		if _, err := amqp.NewOut(good, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
