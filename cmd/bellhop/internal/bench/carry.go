package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"
)

// CarryOptions are those of the parts "carry" and "confirm".
type CarryOptions struct {
	// URL and Queue are the broker's.
	URL, Queue string
	// Subject is where carry publishes to.
	Subject string `json:",omitempty"`
}

// abreast is how many messages are under way between the brokers: what a bridge
// has by default.
const abreast = 512

// dial opens a channel with confirms to the broker.
func dial(url string) (*amqp091.Connection, *amqp091.Channel, error) {
	conn, err := amqp091.Dial(url)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the broker: %w", err)
	}
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, ch, nil
}

// carryPart is the raw way in: it consumes a queue and publishes each message with
// the client libraries alone, as one would who knows them. A message is
// acknowledged when NATS has it, several as one.
func carryPart(ctx context.Context, in *Inside) error {
	var o CarryOptions
	if err := in.Options(&o); err != nil {
		return err
	}
	nc, js, err := in.Connect(ctx, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	conn, ch, err := dial(o.URL)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the process ends
	if err := ch.Qos(abreast, 0, false); err != nil {
		return err
	}
	if err := in.SayEvent(Ready); err != nil || !in.told(ctx) {
		return err
	}
	deliveries, err := ch.Consume(o.Queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	if err := in.SayEvent(began); err != nil {
		return err
	}
	under := make(chan carried, abreast)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return acknowledge(ctx, ch, under) })
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case d := <-deliveries:
				m := nats.NewMsg(o.Subject)
				m.Header.Set(nats.MsgIdHdr, "raw:"+d.MessageId)
				m.Data = d.Body
				future, err := js.PublishMsgAsync(m)
				if err != nil {
					return err
				}
				under <- carried{d.DeliveryTag, future}
			}
		}
	})
	return group.Wait()
}

// carried is a delivery that is on its way into NATS.
type carried struct {
	tag    uint64
	future jetstream.PubAckFuture
}

// acknowledge tells the broker what NATS has, sixty-four as one where there are
// more behind them.
func acknowledge(ctx context.Context, ch *amqp091.Channel, under <-chan carried) error {
	n := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-under:
			select {
			case <-ctx.Done():
				return nil
			case err := <-c.future.Err():
				return err
			case <-c.future.Ok():
			}
			if n++; n%64 == 0 || len(under) == 0 {
				if err := ch.Ack(c.tag, true); err != nil {
					return err
				}
			}
		}
	}
}

// confirmPart is the raw way out: the order "N" publishes as many messages to a
// queue, persistent and mandatory, and is answered when all are confirmed.
func confirmPart(ctx context.Context, in *Inside) error {
	var o CarryOptions
	if err := in.Options(&o); err != nil {
		return err
	}
	conn, ch, err := dial(o.URL)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the process ends
	if err := in.SayEvent(Ready); err != nil {
		return err
	}
	return in.carryOut(ctx, func(n, _ int) error { return confirmed(ctx, ch, o.Queue, n) })
}

// confirmed puts n messages into a queue, with abreast of them under way.
func confirmed(ctx context.Context, ch *amqp091.Channel, queue string, n int) error {
	under := make(chan *amqp091.DeferredConfirmation, abreast)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(under)
		body := make([]byte, payload)
		for i := range n {
			dc, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, true, false, amqp091.Publishing{
				MessageId: fmt.Sprintf("%d-%d", time.Now().UnixNano(), i), DeliveryMode: amqp091.Persistent, Body: body,
			})
			if err != nil {
				return err
			}
			select {
			case under <- dc:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	group.Go(func() error {
		for dc := range under {
			if ok, err := dc.WaitContext(ctx); err != nil || !ok {
				return errors.Join(err, errors.New("the broker has not confirmed a message"))
			}
		}
		return nil
	})
	return group.Wait()
}
