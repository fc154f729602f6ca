package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// coldBench: how long a scheduler takes to start.
var coldBench = Bench{
	Name:  "cold",
	About: "From starting a scheduler's process to its first trigger, with many jobs; raw: a process that reads the bucket once",
	Quick: 10 * time.Second,
	Full:  90 * time.Second,
	Run:   runCold,
}

func runCold(ctx context.Context, e *Env) error {
	n := e.Size(100_000, 1_000_000)
	h, err := e.House(ctx)
	if err != nil {
		return err
	}
	if _, err := h.loadIdle(ctx, n, Job{Every: 50 * time.Millisecond}); err != nil {
		return err
	}
	heard := make(chan *nats.Msg, 1000)
	sub, err := h.NC.ChanSubscribe(h.Namespace.TriggerSubject(">"), heard)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	row, err := e.Compare(ctx, fmt.Sprintf("%d jobs", n), "s", func(ctx context.Context) (Figure, error) {
		for len(heard) > 0 {
			<-heard
		}
		s, err := h.StartScheduler(ctx)
		if err != nil {
			return Figure{}, err
		}
		select {
		case <-heard:
		case <-ctx.Done():
			return Figure{}, ctx.Err()
		}
		took := time.Since(s.Started)
		return Figure{Value: took.Seconds()}, s.Stop(ctx)
	}, func(ctx context.Context) (Figure, error) {
		p, err := h.Start(ctx, "read", ReadOptions{Stream: "KV_" + h.Namespace.JobsBucket()})
		if err != nil {
			return Figure{}, err
		}
		if err := p.Await(ctx, Ready); err != nil {
			return Figure{}, err
		}
		took := time.Since(p.Started)
		return Figure{Value: took.Seconds()}, p.Stop(ctx)
	})
	if err != nil {
		return err
	}
	row.Judge("≤ 1.5", row.Ratio <= 1.5)
	e.Report(row)
	return nil
}

// ReadOptions are those of the part "read".
type ReadOptions struct {
	// Stream is read once, from its beginning to its present end.
	Stream string
}

// readPart is the raw load of a bucket: an ordered consumer with rawPull messages
// under way, the fastest that the client library has. It keeps each value, as
// whoever loads a bucket does, and decodes none. It says Ready when it has all.
func readPart(ctx context.Context, in *Inside) error {
	var o ReadOptions
	if err := in.Options(&o); err != nil {
		return err
	}
	nc, js, err := in.Connect(ctx, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	consumer, err := js.OrderedConsumer(ctx, o.Stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	values, all := make(map[string][]byte), make(chan struct{})
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		values[m.Subject()] = m.Data()
		if meta, err := m.Metadata(); err == nil && meta.NumPending == 0 {
			close(all)
		}
	}, jetstream.PullMaxMessages(rawPull))
	if err != nil {
		return err
	}
	defer consuming.Stop()
	select {
	case <-all:
	case <-ctx.Done():
		return nil
	}
	if err := in.SayEvent(Ready); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
