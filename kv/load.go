package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// loadBatch is how many entries are given at once.
	loadBatch = 256
	// loadIdle is after how long without whoever loads its consumer ends by itself.
	loadIdle = 10 * time.Second
)

// errGap means that something was lost on its way.
var errGap = errors.New("messages are missing")

// Load gives what there is of the entries that Watch would give after the same
// revision, in order, many at a time: whoever watches a million keys begins with
// it. From 0 a key's earlier revisions may be among them. What is given is without
// a gap, and the slice is made use of again. Load may stop early, with an error
// that says why: then, as after all, Watch goes on from the last revision seen.
func (b *Bucket[T]) Load(ctx context.Context, after uint64, fn func([]Entry[T])) error {
	cfg := jetstream.ConsumerConfig{
		FilterSubject: b.prefix + ">", AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: loadIdle,
	}
	cfg.DeliverPolicy, cfg.OptStartSeq = begin(after, b.hardlyEdited())
	cons, err := b.stream.CreateConsumer(ctx, cfg)
	if err != nil {
		return fmt.Errorf("load %s: %w", b.prefix, err)
	}
	name := cons.CachedInfo().Name
	if cons.CachedInfo().NumPending == 0 {
		_ = b.stream.DeleteConsumer(ctx, name) // it ends by itself, too
		return nil
	}
	l := loading[T]{bucket: b, fn: fn, over: make(chan struct{}), batch: make([]Entry[T], 0, loadBatch)}
	// The callback of a consumer of its own is called once at a time, as an ordered
	// one's is not (see watch); what that consumer looks after is done in take.
	consuming, err := cons.Consume(l.take, jetstream.PullMaxMessages(watchPrefetch),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { l.end(err) }))
	if err != nil {
		return fmt.Errorf("load %s: %w", b.prefix, err)
	}
	select {
	case <-l.over:
	case <-ctx.Done():
		l.end(ctx.Err())
	}
	consuming.Stop() // does not wait for a call that is under way
	l.finish()
	if l.err != nil {
		return fmt.Errorf("load %s: %w", b.prefix, l.err)
	}
	_ = b.stream.DeleteConsumer(ctx, name)
	return nil
}

// hardlyEdited tells whether there are few entries but the last of each key: then
// all of them are sooner sent than the server has found the last ones.
func (b *Bucket[T]) hardlyEdited() bool {
	s := b.stream.CachedInfo().State
	return s.Msgs-s.NumSubjects <= s.NumSubjects/8
}

// loading is one Load.
type loading[T any] struct {
	bucket *Bucket[T]
	fn     func([]Entry[T])

	mu    sync.Mutex // guards what follows, and is held while fn is called
	batch []Entry[T]
	taken uint64 // the consumer's sequence
	done  bool   // nothing more is taken

	over chan struct{}
	once sync.Once
	err  error // after over
}

// take takes the next message, unless another should have come before it.
func (l *loading[T]) take(m jetstream.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return
	}
	meta, err := m.Metadata()
	if err == nil && meta.Sequence.Consumer != l.taken+1 {
		err = errGap
	}
	if err != nil {
		l.done = true
		l.end(err)
		return
	}
	l.taken++
	l.batch = append(l.batch, l.bucket.entry(m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream, meta.Timestamp))
	if len(l.batch) == cap(l.batch) {
		l.give()
	}
	if meta.NumPending == 0 {
		l.done = true
		l.end(nil)
	}
}

// finish hands over the rest, after which nothing more is.
func (l *loading[T]) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = true
	l.give()
}

// give hands over what was taken. The caller holds mu.
func (l *loading[T]) give() {
	if len(l.batch) > 0 {
		l.fn(l.batch)
		clear(l.batch)
		l.batch = l.batch[:0]
	}
}

// end says that there is no more to wait for.
func (l *loading[T]) end(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.over)
	})
}
