package kv

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// MaxBatch is how many changes one Apply may hold: the server's own bound
// (ADR-50).
const MaxBatch = 1000

// Apply carries out all the changes or none, at most MaxBatch, no key twice.
// It returns the revision of the first; the others follow it one by one. Deletions
// are as good as any: a batch may purge a subject that it names but once.
// ErrConflict means that one of the keys had another revision.
func (b *Bucket[T]) Apply(ctx context.Context, changes []Change[T]) (first uint64, err error) {
	if len(changes) == 0 || len(changes) > MaxBatch {
		return 0, fmt.Errorf("apply %d changes: at least 1 and at most %d", len(changes), MaxBatch)
	}
	values := make([][]byte, len(changes)) // before anything is sent, for one may fail
	for i := range changes {
		if values[i], err = changes[i].encode(); err != nil {
			return 0, err
		}
	}
	// Only the end is waited for: a server that would refuse the first message says so there.
	batch, err := jetstreamext.NewBatchPublisher(b.js, jetstreamext.BatchFlowControl{})
	if err != nil {
		return 0, fmt.Errorf("begin a batch: %w", err)
	}
	// One message after the other: what is published is copied, not kept.
	m := &nats.Msg{Header: nats.Header{}}
	end := len(changes) - 1
	for i := range end {
		b.message(m, &changes[i], values[i])
		if err := batch.AddMsg(m); err != nil {
			_ = batch.Discard() // the server forgets it by itself
			return 0, fmt.Errorf("write %d keys: %w", len(changes), err)
		}
	}
	b.message(m, &changes[end], values[end])
	ack, err := batch.CommitMsg(ctx, m)
	if err != nil {
		return 0, writeError(fmt.Sprintf("%d keys", len(changes)), err)
	}
	return ack.Sequence - uint64(end), nil
}
