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
// slots that the service could have now and, as long as it is quick, some more,
// so that the slots are busy between two pulls; a slow service, and one whose
// rate is spent, leaves work to others.
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

	of       *handler
	share    *share
	pace     *pace
	waiting  sync.WaitGroup // for something else than a slot
	parked   sync.WaitGroup // for runs of their own job
	crowd    atomic.Int64   // how many are parked
	leaving  chan struct{}  // told when one is no longer
	queued   int            // waiting for a slot; the pool's
	most     int            // see low; the pool's
	low      chan struct{}  // told when no more than most are queued
	policies policies
	arrived  deliveries
	backlog  atomic.Int64 // messages of the fleet that nobody has settled; see waits
	pulling  atomic.Bool  // messages are asked for
	ahead    int          // how many more than there are slots to ask for
	ended    atomic.Int64 // attempts since the last pull
	took     atomic.Int64 // … and how long, ns
	slow     atomic.Bool  // … one of them was
}

const (
	// slowRun is how long an attempt takes that makes its service a slow one.
	slowRun = 100 * time.Millisecond
	// maxPull bounds what a lane asks for at once.
	maxPull = 4096
	// maxParked is how many wait in a lane for other runs of their jobs.
	maxParked = 256
	// crowdPull is how many are asked for now and then although so many wait.
	crowdPull = 16
)

func (w *Worker) lane(service, stream, filter string) *lane {
	return &lane{
		w: w, service: service, stream: stream, filter: filter,
		name: Escape(service), // a consumer's name may not hold a dot
		log:  w.log.With("service", service, "stream", stream),

		of:      w.services[service],
		share:   w.services[service].share,
		pace:    w.services[service].pace,
		low:     make(chan struct{}, 1),
		leaving: make(chan struct{}, 1),
	}
}

// run pulls until ctx is done, whatever happens to NATS meanwhile. When it
// returns, every message that came has a slot or was given back.
func (l *lane) run(ctx, hard context.Context) {
	defer l.empty()
	select {
	case <-l.w.orders.loaded: // else a run that is cancelled would be started
	case <-ctx.Done():
	}
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

// empty gives back what still waits, once ctx is done.
func (l *lane) empty() {
	l.waiting.Wait()
	l.parked.Wait()
	for _, a := range l.w.pool.withdraw(l.share, func(a *attempt) bool { return a.lane == l }) {
		a.giveBack()
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

// consume binds to the consumer and pulls until something ends that.
func (l *lane) consume(ctx, hard context.Context) error {
	b, err := l.bind(ctx)
	if err != nil {
		return err
	}
	l.say(nil)
	l.bound.Store(b)
	l.held.every.Store(int64(b.consumer.CachedInfo().Config.AckWait / beatsInWait)) // whoever made it chose
	for {
		n := l.room(ctx, hard)
		if n == 0 {
			return nil
		}
		if err := l.pull(ctx, hard, b.consumer, n); err != nil {
			return fmt.Errorf("pull: %w", err)
		}
	}
}

// room waits until few of those that came are without a slot, and says how many
// messages to ask for now; 0 when ctx is done.
func (l *lane) room(ctx, hard context.Context) int {
	l.waiting.Wait() // ends with ctx, too
	if !l.thins(ctx) {
		return crowdPull
	}
	rated := l.pace.allows(ctx)
	for ctx.Err() == nil {
		l.learn()
		n, ok := l.w.pool.room(l, l.ahead/2)
		switch {
		case !ok:
			select {
			case <-l.low:
			case <-ctx.Done():
			}
		case n+l.ahead > 0:
			return min(n+l.ahead, maxPull, rated)
		case l.w.pool.await(ctx, &attempt{share: l.share}): // who comes first has it
			l.w.hands.start(hard, l.w.pool.leave(l.share))
			return 1
		}
	}
	return 0
}

// learn draws conclusions from the attempts that ended: so much is taken in ahead
// as is done in the time of one slow run.
func (l *lane) learn() {
	ended, took, slow := l.ended.Swap(0), l.took.Swap(0), l.slow.Swap(false)
	switch {
	case slow:
		l.ahead = 0
	case ended > 0:
		quick := int64(l.share.limit) * int64(slowRun) / max(took/ended, 1)
		l.ahead = int(min(int64(max(2*l.ahead, l.share.limit)), quick, maxPull))
	}
}

// unqueued counts one that no longer waits for a slot. The pool calls it.
func (l *lane) unqueued() {
	if l.queued--; l.queued == l.most {
		select {
		case l.low <- struct{}{}:
		default:
		}
	}
}

// pull takes in n messages as they come, however long that takes.
func (l *lane) pull(ctx, hard context.Context, c jetstream.Consumer, n int) error {
	l.pulling.Store(true)
	defer l.pulling.Store(false)
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
	if a.simple() && l.pace.now() {
		l.w.queue(hard, a)
		return nil
	}
	group := &l.waiting
	if a.ordered() {
		group = &l.parked
		l.park(a)
	}
	group.Go(func() {
		a.refusal = a.admit(ctx)
		if a.ordered() {
			l.unpark()
		}
		if a.refusal == nil {
			l.pace.wait(ctx)
		}
		switch {
		case errors.Is(a.refusal, errOver):
			a.dismiss()
		case errors.Is(a.refusal, errCrowd):
			a.giveBackFor(l.held.interval())
		case ctx.Err() != nil:
			a.giveBack()
		default:
			l.w.queue(hard, a)
		}
	})
	return nil
}

// thins waits until there is room for more that wait for runs of their jobs, and
// gives up after a while: in all that are held there may be none whose turn it
// is, but behind them, because it was given back or its worker died. What is
// delivered again comes before what is new.
func (l *lane) thins(ctx context.Context) bool {
	t := time.NewTimer(l.held.interval())
	defer t.Stop()
	for l.crowd.Load() >= maxParked && ctx.Err() == nil {
		select {
		case <-l.leaving:
		case <-ctx.Done():
		case <-t.C:
			return false
		}
	}
	return true
}

// park counts one that waits for runs of its job. Where they are too many the
// youngest is given back for a while.
func (l *lane) park(a *attempt) {
	if l.crowd.Add(1) <= maxParked {
		return
	}
	for _, b := range l.held.list() {
		if b.line.Load() != nil && b.rules.overlap == OverlapQueue && !b.crowded.Load() && b.key.sequence > a.key.sequence {
			a = b
		}
	}
	a.crowded.Store(true)
	if line := a.line.Load(); line != nil {
		line.poke()
	}
}

func (l *lane) unpark() {
	l.crowd.Add(-1)
	select {
	case l.leaving <- struct{}{}:
	default:
	}
}

// settled takes note of an attempt that ended.
func (l *lane) settled(took time.Duration) {
	l.touched.Store(true)
	l.ended.Add(1)
	l.took.Add(int64(took))
	if took > slowRun {
		l.slow.Store(true)
	}
}

// take makes an attempt of a message; nil when the worker has stopped, or has
// the message already.
func (l *lane) take(m jetstream.Msg) (*attempt, error) {
	d, err := l.arrived.read(m)
	if err != nil {
		return nil, err
	}
	if !l.w.open.enter() {
		return nil, m.Nak()
	}
	a := &attempt{
		w: l.w, of: l.of, share: l.share, held: &l.held, lane: l, msg: m, stored: d.stored,
		key:   key{l.bound.Load().created.UnixNano(), d.sequence},
		tries: tries{deliveries: d.count},
	}
	t, reply, err := readTrigger(&l.policies, l.service, m.Headers(), m.Data())
	if a.t = t; t.Run == "" {
		a.t.Run = a.place()
	}
	if err != nil {
		l.log.Warn("headers ignored", "run", a.t.Run, "error", err)
	}
	if reply != "" && CheckChannel(reply) == nil {
		a.reply = l.w.o.Namespace.ReplySubject(reply)
	}
	a.rules = l.of.rules(&a.t)
	if fresh, done := l.held.add(a); !fresh {
		l.w.open.leave()
		if done {
			return nil, m.Ack()
		}
		return nil, nil // the acknowledgement of its first delivery is as good
	}
	l.w.orders.tell(a) // one that comes from now on finds it among the held
	return a, nil
}

// gone says whether a consumer or its stream is no longer there.
func gone(err error) bool {
	return errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted) ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrNoResponders)
}
