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
// A message that lies in the client library's buffer is kept alive by nobody,
// so it must not lie there long. The library is asked for no more than a
// prefetch of messages, and its callback blocks, while no slot is free, for
// AckWait/3 divided by that prefetch at most. When that is not enough (the
// services are slow) the lane parks: it stops pulling, takes in what the buffer
// holds, keeps all of it alive with heartbeats, and pulls again when the last
// of it has started, one message at a time so that others find work, too.
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
	ackWait time.Duration

	// Of one pull; only its callback and, before and after, consume use them.
	prefetch int
	smooth   int // messages in a row that found a slot at once
	parking  bool
	parked   sync.WaitGroup
	again    chan struct{} // asks consume to begin a new pull
}

// smoothEnough is after how many messages that need not wait for a slot a lane
// that had to park fetches many at a time again.
const smoothEnough = 1000

func (w *Worker) lane(service, stream, filter string) *lane {
	return &lane{
		w: w, service: service, stream: stream, filter: filter,
		name:     Escape(service), // a consumer's name may not hold a dot
		log:      w.log.With("service", service, "stream", stream),
		prefetch: w.fullPrefetch(),
	}
}

// fullPrefetch keeps the slots busy between two pulls of a fast service.
func (w *Worker) fullPrefetch() int { return min(2*w.o.Concurrency, 512) }

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
// returns when every message that came has been started or given back.
func (l *lane) consume(ctx, hard context.Context) error {
	b, err := l.bind(ctx)
	if err != nil {
		return err
	}
	l.say(nil)
	l.bound.Store(b)
	l.ackWait = b.consumer.CachedInfo().Config.AckWait // whoever made it chose
	l.held.every.Store(int64(l.ackWait / 3))
	l.smooth, l.parking, l.again = 0, false, make(chan struct{}, 1)

	failed := make(chan error, 1)
	cc, err := b.consumer.Consume(
		func(m jetstream.Msg) { l.receive(ctx, hard, m) },
		jetstream.PullMaxMessages(l.prefetch),
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
		return fmt.Errorf("pull: %w", err)
	}
	closed := cc.Closed()
	select {
	case <-ctx.Done():
	case <-l.again:
	case <-closed:
	case err = <-failed:
		err = fmt.Errorf("pull: %w", err)
	}
	if l.w.nc.IsConnected() {
		cc.Drain()
	} else {
		cc.Stop() // a drain would wait for the server
	}
	<-closed
	l.parked.Wait()
	if l.parking {
		l.prefetch = 1
	}
	return err
}

// receive takes one message. It returns when the message has a slot or, parked,
// waits for one on its own.
func (l *lane) receive(ctx, hard context.Context, m jetstream.Msg) {
	a, err := l.take(m)
	if err != nil {
		l.log.Error("message not understood", "subject", m.Subject(), "error", err)
		return
	}
	if a == nil || ctx.Err() != nil { // stopping
		if a != nil {
			a.giveBack()
		}
		return
	}
	select {
	case l.w.slots <- struct{}{}:
		go a.run(hard)
		if l.smooth++; l.smooth == smoothEnough && l.prefetch < l.w.fullPrefetch() {
			l.prefetch = l.w.fullPrefetch()
			l.restart()
		}
		return
	default:
		l.smooth = 0
	}
	if !l.parking {
		t := time.NewTimer(l.ackWait / 3 / time.Duration(l.prefetch))
		defer t.Stop()
		select {
		case l.w.slots <- struct{}{}:
			go a.run(hard)
			return
		case <-ctx.Done():
			a.giveBack()
			return
		case <-t.C:
			l.parking = true
			l.restart()
		}
	}
	l.parked.Add(1)
	go func() {
		defer l.parked.Done()
		select {
		case l.w.slots <- struct{}{}:
			go a.run(hard)
		case <-ctx.Done():
			a.giveBack()
		}
	}()
}

// restart asks consume for a new pull.
func (l *lane) restart() {
	select {
	case l.again <- struct{}{}:
	default:
	}
}

// take makes an attempt of a message; nil when the worker has stopped.
func (l *lane) take(m jetstream.Msg) (*attempt, error) {
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	if !l.w.open.enter() {
		return nil, m.Nak()
	}
	a := &attempt{w: l.w, held: &l.held, lane: l, msg: m, place: place(meta.Stream, meta.Sequence.Stream)}
	t, err := parseTrigger(l.service, m.Headers(), m.Data(), a.place)
	if err != nil {
		l.log.Warn("headers ignored", "run", t.Run, "error", err)
	}
	t.Attempt = int(min(meta.NumDelivered, 1<<31-1))
	a.t, a.rules = t, l.w.o.rules(&t.Policy)
	l.held.add(a)
	return a, nil
}

// gone says whether a consumer or its stream is no longer there.
func gone(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrNoResponders)
}
