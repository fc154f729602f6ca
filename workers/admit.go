package workers

import (
	"context"
	"errors"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats.go/jetstream"
)

// Where the leases of jobs and of seats are.
const (
	jobLease  = "lease.job."
	seatLease = "lease.seat."
)

// ordered says whether the runs of the attempt's job must not overlap.
func (a *attempt) ordered() bool { return a.rules.overlap != OverlapAllow && a.msg != nil }

// seats is how many runs of its service the fleet may have; 0 is no limit.
func (a *attempt) seats() int { return a.share.fleet }

// simple says whether an attempt may start as soon as there is a slot: nothing
// has to be asked of NATS before.
func (a *attempt) simple() bool { return !a.ordered() && a.seats() == 0 }

// admit has an attempt wait until the runs beside it allow it to start; it may
// take long, and the attempt has no slot meanwhile. An error is how the run ends
// without being started. When ctx is done first, it is ctx's cause, and the
// message is given back.
func (a *attempt) admit(ctx context.Context) error {
	if a.ordered() {
		if err := a.w.lines.wait(ctx, a, jobLease+a.t.Job, 0); err != nil {
			return err
		}
	}
	if n := a.seats(); n > 0 {
		return a.w.lines.wait(ctx, a, seatLease+Escape(a.t.Service), n)
	}
	return nil
}

// depart frees what admit has taken, before the attempt's message is let go. A
// run that is tried again keeps the turn of its job meanwhile.
func (a *attempt) depart(again bool, wait time.Duration) {
	ended := false
	for _, t := range a.tenures {
		if ours := t.release(again && !t.seat(), wait); ours && !t.seat() {
			ended = true
		}
	}
	a.tenures = nil
	if a.ordered() && !again && !ended && (a.rules.overlap == OverlapQueue || a.tries.again()) {
		a.note(a.pass)
	}
}

// pass writes that a run has ended without having the turn, which a queue would
// wait for, or which it had before it was to be tried again.
func (a *attempt) pass(ctx context.Context) error {
	b, err := a.w.leases.open(ctx)
	if err != nil {
		return err
	}
	key, m := jobLease+a.t.Job, a.message()
	for {
		e, err := b.Get(ctx, key)
		if err != nil && !errors.Is(err, kv.ErrNotFound) && e.Err == nil {
			return err
		}
		next := e.Value
		switch between := next.Run != "" && next.Holder == ""; {
		case between && next.Message.same(&m):
			next = next.after(a.rules.overlap)
		case a.rules.overlap == OverlapQueue:
			next = next.without(m)
		default:
			return nil
		}
		_, err = b.Write(ctx, kv.Change[lease]{Key: key, Value: next, Revision: e.Revision, TTL: leaseAge})
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
}

// first says whether no older message of the same queue is still to be run: all
// of them were acknowledged, or have ended.
func (c *candidate) first(ctx context.Context, l *lease) (bool, error) {
	m, lane := &c.message, c.a.lane
	passed := latest(l.Queued, m)
	if passed+1 >= m.Sequence {
		return true, nil
	}
	bound := lane.bound.Load()
	info, err := bound.consumer.Info(ctx)
	if err != nil {
		return false, err
	}
	if passed = max(passed, info.AckFloor.Stream); passed+1 >= m.Sequence {
		return true, nil
	}
	s, err := c.a.w.js.Stream(ctx, lane.stream)
	if err != nil {
		return false, err
	}
	first := true
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{lane.filter}, OptStartSeq: passed + 1, HeadersOnly: true}
	err = kv.ReadStream(ctx, s, cfg, false, func(older jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		if meta.Sequence.Stream >= m.Sequence {
			return false
		}
		h := older.Headers()
		if h.Get(HeaderJob) == c.a.t.Job && !l.gone(meta.Sequence.Stream, m) {
			p, err := parsePolicy(h.Get(HeaderPolicy))
			first = err != nil || p.Overlap != OverlapQueue
		}
		return first
	})
	return first, err
}
