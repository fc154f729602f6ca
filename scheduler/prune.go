package scheduler

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// pruneEvery is how often the leader ages the log.
const pruneEvery = time.Minute

// prune drops what is too old or too much from the log while this scheduler
// leads, until ctx ends. What a recovery needs stays in any case.
func (s *Scheduler) prune(ctx context.Context) error {
	for pause(ctx, pruneEvery) {
		if !s.status.Load().Leading {
			continue
		}
		if err := s.pruneLog(ctx); err != nil && ctx.Err() == nil {
			s.logger.Warn("cannot age the trigger log", "error", err)
		}
	}
	return nil
}

// pruneLog drops first what is too old, and then from the oldest on what is
// too much. How many messages that is can only be guessed from their mean size,
// so it is done in a few steps.
func (s *Scheduler) pruneLog(ctx context.Context) error {
	for range pruneSteps {
		info, err := s.log.Info(ctx)
		if err != nil {
			return fmt.Errorf("read the log's size: %w", err)
		}
		st := info.State
		if st.Msgs == 0 {
			return nil
		}
		keepFrom := st.FirstSeq
		if old := time.Now().Add(-s.opts.Keep); st.FirstTime.Before(old) {
			if keepFrom, err = s.firstSince(ctx, old, st.LastSeq); err != nil {
				return err
			}
		}
		if excess := int64(st.Bytes) - s.opts.KeepBytes; excess > 0 {
			// Hands that were rolled up have left holes in the sequence.
			part := float64(excess) / float64(st.Bytes)
			keepFrom = max(keepFrom, st.FirstSeq+1+uint64(part*float64(st.LastSeq-st.FirstSeq)))
		}
		keepFrom = min(keepFrom, s.purgeable.Load()+1)
		if keepFrom <= st.FirstSeq {
			return nil
		}
		if err := s.log.Purge(ctx, jetstream.WithPurgeSequence(keepFrom)); err != nil {
			return fmt.Errorf("purge below %d: %w", keepFrom, err)
		}
	}
	return nil
}

// pruneSteps bounds one ageing of the log.
const pruneSteps = 8

// firstSince is the sequence of the first message stored at or after the time,
// last + 1 if there is none.
func (s *Scheduler) firstSince(ctx context.Context, at time.Time, last uint64) (uint64, error) {
	c, err := s.log.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &at,
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1,
		InactiveThreshold: pruneEvery / 2,
	})
	if err != nil {
		return 0, fmt.Errorf("look for the time %v: %w", at, err)
	}
	defer func() { _ = s.log.DeleteConsumer(ctx, c.CachedInfo().Name) }() // it ends by itself, too
	batch, err := c.FetchNoWait(1)
	if err != nil {
		return 0, fmt.Errorf("look for the time %v: %w", at, err)
	}
	first := last + 1
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return 0, fmt.Errorf("look for the time %v: %w", at, err)
		}
		first = meta.Sequence.Stream
	}
	return first, nil
}
