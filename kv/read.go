package kv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ReadStream gives a stream's messages to fn, from where the configuration says,
// until fn says false; unless more are to come, it ends when there are no others.
// Where more are to come it goes on after whatever happens to NATS meanwhile. The
// configuration's OptStartSeq says where; its policy and thresholds are set here.
func ReadStream(ctx context.Context, s jetstream.Stream, c jetstream.OrderedConsumerConfig, more bool, fn func(jetstream.Msg, *jetstream.MsgMetadata) bool) error {
	c.DeliverPolicy, c.InactiveThreshold = jetstream.DeliverByStartSequencePolicy, 10*time.Second
	c.MaxResetAttempts = 1 // as Watch does, for the same reason
	for {
		over, err := readOnce(ctx, s, &c, more, fn)
		switch {
		case over:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !more || errors.Is(err, jetstream.ErrStreamNotFound):
			return fmt.Errorf("read stream %s: %w", s.CachedInfo().Config.Name, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(readPause):
		}
	}
}

const (
	// readPause is before a stream is read on that could not be.
	readPause = 250 * time.Millisecond
	// readBegin is how long a consumer may take to begin: an answer may be lost with
	// the server that gave it, and would be waited for as long as the caller has.
	readBegin = 5 * time.Second
)

// readOnce reads with one consumer, and moves c's beginning on.
func readOnce(ctx context.Context, s jetstream.Stream, c *jetstream.OrderedConsumerConfig, more bool, fn func(jetstream.Msg, *jetstream.MsgMetadata) bool) (over bool, err error) {
	begin, cancel := context.WithTimeout(ctx, readBegin)
	consumer, err := s.OrderedConsumer(begin, *c)
	cancel()
	if err != nil {
		return false, err
	}
	if !more && consumer.CachedInfo().NumPending == 0 {
		return true, nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return false, err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return false, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return false, err
		}
		c.OptStartSeq = meta.Sequence.Stream + 1
		if !fn(m, meta) || !more && meta.NumPending == 0 {
			return true, nil
		}
	}
}

// readSingly is how many revisions Between reads one by one before it takes the
// others from a consumer.
const readSingly = 32

// Between gives the revisions after one and before another that are kept, in order.
// Those of a consumer may come from a replica that is behind; what follows on them
// is asked of the stream's leader. It ends at fn's error, or its own.
func (b *Bucket[T]) Between(ctx context.Context, after, before uint64, fn func(Entry[T]) error) error {
	for singly := 1; after+1 < before; singly++ {
		e, err := b.Next(ctx, after)
		if errors.Is(err, ErrNotFound) || err == nil && e.Revision >= before {
			return nil
		}
		if err == nil {
			after, err = e.Revision, fn(e)
		}
		if err == nil && singly%readSingly == 0 {
			after, err = b.between(ctx, after, before, fn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// between is Between from a consumer, and says how far it has come.
func (b *Bucket[T]) between(ctx context.Context, after, before uint64, fn func(Entry[T]) error) (uint64, error) {
	if after+1 >= before {
		return after, nil
	}
	var failed error
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: b.subjects(nil), OptStartSeq: after + 1}
	err := ReadStream(ctx, b.stream, cfg, false, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		seq := meta.Sequence.Stream
		if seq >= before {
			return false
		}
		after, failed = seq, fn(b.entry(m.Subject(), m.Headers(), m.Data(), seq, meta.Timestamp))
		return failed == nil && after+1 < before
	})
	return after, cmp.Or(failed, err)
}
