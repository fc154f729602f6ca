package workers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoPayload means that the message that a run came with is no longer in a
// stream, or was none: a direct call's is never stored.
var ErrNoPayload = errors.New("the message that the run came with is not kept any more")

// Bounds of a search for a message: how long before the run it may have been
// stored, and how long it is looked for.
const (
	payloadEarlier = time.Minute
	payloadWithin  = 5 * time.Second
)

// Payload looks for the message that a run came with, by its record, in the
// streams of triggers and rings, around the time at which it was due or started.
func Payload(ctx context.Context, js jetstream.JetStream, ns Namespace, r *Run) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, payloadWithin)
	defer cancel()
	stream, subject := ns.RingsStream(), ns.RingSubject("*", r.Service)
	if r.Channel == ChannelScheduler || r.Channel == "" {
		stream, subject = ns.TriggersStream(), ns.TriggerSubject(r.Service)
	}
	from := r.Started
	if from.IsZero() || !r.Due.IsZero() && r.Due.Before(from) {
		from = r.Due
	}
	from = from.Add(-payloadEarlier)
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("find stream %s: %w", stream, err)
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from, MaxResetAttempts: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	if consumer.CachedInfo().NumPending == 0 {
		return nil, ErrNoPayload
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, ErrNoPayload
		}
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", stream, err)
		}
		if m.Headers().Get(HeaderRun) == r.Run {
			return m.Data(), nil
		}
		meta, err := m.Metadata()
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", stream, err)
		}
		if meta.NumPending == 0 || !r.Finished.IsZero() && meta.Timestamp.After(r.Finished) {
			return nil, ErrNoPayload
		}
	}
}
