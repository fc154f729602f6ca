//go:build unix

package amqp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/channels/amqp"
	"github.com/bellhop-run/bellhop/workers"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// caller asks over AMQP, with the broker's direct replies.
type caller struct {
	h       *house
	ch      *amqp091.Channel
	answers <-chan amqp091.Delivery
}

func newCaller(h *house) *caller {
	h.Helper()
	ch, err := h.q.conn.Channel()
	h.ok(err)
	answers, err := ch.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
	h.ok(err)
	return &caller{h, ch, answers}
}

func (c *caller) ask(p amqp091.Publishing) {
	c.h.Helper()
	p.ReplyTo = "amq.rabbitmq.reply-to"
	c.h.ok(c.ch.Publish("", c.h.q.name, true, false, p))
}

func (c *caller) answer() amqp091.Delivery {
	c.h.Helper()
	select {
	case d := <-c.answers:
		return d
	case <-time.After(patience):
		c.h.Fatalf("no answer\n%s", c.h.lines)
	}
	panic("unreachable")
}

func TestRequests(t *testing.T) {
	h := newHouse(t, broker.URL(t))
	began := make(chan string, 100)
	h.worker(workers.Options{Concurrency: 20, DrainTimeout: -1}, func(w *workers.Worker) {
		w.HandleFunc("upper", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
			workers.SetContentType(ctx, "text/shout")
			return []byte(strings.ToUpper(string(t.Payload)) + " " + t.Run), nil
		})
		w.HandleFunc("fail", func(context.Context, *workers.Trigger) ([]byte, error) { return nil, errors.New("no \"luck\"") })
		w.HandleFunc("refuse", func(context.Context, *workers.Trigger) ([]byte, error) {
			return nil, workers.Permanent(errors.New("never"))
		})
		w.HandleFunc("slow", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
			began <- string(t.Payload)
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
	c, stop := h.in(amqp.InOptions{ServiceHeader: "service", Strict: true, CallTimeout: 10 * time.Minute, DrainTimeout: 100 * time.Millisecond, Prefetch: 50})
	me := newCaller(h)
	h.known("upper")
	for i, tt := range []struct {
		service, expires string
		body             []byte
		code             int32
		want             string
	}{
		{"upper", "", []byte("hello"), 0, "HELLO amqp:test=2F" + h.q.name + ":m0"},
		{"fail", "", nil, 500, `no "luck"`},
		{"refuse", "", nil, 422, "never"},
		{"", "", nil, 400, "service is empty"},
		{"nobody", "", nil, 404, "no worker has ever run"},
		{"upper", "", make([]byte, 2<<20), 413, "too large"},
		{"slow", "300", nil, 504, "deadline"},
	} {
		p := amqp091.Publishing{CorrelationId: fmt.Sprint(i), MessageId: fmt.Sprint("m", i), Body: tt.body, Expiration: tt.expires, Headers: amqp091.Table{"service": tt.service}}
		me.ask(p)
		a := me.answer()
		if a.CorrelationId != p.CorrelationId {
			t.Errorf("the answer to %s is %s's", p.CorrelationId, a.CorrelationId)
		}
		if tt.code == 0 {
			if string(a.Body) != tt.want || a.ContentType != "text/shout" || a.Headers["Bellhop-Error-Code"] != nil {
				t.Errorf("%s: %s %v %s", tt.service, a.ContentType, a.Headers, a.Body)
			}
			continue
		}
		var failure workers.CallError
		h.ok(json.Unmarshal(a.Body, &failure))
		if a.Headers["Bellhop-Error-Code"] != tt.code || failure.Code != int(tt.code) || !strings.Contains(failure.Message, tt.want) || a.ContentType != "application/json" {
			t.Errorf("%s: %v %s", tt.service, a.Headers, a.Body)
		}
	}
	// A slow request holds up neither the others nor their acknowledgements.
	me.ask(amqp091.Publishing{CorrelationId: "slow", Headers: amqp091.Table{"service": "slow"}})
	<-began
	<-began // the one that had an end, and this one
	for i := range 200 {
		me.ask(amqp091.Publishing{CorrelationId: "quick", Body: fmt.Append(nil, i), Headers: amqp091.Table{"service": "upper"}})
		if a := me.answer(); a.CorrelationId != "quick" {
			t.Fatal("answered before its time", a.CorrelationId)
		}
	}
	// Callers that are gone harm nothing, wherever their answers were to go.
	for _, to := range []string{"no-such-queue", "amq.rabbitmq.reply-to.g1h2AA5yZXBseUAxMTE.never", strings.Repeat("x", 255)} {
		h.send(amqp091.Publishing{CorrelationId: "x", ReplyTo: to, Headers: amqp091.Table{"service": "upper"}})
	}
	s := h.await(c.Meter(), "all are answered but the slow one", func(s channels.Status) bool { return s.Received >= 211 && s.InFlight == 1 })
	if s.Answered != 205 || s.Refused != 5 || s.Rung != 0 || s.Requeued != 0 || !s.Connected {
		t.Errorf("it is %+v", s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if d, err := h.q.dead(ctx); err != nil || !strings.HasSuffix(d.ReplyTo, ".never") { // RabbitMQ ends the connection over it
		t.Errorf("dead letter: %+v %v", d, err)
	}
	// Without a correlation id it is no request.
	h.send(amqp091.Publishing{ReplyTo: "somewhere", Headers: amqp091.Table{"service": "upper"}})
	h.stored(1)
	stop() // what is slow is given back
	if s := c.Meter().Status(); s.InFlight != 0 || s.Requeued != 1 {
		t.Errorf("it is %+v", s)
	}
	h.holds(1)
}
