package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Schedules are NATS's own: the server itself publishes a message at its time
// (ADR-51, "@at" and a target). It looks for what is due four times a second at
// most, which no setting changes.
//
// A schedule is a message on a subject of its own, published asynchronously, with
// as many under way as the client library allows by default. One durable pull
// consumer takes what has become due and acknowledges each message.
type Schedules struct {
	// Sync is how often the server syncs to disk; 0 means before it
	// acknowledges.
	Sync time.Duration
}

const (
	schedulesStream   = "SCHEDULES"
	schedulesConsumer = "bench"
	schedulesTarget   = "due.bench"
	// schedulesPending is the client library's own default; it is named because
	// it is the window of creating.
	schedulesPending = 4000
)

// Serve starts a NATS server.
func (c Schedules) Serve(ctx context.Context, at Site) (*Process, error) {
	return serveNATS(ctx, at, c.Sync)
}

// consumer makes the stream and its consumer, if need be.
func (Schedules) consumer(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: schedulesStream, Subjects: []string{"at.>", schedulesTarget}, AllowMsgSchedules: true,
	})
	if err != nil {
		return nil, fmt.Errorf("create stream: %w", err)
	}
	c, err := js.CreateOrUpdateConsumer(ctx, schedulesStream, jetstream.ConsumerConfig{
		Durable: schedulesConsumer, FilterSubject: schedulesTarget,
		AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
	})
	if err != nil {
		return nil, fmt.Errorf("create consumer: %w", err)
	}
	return c, nil
}

// Work consumes.
func (c Schedules) Work(ctx context.Context, at Site, handle Handle) error {
	nc, err := connectNATS(at)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	cons, err := c.consumer(ctx, js)
	if err != nil {
		return err
	}
	cc, err := cons.Consume(func(m jetstream.Msg) {
		handle(string(m.Data()))
		_ = m.Ack() // what is not acknowledged comes again, and is counted
	}, jetstream.PullMaxMessages(5000))
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	<-ctx.Done()
	cc.Stop()
	<-cc.Closed()
	return nil
}

// Open connects to the server.
func (c Schedules) Open(ctx context.Context, at Site) (Client, error) {
	nc, err := connectNATS(at)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(schedulesPending))
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	cons, err := c.consumer(ctx, js)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return schedulesClient{nc, js, cons}, nil
}

type schedulesClient struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	cons jetstream.Consumer
}

// Create publishes the schedules and waits for every acknowledgement.
func (c schedulesClient) Create(ctx context.Context, b Batch) error {
	acks := make([]jetstream.PubAckFuture, b.N)
	for i := range b.N {
		m := nats.NewMsg("at." + strconv.Itoa(b.First+i))
		m.Header.Set("Nats-Schedule", "@at "+b.At(i).UTC().Format(time.RFC3339Nano))
		m.Header.Set("Nats-Schedule-Target", schedulesTarget)
		m.Data = []byte(b.Payload(i))
		var err error
		if acks[i], err = c.js.PublishMsgAsync(m, jetstream.WithStallWait(readyWithin)); err != nil {
			return fmt.Errorf("publish a schedule: %w", err)
		}
	}
	for _, a := range acks {
		select {
		case <-a.Ok():
		case err := <-a.Err():
			return fmt.Errorf("publish a schedule: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Pending asks the consumer.
func (c schedulesClient) Pending(ctx context.Context) (int, error) {
	info, err := c.cons.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read consumer: %w", err)
	}
	return int(info.NumPending) + info.NumAckPending, nil
}

func (c schedulesClient) Close() { c.nc.Close() }
