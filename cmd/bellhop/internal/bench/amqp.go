package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bellhop-run/bellhop/channels/amqp"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// amqpBench: what a bridge carries between RabbitMQ and NATS.
var amqpBench = Bench{
	Name:  "amqp",
	About: "Messages a second that a bridge carries from a RabbitMQ queue into rings and from triggers into a queue; raw: the client libraries alone",
	Quick: 20 * time.Second,
	Full:  2 * time.Minute,
	Run:   runAMQP,
}

// aimCarried is what a bridge's share of the raw figure should be.
const aimCarried = 0.8

func runAMQP(ctx context.Context, e *Env) error {
	url, none, end, err := e.broker(ctx)
	if err != nil {
		return err
	}
	if none != "" {
		e.Report(Row{Case: "-", Note: "skipped: " + none})
		return nil
	}
	defer end()
	n := e.Size(8_000, 40_000)
	h, err := e.House(ctx)
	if err != nil {
		return err
	}
	q, err := h.openQueue(url)
	if err != nil {
		return err
	}
	err = q.carryIn(ctx, n)
	if err == nil {
		err = q.carryOut(ctx, n)
	}
	return errors.Join(err, q.close())
}

// amqpQueue is a queue for a house.
type amqpQueue struct {
	house     *House
	url, name string
	conn      *amqp091.Connection
	ch        *amqp091.Channel
}

// openQueue declares a queue as it should be: replicated, where there is a cluster.
func (h *House) openQueue(url string) (*amqpQueue, error) {
	q := &amqpQueue{house: h, url: url, name: string(h.Namespace)}
	var err error
	if q.conn, q.ch, err = dial(url); err != nil {
		return nil, err
	}
	_, err = q.ch.QueueDeclare(q.name, true, false, false, false, amqp091.Table{amqp091.QueueTypeArg: amqp091.QueueTypeQuorum})
	if err != nil {
		return nil, errors.Join(err, q.conn.Close())
	}
	return q, nil
}

func (q *amqpQueue) close() error {
	_, err := q.ch.QueueDelete(q.name, false, false, false)
	return errors.Join(err, q.conn.Close())
}

// bridge starts a bridge with what is done at the broker.
func (q *amqpQueue) bridge(ctx context.Context, does string) (*Part, error) {
	e := q.house.env
	file := filepath.Join(e.dir, "channels.yaml")
	text := fmt.Sprintf("amqp:\n  bench:\n    urls: [%q]\n%s", q.url, does)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil { // it holds a password, maybe
		return nil, err
	}
	return q.house.startReady(ctx, "bridge", BridgeOptions{file})
}

// carryIn measures the way in, by when the first message and the last one were
// stored. Whoever carries is started beside a full queue, and told to begin.
func (q *amqpQueue) carryIn(ctx context.Context, n int) error {
	h := q.house
	stream, err := h.Stream(ctx, "carried")
	if err != nil {
		return err
	}
	raw := stream.CachedInfo().Config.Name
	in := func(ctx context.Context, s storing, p *Part, err error) (f Figure, _ error) {
		if err != nil {
			return f, err
		}
		s.house, s.meter = h, h.meter(p)
		if f, err = s.rate(ctx, n, func() error {
			if err := p.Tell(goOrder); err != nil {
				return err
			}
			return p.Await(ctx, began)
		}); err != nil {
			return f, err
		}
		return f, p.Stop(ctx)
	}
	row, err := h.env.Compare(ctx, fmt.Sprintf("%d messages in", n), "msgs/s", func(ctx context.Context) (Figure, error) {
		if err := confirmed(ctx, q.ch, q.name, n); err != nil {
			return Figure{}, err
		}
		p, err := q.bridge(ctx, fmt.Sprintf("    in: [{queue: %q, service: %s}]\n", q.name, Service))
		return in(ctx, storing{stream: h.Namespace.RingsStream(), subject: h.Namespace.RingSubject(amqp.Kind, Service)}, p, err)
	}, func(ctx context.Context) (Figure, error) {
		if err := confirmed(ctx, q.ch, q.name, n); err != nil {
			return Figure{}, err
		}
		p, err := h.startReady(ctx, "carry", CarryOptions{URL: q.url, Queue: q.name, Subject: raw + ".s"})
		return in(ctx, storing{stream: raw, subject: raw + ".s"}, p, err)
	})
	if err != nil {
		return err
	}
	q.report(&row, true)
	return nil
}

// carryOut measures the way out, from a backlog of triggers until all are
// acknowledged; to consume and acknowledge these is the faster one of the two raw
// sides, so it is the other that it is compared with.
func (q *amqpQueue) carryOut(ctx context.Context, n int) error {
	h := q.house
	bridge, err := q.bridge(ctx, fmt.Sprintf("    out: {%s: {routing_key: %q}}\n", Service, q.name))
	if err != nil {
		return err
	}
	if err := bridge.Tell(goOrder); err != nil {
		return err
	}
	if err := bridge.Await(ctx, began); err != nil {
		return err
	}
	b, err := h.openBacklog(ctx, "", bridge)
	if err != nil {
		return err
	}
	confirm, err := h.startReady(ctx, "confirm", CarryOptions{URL: q.url, Queue: q.name})
	if err != nil {
		return err
	}
	publisher := h.meter(confirm)
	for _, c := range []struct{ what, policy string }{{"not recorded", unrecorded}, {"recorded", ""}} {
		b.policy = c.policy
		row, err := h.env.Compare(ctx, fmt.Sprintf("%d messages out, %s", n, c.what), "msgs/s", func(ctx context.Context) (Figure, error) {
			if err := b.fill(ctx, n); err != nil {
				return Figure{}, err
			}
			return q.purged(b.work(ctx, b.ours, b.worker, n))
		}, func(ctx context.Context) (Figure, error) {
			return q.purged(written(ctx, confirm, n, publisher, nil))
		})
		if err != nil {
			return err
		}
		q.report(&row, c.policy != "")
	}
	return nil
}

// purged empties the queue after what was measured.
func (q *amqpQueue) purged(f Figure, err error) (Figure, error) {
	if err != nil {
		return f, err
	}
	_, err = q.ch.QueuePurge(q.name, false)
	return f, err
}

// report has an aim where both sides did the same.
func (q *amqpQueue) report(row *Row, alike bool) {
	if alike {
		row.Judge(fmt.Sprintf("≥ %.1f", aimCarried), row.Ratio >= aimCarried)
	}
	row.Note = row.cpuNote("bridge", "libraries")
	q.house.env.Report(*row)
}
