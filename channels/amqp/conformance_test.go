//go:build unix

package amqp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/channels/amqp"
	"github.com/bellhop-run/bellhop/channels/channeltest"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// broker is shared by the tests that do not disturb it.
var broker = &amqp.SharedBroker

func TestMain(m *testing.M) {
	channeltest.Main(m, func(args string, log *slog.Logger) (channels.Channel, error) {
		var a arguments
		if err := json.Unmarshal([]byte(args), &a); err != nil {
			return nil, err
		}
		return amqp.NewIn(amqp.Broker{Name: "test", URLs: []string{a.URL}}, amqp.InOptions{
			Queue: a.Queue, ServiceHeader: "service", Prefetch: 50, Logger: log,
		})
	}, broker.Stop)
}

// arguments are what the channel's process is told.
type arguments struct{ URL, Queue string }

// queue is a quorum queue of a test's own, with its dead letters, and a channel on
// which to publish to it.
type queue struct {
	t    testing.TB
	url  string
	name string
	conn *amqp091.Connection

	mu sync.Mutex
	ch *amqp091.Channel
}

func openQueue(t testing.TB, url string) *queue {
	t.Helper()
	q := &queue{t: t, url: url, name: fmt.Sprintf("q-%d", time.Now().UnixNano())}
	q.dial()
	q.do(func(ch *amqp091.Channel) error {
		if err := ch.ExchangeDeclare(q.name+".dead", "fanout", true, false, false, false, nil); err != nil {
			return err
		}
		for name, args := range map[string]amqp091.Table{
			q.name:           {"x-queue-type": "quorum", "x-dead-letter-exchange": q.name + ".dead"},
			q.name + ".dead": {"x-queue-type": "quorum"},
		} {
			if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
				return err
			}
		}
		return ch.QueueBind(q.name+".dead", "", q.name+".dead", false, nil)
	})
	t.Cleanup(func() { q.conn.Close() })
	return q
}

// dial connects, anew after the broker was away.
func (q *queue) dial() {
	q.t.Helper()
	var err error
	if q.conn, err = amqp091.Dial(q.url); err == nil {
		q.ch, err = q.conn.Channel()
	}
	if err == nil {
		err = q.ch.Confirm(false)
	}
	if err != nil {
		q.t.Fatal(err)
	}
}

// do uses the channel alone.
func (q *queue) do(f func(ch *amqp091.Channel) error) {
	q.t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := f(q.ch); err != nil {
		q.t.Fatal(err)
	}
}

// publish publishes to the queue, and waits until it has the message.
func (q *queue) publish(ctx context.Context, p amqp091.Publishing) error {
	q.mu.Lock()
	dc, err := q.ch.PublishWithDeferredConfirm("", q.name, true, false, p)
	q.mu.Unlock()
	if err != nil {
		return err
	}
	if ok, err := dc.WaitContext(ctx); err != nil || !ok {
		return errors.Join(err, errors.New("not confirmed"))
	}
	return nil
}

// held is how many messages are in the queue, those under way with them: a
// management plugin would tell, but here there is none. So the queue is empty when
// it has nothing ready for long enough that what was under way has come back.
func (q *queue) messages(name string) (ready int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.ch.QueueDeclarePassive(name, true, false, false, false, nil)
	return s.Messages, err
}

// dead waits for the next dead letter and takes it.
func (q *queue) dead(ctx context.Context) (amqp091.Delivery, error) {
	for {
		q.mu.Lock()
		d, ok, err := q.ch.Get(q.name+".dead", true)
		q.mu.Unlock()
		if ok || err != nil {
			return d, err
		}
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestConformance(t *testing.T) {
	url := broker.URL(t)
	channeltest.Run(t, channeltest.Harness{Kind: amqp.Kind, Ordered: true, Open: func(t *testing.T) channeltest.Outside {
		q := openQueue(t, url)
		args, err := json.Marshal(arguments{url, q.name})
		if err != nil {
			t.Fatal(err)
		}
		refused := func(change func(p *amqp091.Publishing)) func(ctx context.Context) error {
			return func(ctx context.Context) error {
				p := amqp091.Publishing{MessageId: "bad", Body: []byte("x"), Headers: amqp091.Table{"service": channeltest.Service}}
				change(&p)
				if err := q.publish(ctx, p); err != nil {
					return err
				}
				d, err := q.dead(ctx)
				if err != nil {
					return err
				}
				if string(d.Body) != string(p.Body) || d.Headers["x-first-death-reason"] != "rejected" {
					return fmt.Errorf("the dead letter has %d bytes and the headers %v", len(d.Body), d.Headers)
				}
				return nil
			}
		}
		return channeltest.Outside{
			Args: string(args),
			Send: func(ctx context.Context, m channeltest.Message) error {
				h := amqp091.Table{"service": channeltest.Service}
				for name, v := range m.Header {
					h[name] = v
				}
				return q.publish(ctx, amqp091.Publishing{MessageId: m.ID, Body: m.Body, ContentType: m.ContentType, Headers: h, DeliveryMode: amqp091.Persistent})
			},
			Held: func(context.Context) (int, error) { return q.messages(q.name) },
			Bad: map[string]func(ctx context.Context) error{
				"no service":       refused(func(p *amqp091.Publishing) { delete(p.Headers, "service") }),
				"an absurd name":   refused(func(p *amqp091.Publishing) { p.Headers["service"] = "bellhop.trigger.>" }),
				"too large":        refused(func(p *amqp091.Publishing) { p.Body = make([]byte, 2<<20) }),
				"too many headers": refused(func(p *amqp091.Publishing) { p.Headers["large"] = strings.Repeat("x", 100_000) }),
				"a broken type":    refused(func(p *amqp091.Publishing) { p.Type = "a\r\nNats-Rollup: all" }),
			},
		}
	}})
}
