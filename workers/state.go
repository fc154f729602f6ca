package workers

import (
	"context"
	"sync/atomic"

	"github.com/bellhop-run/bellhop/kv"
)

// state is one kind of entry in the state bucket, opened when it is first used:
// a worker may be started before the bucket is made.
type state[T any] struct {
	w      *Worker
	bucket atomic.Pointer[kv.Bucket[T]]
}

func (s *state[T]) open(ctx context.Context) (*kv.Bucket[T], error) {
	if b := s.bucket.Load(); b != nil {
		return b, nil
	}
	b, err := kv.Open[T](ctx, s.w.js, s.w.o.Namespace.StateBucket())
	if err == nil {
		s.bucket.Store(b)
	}
	return b, err
}
