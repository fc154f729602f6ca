//go:build unix

package amqptest

import (
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// TestNode kills a node, and finds what it had confirmed.
func TestNode(t *testing.T) {
	n := Start(t)
	c, err := amqp091.Dial(n.URL)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare("q", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	dc, err := ch.PublishWithDeferredConfirm("", "q", true, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: []byte("hello")})
	if err != nil || !dc.Wait() {
		t.Fatal("not confirmed", err)
	}
	n.Kill()
	n.Up(t)
	if c, err = amqp091.Dial(n.URL); err != nil {
		t.Fatal(err)
	}
	if ch, err = c.Channel(); err != nil {
		t.Fatal(err)
	}
	if d, ok, err := ch.Get("q", true); err != nil || !ok || string(d.Body) != "hello" {
		t.Errorf("it has %q, %t, %v", d.Body, ok, err)
	}
	if got := n.Ctl(t, "status"); !strings.Contains(got, "bellhop@localhost") {
		t.Errorf("its status is %q", got)
	}
	n.Stop(t)
}
