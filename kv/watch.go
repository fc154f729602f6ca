package kv

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// watchPrefetch is how many entries are under way to a watcher: enough to
// load a million keys at the speed of the server.
const watchPrefetch = 5000

// Watch gives every entry with a revision after the given one to fn, in order
// and one at a time; from 0 it begins with each key's last revision. Where
// history has been dropped, the revisions that are left are given. loaded is
// called once when what was there at the beginning has been given; it can
// come early on a cluster, so compare revisions where it matters. Watch
// reconnects by itself, and ends with ctx (returning nil) or with an error
// after which the caller may watch again from the last revision seen.
func (b *Bucket[T]) Watch(ctx context.Context, after uint64, fn func(Entry[T]), loaded func(), keys ...string) error {
	cfg := jetstream.OrderedConsumerConfig{
		FilterSubjects: b.subjects(keys),
		// When it has to begin anew the client library makes a consumer of one
		// name, again and again and whatever ctx says. Where that name was given
		// to a server of a cluster that is gone, that is until it is back: so it
		// tries once, and whoever watches again has another name.
		MaxResetAttempts: 1,
	}
	cfg.DeliverPolicy, cfg.OptStartSeq = begin(after, false)
	cons, err := b.stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return fmt.Errorf("watch %s: %w", b.prefix, err)
	}
	defer b.leave(ctx, cons)
	waiting := true
	if cons.CachedInfo().NumPending == 0 {
		waiting = false
		loaded()
	}
	// An iterator and not a callback: while the client begins anew after a lost
	// connection, two callbacks can be under way at once, the older one late.
	messages, err := cons.Messages(jetstream.PullMaxMessages(watchPrefetch))
	if err != nil {
		return fmt.Errorf("watch %s: %w", b.prefix, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch %s: %w", b.prefix, err)
		}
		meta, err := m.Metadata()
		if err != nil { // not a message of a consumer: nothing to give
			continue
		}
		fn(b.entry(m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream, meta.Timestamp))
		if waiting && meta.NumPending == 0 {
			waiting = false
			loaded()
		}
	}
}

// leaveWait bounds how long a watcher that has ended waits for the end of its consumer.
const leaveWait = time.Second

// leave ends the consumer of a watcher whose ctx has ended. By itself it would only
// after minutes, and a stream has room for a thousand.
func (b *Bucket[T]) leave(ctx context.Context, cons jetstream.Consumer) {
	if ctx.Err() == nil || !b.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWait)
	defer cancel()
	_ = b.stream.DeleteConsumer(ctx, cons.CachedInfo().Name) // it ends by itself, too
}

// begin says where what comes after a revision begins, or with 0 each key's last.
func begin(after uint64, every bool) (jetstream.DeliverPolicy, uint64) {
	if after > 0 || every {
		return jetstream.DeliverByStartSequencePolicy, after + 1
	}
	return jetstream.DeliverLastPerSubjectPolicy, 0
}

// subjects are where the entries of keys are, of all without any.
func (b *Bucket[T]) subjects(keys []string) []string {
	if len(keys) == 0 {
		return []string{b.prefix + ">"}
	}
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = b.prefix + key
	}
	return all
}
