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
//
// What is written here in bulk it learns from the writer, and the watch rests
// meanwhile: to send all of it back and to read it again would be a fifth of what it
// costs to create a job.
//
//	watch ──────────────────────────────► view
//	bulk write, once it is acknowledged ────┤
//	stream's leader, what is missing ───────┘
type follower struct {
	bucket *kv.Bucket[[]byte]
	learn  func(...kv.Entry[[]byte])
	seen   func() uint64
	logger *slog.Logger
	loaded chan struct{} // closed once what was there has been learned
	once   sync.Once

	mu    sync.Mutex
	bulks int                // bulk writes under way
	moved time.Time          // when one of them last began or ended
	stop  context.CancelFunc // of the watch, once there was one
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
		for f.rests() && pause(ctx, restAfter) {
		}
		if ctx.Err() != nil {
			return nil
		}
		within, stop := context.WithCancel(ctx)
		f.watching(stop)
		err := f.watch(within)
		over := within.Err() != nil
		stop()
		if over {
			continue
		}
		f.logger.Warn("watching again", "error", err)
		pause(ctx, retryWait)
	}
}

const (
	// bulk is how many changes at once are a bulk write. To begin the watch again takes
	// several requests, which fewer would hardly be worth: the bound is an estimate.
	bulk = 250
	// restAfter is how long the watch rests after a bulk write, for another may follow.
	restAfter = 20 * time.Millisecond
	// restAtMost is how long it does where a bulk write does not come to an end.
	restAtMost = time.Second
)

// rests tells whether the watch rests, or is about to.
func (f *follower) rests() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.busy() || time.Since(f.moved) < restAfter
}

// busy tells whether a bulk write is under way and may still come to an end. The caller
// holds mu.
func (f *follower) busy() bool { return f.bulks > 0 && time.Since(f.moved) < restAtMost }

// watching says how to stop the watch, which may have to be at once.
func (f *follower) watching(stop context.CancelFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop = stop; f.busy() {
		stop()
	}
}

// rest has the watch rest until what it returns is called, and a little longer.
func (f *follower) rest() (end func()) {
	move := func(by int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.bulks, f.moved = f.bulks+by, time.Now()
		if by > 0 && f.stop != nil {
			f.stop()
		}
	}
	move(1)
	return func() { move(-1) }
}

// apply writes the changes, all or none, and gives the revision of the first. Of many
// the view has learned when apply returns.
func (f *follower) apply(ctx context.Context, changes []kv.Change[[]byte]) (first uint64, err error) {
	if len(changes) < bulk {
		return f.bucket.Apply(ctx, changes)
	}
	defer f.rest()()
	if first, err = f.bucket.Apply(ctx, changes); err != nil {
		return 0, err
	}
	if err := f.own(ctx, first, changes); err != nil {
		f.logger.Debug("a bulk write is learned from the watch", "error", err)
	}
	return first, nil
}

// own learns what was written here, and before it what has come between. The time of
// all of it is the last one's, for the server stores a batch in one go.
func (f *follower) own(ctx context.Context, first uint64, changes []kv.Change[[]byte]) error {
	last := first + uint64(len(changes)) - 1
	stored, err := f.bucket.Next(ctx, last-1)
	if err != nil {
		return err
	}
	if stored.Revision != last {
		return fmt.Errorf("%w: revision %d is gone", errLag, last)
	}
	if err := f.catchUp(ctx, first-1); err != nil {
		return err
	}
	es := make([]kv.Entry[[]byte], len(changes))
	for i, c := range changes {
		es[i] = kv.Entry[[]byte]{
			Key: c.Key, Value: c.Value, Revision: first + uint64(i), Created: stored.Created, Deleted: c.Delete, Note: c.Note,
		}
	}
	f.learn(es...)
	return nil
}

// catchUp returns once the view has come to the revision, or fails with ctx.
// The watch, or a bulk write, is given a moment; then what is missing is read from
// the stream's leader, one by one.
func (f *follower) catchUp(ctx context.Context, revision uint64) error {
	lag := lagWait
	if f.rests() {
		lag = restAfter
	}
	for end := time.Now().Add(lag); f.seen() < revision && time.Now().Before(end); {
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
