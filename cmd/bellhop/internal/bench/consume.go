package bench

import (
	"context"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// ConsumeOptions are those of the part "consume".
type ConsumeOptions struct {
	// Stream and Consumer are where it takes messages from; several processes
	// may share a consumer.
	Stream, Consumer string
}

// rawPull is how many messages a raw consumer has asked for at a time: enough
// that it never waits for a round trip.
const rawPull = 5000

// consumePart is the raw consumer: JetStream's own Consume with rawPull messages
// under way, which acknowledges each without waiting for the server, and reads
// when it was sent. Like a worker it keeps a Lateness.
func consumePart(ctx context.Context, in *Inside) error {
	var o ConsumeOptions
	if err := in.Options(&o); err != nil {
		return err
	}
	nc, js, err := in.Connect(ctx, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	consumer, err := js.Consumer(ctx, o.Stream, o.Consumer)
	if err != nil {
		return err
	}
	var l ledger
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		now := time.Now()
		if sent, err := time.Parse(sentLayout, m.Headers().Get(workers.HeaderDue)); err == nil {
			l.note(now.Sub(sent))
		}
		_ = m.Ack() // what is not acknowledged is seen by whoever waits for it
	}, jetstream.PullMaxMessages(rawPull))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := in.SayEvent(Ready); err != nil {
			return err
		}
		return l.answer(ctx, in)
	})
	<-ctx.Done()
	consuming.Stop()
	<-consuming.Closed()
	return group.Wait()
}

// rawPair is a raw publisher and the raw consumers of what it publishes.
type rawPair struct {
	stream    jetstream.Stream
	consumer  jetstream.Consumer
	publisher *Part
	consumers []*Part
}

// startRaw starts a pair on a stream of their own, with so many consumers that
// share the work.
func (h *House) startRaw(ctx context.Context, consumers int) (*rawPair, error) {
	r := &rawPair{}
	var err error
	if r.stream, err = h.Stream(ctx, "raw"); err != nil {
		return nil, err
	}
	name := r.stream.CachedInfo().Config.Name
	if r.publisher, err = h.Start(ctx, "publish", PublishOptions{Subject: name + "." + Service, Payload: payload, Batches: h.env.Mode == Durable}); err != nil {
		return nil, err
	}
	if err := r.publisher.Await(ctx, Ready); err != nil || consumers == 0 {
		return r, err
	}
	if r.consumer, err = r.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "raw", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
	}); err != nil {
		return nil, err
	}
	for range consumers {
		p, err := h.Start(ctx, "consume", ConsumeOptions{Stream: name, Consumer: "raw"})
		if err != nil {
			return nil, err
		}
		if err := p.Await(ctx, Ready); err != nil {
			return nil, err
		}
		r.consumers = append(r.consumers, p)
	}
	return r, nil
}

// lateness gives an order to all of them and adds up what they answer.
func lateness(ctx context.Context, parts []*Part, order string) (Lateness, error) {
	sum := Lateness{Late: new(Histogram)}
	for _, p := range parts {
		var l Lateness
		if err := p.Ask(ctx, order, &l); err != nil {
			return sum, err
		}
		sum.Count += l.Count
		sum.Late.Merge(l.Late)
	}
	return sum, nil
}

// received waits until the parts have received n since they were told to forget.
func received(ctx context.Context, parts []*Part, n int) (Lateness, error) {
	for {
		l, err := lateness(ctx, parts, LatenessOrder)
		if err != nil || l.Count >= int64(n) {
			return l, err
		}
		if !pause(ctx, 50*time.Millisecond) {
			return l, ctx.Err()
		}
	}
}
