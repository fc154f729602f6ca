//go:build unix

package amqp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/bellhop-run/bellhop/channels/amqp/amqptest"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// SharedBroker is for the tests that do not disturb it.
var SharedBroker amqptest.Shared

// counted counts what goes into a connection, and fails when it is told to.
type counted struct {
	net.Conn
	writes atomic.Int64
	broken atomic.Bool
}

func (c *counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	if c.broken.Load() {
		return 0, errPeer
	}
	return c.Conn.Write(b)
}

// bundle is a publisher with orders that wait, and what writes them.
type bundle struct {
	p      *publisher
	s      *publishing091
	conn   *counted
	orders []*order
	gate   gate
}

// newBundle connects to the broker, with a queue, and has so many orders wait.
func newBundle(t *testing.T, n int) *bundle {
	t.Helper()
	u, err := url.Parse(SharedBroker.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{conn: &counted{Conn: c}}
	net := &corked{Conn: b.conn}
	password, _ := u.User.Password()
	conn, err := amqp091.Open(net, amqp091.Config{Vhost: "/", SASL: []amqp091.Authentication{&amqp091.PlainAuth{Username: u.User.Username(), Password: password}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // it may be broken
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	q, err := ch.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.s = &publishing091{link: &link{Connection: conn, net: net}, ch: ch, returned: map[string]returned{}}
	b.p = &publisher{orders: make(chan *order, n)} // they wait there, and not each by itself
	for i := range n {
		o := &order{t.Context(), "", q.Name, true, amqp091.Publishing{MessageId: fmt.Sprint(i), Body: make([]byte, 128)}, make(chan written, 1)}
		b.orders = append(b.orders, o)
		b.p.orders <- o
	}
	b.conn.writes.Store(0)
	return b
}

// together has them written.
func (b *bundle) together(ctx context.Context) error {
	return b.p.together(ctx, <-b.p.orders, b.s, &b.gate)
}

// confirmed says how many orders from the first on have been written, and fails where
// the broker does not confirm one of these.
func (b *bundle) confirmed(t *testing.T) (n int) {
	t.Helper()
	for i, o := range b.orders {
		select {
		case w := <-o.written:
			if i > n {
				t.Fatalf("order %d is written, and %d is not", i, n)
			}
			n++
			if w.err != nil || !w.Wait() {
				t.Errorf("order %d is not confirmed: %v", i, w.err)
			}
		default:
		}
	}
	return n
}

// TestTogether writes many orders in few writes, except those that nobody waits for.
func TestTogether(t *testing.T) {
	const n = 100
	b := newBundle(t, n)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	b.orders[n-1].ctx = gone
	if err := b.together(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.confirmed(t); got != n-1 {
		t.Errorf("%d are written", got)
	}
	// A message takes less than three times its body.
	if got, most := b.conn.writes.Load(), int64(n*128*3/corkSize+1); got < 1 || got > most {
		t.Errorf("it takes %d writes, want %d at most", got, most)
	}
}

// TestTogetherEnds has the orders wait for what comes next when the gate is shut and
// when the session ends; what was taken reaches the broker.
func TestTogetherEnds(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		shut bool
	}{"shut": {t.Context(), true}, "over": {ended, false}} {
		t.Run(name, func(t *testing.T) {
			b := newBundle(t, 10)
			b.gate.set(c.shut)
			if err := b.together(c.ctx); err != nil {
				t.Fatal(err)
			}
			if got, left := b.confirmed(t), len(b.p.orders); got != 1 || left != 9 {
				t.Errorf("%d are written, and %d wait", got, left)
			}
		})
	}
}

// TestTogetherWithAnError has what was held back be nobody's when the connection
// breaks: the error ends the session, and then it is not confirmed.
func TestTogetherWithAnError(t *testing.T) {
	b := newBundle(t, 10)
	b.conn.broken.Store(true)
	if err := b.together(t.Context()); !errors.Is(err, errPeer) {
		t.Errorf("it ends with %v", err)
	}
	_ = b.s.link.Close() // as the session does
	for i, o := range b.orders {
		select {
		case w := <-o.written:
			if w.err != nil || w.Wait() {
				t.Errorf("order %d is confirmed, or was not held back: %v", i, w.err)
			}
		default:
			t.Errorf("order %d was not held back", i)
		}
	}
	if !b.s.ch.IsClosed() {
		t.Error("whoever waits takes it for refused, and not for lost")
	}
}

// TestTogetherOnAClosedChannel gives the order that finds it so its error, and leaves
// the others to the next session.
func TestTogetherOnAClosedChannel(t *testing.T) {
	b := newBundle(t, 10)
	if err := b.s.ch.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.together(t.Context()); !errors.Is(err, amqp091.ErrClosed) {
		t.Errorf("it ends with %v", err)
	}
	if w := <-b.orders[0].written; !errors.Is(w.err, amqp091.ErrClosed) || len(b.p.orders) != 9 {
		t.Errorf("the first one has %v, and %d wait", w.err, len(b.p.orders))
	}
}
