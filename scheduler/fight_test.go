package scheduler

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fightFor is how long a fight lasts: BELLHOP_TEST_FIGHT, or the default.
func fightFor(t *testing.T, otherwise time.Duration) time.Duration {
	text := os.Getenv("BELLHOP_TEST_FIGHT")
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fight is several writers who open one log over and over, and append the
// numbers from 1 on: where one of them stands it reads from the hand and the
// tail. Each number must be in the log exactly once.
type fight struct {
	*testing.T
	urls      string
	replicas  int
	takeovers atomic.Int64
	stale     atomic.Int64 // refused messages
	strangers atomic.Int64
}

const fighters = 4

// run fights for that long, while disturb does what it does, and then looks at
// the log.
func (f *fight) run(d time.Duration, disturb func(context.Context)) {
	f.bring(d, f.begin, f.fighter, f.stranger, disturb)
	f.verify()
}

// bring has fighters fight for that long, once it has begun, while others do what
// they do.
func (f *fight) bring(d time.Duration, begin func(context.Context, *Scheduler) bool, fighter func(context.Context), others ...func(context.Context)) {
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	if s := f.corner(ctx); s == nil || !begin(ctx, s) {
		f.Fatal("cannot begin")
	}
	ctx, cancel = context.WithTimeout(f.Context(), d)
	defer cancel()
	var wg sync.WaitGroup
	for _, other := range others {
		wg.Go(func() { other(ctx) })
	}
	for range fighters {
		wg.Go(func() { fighter(ctx) })
	}
	wg.Wait()
}

// begin writes the first hand, at the number 0.
func (f *fight) begin(ctx context.Context, s *Scheduler) bool {
	for pause(ctx, retryWait) {
		if _, err := s.js.PublishMsg(ctx, handMsg(s.ns, &hand{Epoch: 1})); err == nil {
			return true
		}
	}
	return false
}

// corner connects one fighter.
func (f *fight) corner(ctx context.Context) *Scheduler {
	nc, err := nats.Connect(f.urls, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectBufSize(-1), nats.RetryOnFailedConnect(true), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		f.Error(err)
		return nil
	}
	f.Cleanup(nc.Close)
	s, err := New(nc, Options{Replicas: f.replicas})
	if err != nil {
		f.Error(err)
		return nil
	}
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, 2*time.Second) // while there is no meta leader, nobody answers
		err := s.bind(try)
		cancel()
		if err == nil {
			return s
		}
		pause(ctx, retryWait)
	}
	return nil
}

func (f *fight) fighter(ctx context.Context) {
	s := f.corner(ctx)
	for s != nil && ctx.Err() == nil {
		end, err := readEnd(ctx, s.log, s.ns.HandSubject())
		if err != nil {
			continue
		}
		pause(ctx, rand.N(20*time.Millisecond)) // somebody else may come first
		o, err := s.openLog(ctx, end)
		if err != nil {
			continue
		}
		f.takeovers.Add(1)
		refused, err := s.nc.Subscribe(o.w.prefix+"*", func(m *nats.Msg) {
			if bytes.Contains(m.Data, ackError) {
				f.stale.Add(1)
			}
		})
		if err != nil {
			f.Error(err)
			return
		}
		newBout(s, o).append(ctx)
		pause(ctx, rand.N(20*time.Millisecond)) // with messages under way
		o.w.close()
		pause(ctx, 50*time.Millisecond) // what is refused now is counted
		_ = refused.Unsubscribe()
	}
}

// bout is one fighter's epoch. A number is the due time of a trigger.
type bout struct {
	s       *Scheduler
	o       *opened
	w       *writer
	n       int64 // every number up to this is appended
	pending mark
	claimed mark
}

func newBout(s *Scheduler, o *opened) *bout {
	return &bout{
		s: s, o: o, w: o.w, n: int64(o.hand.Time),
		claimed: mark{at: position{time: o.hand.Time}, tail: o.hand.Seq},
	}
}

// append appends numbers, single ones and batches, until the epoch ends or it
// has had enough.
func (b *bout) append(ctx context.Context) {
	for rounds := 1 + rand.IntN(60); rounds > 0 && ctx.Err() == nil && b.w.err() == nil; rounds-- {
		if rand.IntN(8) == 0 {
			b.batch(ctx)
		} else {
			b.singles()
		}
		if rand.IntN(3) == 0 {
			b.await(ctx)
		}
		b.hand()
		if rand.IntN(6) == 0 {
			pause(ctx, rand.N(15*time.Millisecond)) // messages are under way, and more will follow
		}
	}
}

func (b *bout) singles() {
	for room := min(b.w.room()-1, rand.IntN(200)); room > 0; room-- {
		if b.w.append(b.next()) != nil {
			return
		}
	}
}

// await waits until everything is acknowledged, and tells whether it is.
func (b *bout) await(ctx context.Context) bool {
	for {
		switch acked, err := b.w.progress(); {
		case err != nil:
			return false
		case acked == b.w.last:
			return true
		}
		select {
		case <-b.w.wake:
		case <-time.After(ackWait):
		case <-ctx.Done():
			return false
		}
	}
}

func (b *bout) batch(ctx context.Context) {
	if !b.await(ctx) {
		return
	}
	msgs := make([]*nats.Msg, 1+rand.IntN(300))
	for i := range msgs {
		msgs[i] = b.next()
	}
	_ = b.w.batch(ctx, msgs) // a failure ends the epoch
}

// fighter is the job whose numbers are fought for.
var fighter = func() *job {
	j := keyed("n")
	j.kind = &kind{service: "fight", payload: -1}
	return j
}()

// next makes the trigger of the first number that is not in the log.
func (b *bout) next() *nats.Msg {
	for b.n++; b.o.tail.holds("n", b.n); b.n++ {
	}
	return trigger(b.s.ns, fighter, b.n)
}

// hand claims what is acknowledged.
func (b *bout) hand() {
	acked, err := b.w.progress()
	if err != nil || b.w.room() < 1 {
		return
	}
	if b.pending.seq <= acked {
		b.claimed = b.pending.or(b.claimed)
		b.pending = mark{seq: b.w.last, at: position{time: stamp(b.n)}, tail: b.w.last}
		if int64(b.o.tail.latest) > b.n {
			b.pending.tail = b.claimed.tail
		}
	}
	h := b.o.hand
	h.Time, h.Seq = b.claimed.at.time, b.claimed.tail
	_ = b.w.append(handMsg(b.s.ns, &h)) // a failure ends the epoch
}

// or is m, or otherwise if m was never set.
func (m mark) or(otherwise mark) mark {
	if m.seq == 0 {
		return otherwise
	}
	return m
}

// stranger writes into the log now and then.
func (f *fight) stranger(ctx context.Context) {
	s := f.corner(ctx)
	for s != nil && pause(ctx, rand.N(100*time.Millisecond)) {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		if _, err := s.js.Publish(wait, s.ns.TriggerSubject("x"), nil); err == nil {
			f.strangers.Add(1)
		}
		cancel()
	}
}

// verify opens the log a last time and reads all of it.
func (f *fight) verify() {
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	s := f.corner(ctx)
	if s == nil {
		f.Fatal("nobody answers any more")
	}
	err := f.fill(ctx, s)
	for err != nil && pause(ctx, retryWait) {
		err = f.fill(ctx, s)
	}
	if err != nil {
		f.Fatalf("the log cannot be filled: %v", err)
	}
	all, err := f.readAll(ctx, s)
	for err != nil && pause(ctx, retryWait) {
		all, err = f.readAll(ctx, s)
	}
	if err != nil {
		f.Fatalf("the log cannot be read: %v", err)
	}
	for n := int64(1); n <= int64(all.latest); n++ {
		if !all.holds("n", n) {
			f.Errorf("the number %d is missing", n)
		}
	}
	f.Logf("%d takeovers, %d triggers, %d refused messages, %d of strangers", f.takeovers.Load(), all.latest, f.stale.Load(), f.strangers.Load())
	if f.stale.Load() == 0 {
		f.Error("no stale message was refused: nobody has fought")
	}
	if f.takeovers.Load() < fighters || all.latest == 0 {
		f.Error("nobody has fought")
	}
}

// fill opens the log and appends what is missing of the numbers that are in it.
func (f *fight) fill(ctx context.Context, s *Scheduler) error {
	end, err := readEnd(ctx, s.log, s.ns.HandSubject())
	if err != nil {
		return fmt.Errorf("read the end: %w", err)
	}
	o, err := s.openLog(ctx, end)
	if err != nil {
		return fmt.Errorf("open at %d: %w", end.last, err)
	}
	defer o.w.close()
	b := newBout(s, o)
	for b.n < int64(o.tail.latest) {
		if b.w.room() == 0 && !b.await(ctx) || b.w.append(b.next()) != nil {
			return fmt.Errorf("append the number %d: %w", b.n, b.w.err())
		}
	}
	if !b.await(ctx) {
		return fmt.Errorf("wait for the numbers up to %d: %w", b.n, b.w.err())
	}
	return nil
}

// readAll reads the log and reports doubled numbers.
func (f *fight) readAll(ctx context.Context, s *Scheduler) (*tail, error) {
	all := &tail{runs: map[occurrence]uint64{}}
	begin, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	cons, err := s.js.OrderedConsumer(begin, s.ns.TriggersStream(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{s.ns.TriggerSubject("fight")}, HeadersOnly: true,
	})
	if err != nil {
		return nil, err
	}
	left := cons.CachedInfo().NumPending
	messages, err := cons.Messages(jetstream.PullMaxMessages(watchPrefetch))
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	for ; left > 0; left-- {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		o, ok := parseRunID(m.Headers().Get(workers.HeaderRun))
		if !ok {
			return nil, fmt.Errorf("message %d has no run id", meta.Sequence.Stream)
		}
		if before, ok := all.runs[o]; ok {
			f.Errorf("the number %d is doubled, at %d and %d", o.due, before, meta.Sequence.Stream)
		}
		all.add(m.Headers(), meta.Sequence.Stream)
	}
	return all, nil
}

// TestFight lets writers fight over a log on one server.
func TestFight(t *testing.T) {
	f := &fight{T: t, urls: natstest.StartProcess(t, natstest.ProcessOptions{}).URL, replicas: 1}
	f.run(fightFor(t, 10*time.Second), func(context.Context) {})
}

// TestFightOnCluster lets them fight on three servers, while the stream's
// leader steps down and servers are killed.
func TestFightOnCluster(t *testing.T) {
	servers := natstest.StartCluster(t, 3)
	f := &fight{T: t, urls: serverURLs(servers), replicas: 3}
	f.run(fightFor(t, 30*time.Second), func(ctx context.Context) { f.disturb(ctx, servers, workers.Namespace.TriggersStream) })
}
