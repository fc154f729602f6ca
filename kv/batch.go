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
	msgs := make([]*nats.Msg, len(changes))
	for i, c := range changes {
		if msgs[i], err = b.message(c); err != nil {
			return 0, err
		}
	}
	ack, err := jetstreamext.PublishMsgBatch(ctx, b.js, msgs)
	if err != nil {
		return 0, writeError(fmt.Sprintf("%d keys", len(changes)), err)
	}
	return ack.Sequence - uint64(len(changes)) + 1, nil
}
