package amqp

import (
	"cmp"
	"fmt"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// Topology says what is done about queues and exchanges at each connection.
type Topology string

// Passive looks whether they are there, Declare makes them, None does neither.
// The zero value is Passive.
const (
	Passive Topology = "passive"
	Declare Topology = "declare"
	None    Topology = "none"
)

func (t Topology) check() error {
	switch t {
	case "", Passive, Declare, None:
		return nil
	}
	return fmt.Errorf("%w: topology %q: use passive, declare or none", ErrConfig, string(t))
}

// Binding has an exchange, which is there, give messages to a queue.
type Binding struct {
	Exchange   string
	RoutingKey string
}

// defaultLimit is how often a message may be given back by a consumer that goes
// or fails. The channel gives messages back when it is stopped, when NATS has
// been away for a while and after each broken connection, so the limit is far
// from what a healthy life brings.
const defaultLimit = 100

// queue declares, or looks for, the queue of an In.
func (o *InOptions) queue(ch *amqp091.Channel) error {
	switch cmp.Or(o.Topology, Passive) {
	case None:
		return nil
	case Passive:
		_, err := ch.QueueDeclarePassive(o.Queue, true, false, false, false, nil)
		return explain(err, "queue "+o.Queue)
	}
	dead := cmp.Or(o.DeadLetter, o.Queue+".dead")
	if err := ch.ExchangeDeclare(dead, amqp091.ExchangeFanout, true, false, false, false, nil); err != nil {
		return explain(err, "exchange "+dead)
	}
	quorum := amqp091.Table{amqp091.QueueTypeArg: amqp091.QueueTypeQuorum}
	if _, err := ch.QueueDeclare(dead, true, false, false, false, quorum); err != nil {
		return explain(err, "queue "+dead)
	}
	if err := ch.QueueBind(dead, "", dead, false, nil); err != nil {
		return explain(err, "queue "+dead)
	}
	args := amqp091.Table{
		amqp091.QueueTypeArg: amqp091.QueueTypeQuorum, "x-delivery-limit": int32(cmp.Or(o.DeliveryLimit, defaultLimit)), //nolint:gosec // check bounds it
		"x-dead-letter-exchange": dead,
	}
	if _, err := ch.QueueDeclare(o.Queue, true, false, false, false, args); err != nil {
		return explain(err, "queue "+o.Queue)
	}
	for _, b := range o.Bind {
		if err := ch.QueueBind(o.Queue, b.RoutingKey, b.Exchange, false, nil); err != nil {
			return explain(err, "binding to exchange "+b.Exchange)
		}
	}
	return nil
}

// exchange declares, or looks for, where an Out publishes to. Of the default
// exchange, which is always there, that is the queue that the routing key names.
func (o *OutOptions) exchange(ch *amqp091.Channel) error {
	topology := cmp.Or(o.Topology, Passive)
	if topology == None {
		return nil
	}
	quorum := amqp091.Table{amqp091.QueueTypeArg: amqp091.QueueTypeQuorum}
	if o.Exchange == "" {
		var err error
		if topology == Declare {
			_, err = ch.QueueDeclare(o.RoutingKey, true, false, false, false, quorum)
		} else {
			_, err = ch.QueueDeclarePassive(o.RoutingKey, true, false, false, false, nil)
		}
		return explain(err, "queue "+o.RoutingKey)
	}
	kind := cmp.Or(o.ExchangeType, amqp091.ExchangeDirect)
	if topology == Declare {
		return explain(ch.ExchangeDeclare(o.Exchange, kind, true, false, false, false, nil), "exchange "+o.Exchange)
	}
	return explain(ch.ExchangeDeclarePassive(o.Exchange, kind, true, false, false, false, nil), "exchange "+o.Exchange)
}

// explain adds what to do about a refusal.
func explain(err error, what string) error {
	if err == nil {
		return nil
	}
	hint := ""
	if e, ok := err.(*amqp091.Error); ok { //nolint:errorlint // the library gives it bare
		switch e.Code {
		case amqp091.NotFound:
			hint = " (make it, or set topology to declare)"
		case amqp091.PreconditionFailed:
			hint = " (it was made with other settings: set topology to passive, or delete it)"
		case amqp091.AccessRefused:
			hint = " (the user may not do that)"
		}
	}
	return fmt.Errorf("%s: %w%s", what, err, hint)
}
