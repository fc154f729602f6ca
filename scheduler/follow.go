package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

// follower feeds a bucket's entries to a view of it, from the watch and, where
// that lags, from the stream's leader. The view passes over what it has.
type follower struct {
	bucket *kv.Bucket[[]byte]
	learn  func(...kv.Entry[[]byte])
	seen   func() uint64
	logger *slog.Logger
	loaded chan struct{} // closed once what was there has been learned
	once   sync.Once
}

// retryWait is between attempts at what NATS did not let happen.
const retryWait = 250 * time.Millisecond

// watch learns what is there, many at a time, and then what comes.
func (f *follower) watch(ctx context.Context) error {
	if err := f.bucket.Load(ctx, f.seen(), func(es []kv.Entry[[]byte]) { f.learn(es...) }); err != nil && ctx.Err() == nil {
		f.logger.Warn("the rest is loaded one by one", "error", err)
	}
	return f.bucket.Watch(ctx, f.seen(), func(e kv.Entry[[]byte]) { f.learn(e) }, func() { f.once.Do(func() { close(f.loaded) }) })
}

// run watches until ctx ends.
func (f *follower) run(ctx context.Context) error {
	for {
		err := f.watch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		f.logger.Warn("watching again", "error", err)
		if !pause(ctx, retryWait) {
			return nil
		}
	}
}

// catchUp returns once the view has come to the revision, or fails with ctx.
// The watch is given a moment; then what is missing is read from the stream's
// leader, one by one.
func (f *follower) catchUp(ctx context.Context, revision uint64) error {
	for end := time.Now().Add(lagWait); f.seen() < revision && time.Now().Before(end); {
		if !pause(ctx, lagWait/50) {
			return ctx.Err()
		}
	}
	for f.seen() < revision {
		e, err := f.bucket.Next(ctx, f.seen())
		switch {
		case errors.Is(err, kv.ErrNotFound):
			// What had that revision is gone: nothing is left to learn.
			f.learn(kv.Entry[[]byte]{Revision: revision, Deleted: true})
		case err != nil:
			return fmt.Errorf("%w: %w", errLag, err)
		default:
			f.learn(e)
		}
	}
	return nil
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
