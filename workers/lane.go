package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// lane brings one service's messages from one stream.
//
// A message that lies in a buffer of the client library is kept alive by
// nobody: after AckWait it is another worker's, too. So a lane takes in at once
// whatever comes, and sends heartbeats for it while it waits for a slot; and it
// asks for a counted number of messages each time, since to break off a pull
// loses what is on its way, which would cost an attempt. That number is the
// slots that are free and, as long as the service is quick, some more, so that
// the slots are busy between two pulls; a slow service leaves work to others.
type lane struct {
	w       *Worker
	log     *slog.Logger
	service string
	stream  string
	filter  string
	name    string // of the consumer

	held    held
	said    string      // the last trouble that was logged
	touched atomic.Bool // something was settled since the floor was saved
	bound   atomic.Pointer[binding]

	waiting sync.WaitGroup // messages without a slot
	ahead   int            // how many more than there are slots to ask for
	quick   atomic.Bool    // since the last pull, an attempt was quick
	slow    atomic.Bool    // … or slow
}

const (
	// slowRun is how long an attempt takes that makes its service a slow one.
	slowRun = 100 * time.Millisecond
	// maxPull bounds what a lane asks for at once.
	maxPull = 512
)

func (w *Worker) lane(service, stream, filter string) *lane {
	return &lane{
		w: w, service: service, stream: stream, filter: filter,
		name: Escape(service), // a consumer's name may not hold a dot
		log:  w.log.With("service", service, "stream", stream),
	}
}

// run pulls until ctx is done, whatever happens to NATS meanwhile.
func (l *lane) run(ctx, hard context.Context) {
	const least, most = 100 * time.Millisecond, 5 * time.Second
	wait := least
	for ctx.Err() == nil {
		began := time.Now()
		err := l.consume(ctx, hard)
		if err == nil || ctx.Err() != nil {
			continue
		}
		l.say(err)
		if time.Since(began) > most {
			wait = least
		}
		pause(ctx, wait)
		wait = min(2*wait, most)
	}
}

// say logs a trouble once, until it is another one or over.
func (l *lane) say(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text == l.said {
		return
	}
	if err == nil {
		l.log.Info("taking triggers again")
	} else {
		l.log.Warn("waiting: no triggers are taken", "error", err)
	}
	l.said = text
}

// consume binds to the consumer and pulls until something ends that. It
// returns when every message that came has a slot or was given back.
func (l *lane) consume(ctx, hard context.Context) error {
	b, err := l.bind(ctx)
	if err != nil {
		return err
	}
	l.say(nil)
	l.bound.Store(b)
	l.held.every.Store(int64(b.consumer.CachedInfo().Config.AckWait / 3)) // whoever made it chose
	defer l.waiting.Wait()
	for {
		n := l.room(ctx)
		if n == 0 {
			return nil
		}
		if err := l.pull(ctx, hard, b.consumer, n); err != nil {
			return fmt.Errorf("pull: %w", err)
		}
	}
}

// room waits until all that came has a slot, and says how many messages to ask
// for now; 0 when ctx is done.
func (l *lane) room(ctx context.Context) int {
	l.waiting.Wait() // ends with ctx, too
	quick, slow := l.quick.Swap(false), l.slow.Swap(false)
	switch {
	case slow:
		l.ahead = 0
	case quick:
		l.ahead = min(max(2*l.ahead, l.w.o.Concurrency), maxPull)
	}
	if l.ahead == 0 {
		select { // there must be a slot; who comes first has it
		case l.w.slots <- struct{}{}:
			<-l.w.slots
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return 0
	}
	return min(max(1, cap(l.w.slots)-len(l.w.slots))+l.ahead, maxPull)
}

// pull takes in n messages as they come, however long that takes.
func (l *lane) pull(ctx, hard context.Context, c jetstream.Consumer, n int) error {
	failed := make(chan error, 1)
	cc, err := c.Consume(
		func(m jetstream.Msg) {
			if err := l.receive(ctx, hard, m); err != nil {
				l.log.Error("message not understood", "subject", m.Subject(), "error", err)
			}
		},
		jetstream.PullMaxMessages(n),
		jetstream.StopAfter(n),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			if errors.Is(err, jetstream.ErrConsumerLeadershipChanged) {
				return // the library goes on by itself
			}
			select {
			case failed <- err:
			default:
			}
		}))
	if err != nil {
		return err
	}
	closed := cc.Closed()
	select {
	case <-ctx.Done():
	case <-closed:
	case err = <-failed:
	}
	if l.w.nc.IsConnected() {
		cc.Drain()
	} else {
		cc.Stop() // a drain would wait for the server
	}
	<-closed
	return err
}

// receive takes one message. It does not block: without a free slot the
// message waits on its own.
func (l *lane) receive(ctx, hard context.Context, m jetstream.Msg) error {
	a, err := l.take(m)
	if a == nil || err != nil {
		return err
	}
	if ctx.Err() != nil {
		a.giveBack()
		return nil
	}
	select {
	case l.w.slots <- struct{}{}:
		go a.run(hard)
		return nil
	default:
	}
	l.waiting.Go(func() {
		select {
		case l.w.slots <- struct{}{}:
			go a.run(hard)
		case <-ctx.Done():
			a.giveBack()
		}
	})
	return nil
}

// settled learns from an attempt that ended.
func (l *lane) settled(took time.Duration) {
	l.touched.Store(true)
	if took > slowRun {
		l.slow.Store(true)
	} else {
		l.quick.Store(true)
	}
}

// take makes an attempt of a message; nil when the worker has stopped, or has
// the message already.
func (l *lane) take(m jetstream.Msg) (*attempt, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	if !l.w.open.enter() {
		return nil, m.Nak()
	}
	a := &attempt{
		w: l.w, held: &l.held, lane: l, msg: m,
		place: place(meta.Stream, meta.Sequence.Stream),
		key:   key{l.bound.Load().created.UnixNano(), meta.Sequence.Stream},
	}
	t, err := parseTrigger(l.service, m.Headers(), m.Data(), a.place)
	if err != nil {
		l.log.Warn("headers ignored", "run", t.Run, "error", err)
	}
	t.Attempt = int(min(meta.NumDelivered, 1<<31-1))
	a.t, a.rules = t, l.w.o.rules(&t.Policy)
	if fresh, done := l.held.add(a); !fresh {
		l.w.open.leave()
		if done {
			return nil, m.Ack()
		}
		return nil, nil // the acknowledgement of its first delivery is as good
	}
	return a, nil
}

// gone says whether a consumer or its stream is no longer there.
func gone(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrNoResponders)
}
