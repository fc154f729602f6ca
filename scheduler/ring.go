package scheduler

import (
	"context"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
)

const (
	// batchMin is how many jobs must be due for a slow log to be given an
	// atomic batch.
	batchMin = 32
	// batchMax is how many messages a batch may hold: the server's bound.
	batchMax = 1000
)

// ring appends a trigger for every job that is due, as far as there is room.
func (l *leader) ring(ctx context.Context) error {
	b := l.b
	b.mu.Lock()
	l.batching = l.w.slow() && b.agenda.due(int64(l.tick), batchMin)
	if l.batching {
		b.mu.Unlock()
		return l.ringBatch(ctx)
	}
	defer b.mu.Unlock()
	for room := l.w.room(); ; room-- {
		j, due := b.pop(l.tick)
		if j == nil {
			break
		}
		if room <= 1 { // the last place is the hand's
			break
		}
		if !b.tail.holds(j.key(), due) {
			m := l.next.fill(j, due)
			l.trace(m, j, due)
			if err := l.w.append(m); err != nil {
				return err
			}
			l.rung(j, due)
		}
		b.passed(j, due, l.w.last)
	}
	l.mark()
	return nil
}

// ringBatch appends one atomic batch, once nothing else is under way: where
// every single write is synced to disk, a batch costs one sync.
func (l *leader) ringBatch(ctx context.Context) error {
	if l.acked < l.w.last {
		return nil
	}
	var msgs []*nats.Msg
	b, bytes := l.b, 0
	b.mu.Lock()
	for len(msgs) < batchMax && bytes < batchBytes {
		j, due := b.pop(l.tick)
		if j == nil {
			break
		}
		if !b.tail.holds(j.key(), due) {
			m := trigger(l.s.ns, j, due)
			l.trace(m, j, due)
			msgs, bytes = append(msgs, m), bytes+len(m.Data)
			l.rung(j, due)
		}
		b.passed(j, due, l.w.last+uint64(len(msgs)))
	}
	b.mu.Unlock()
	if len(msgs) > 0 {
		if err := l.w.batch(ctx, msgs); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l.mark()
	return nil
}

// trace gives a trigger its trace, if it is to have one.
func (l *leader) trace(m *nats.Msg, j *job, due int64) {
	if l.s.opts.Trace != nil {
		set(m.Header, workers.HeaderTrace, l.s.opts.Trace(j.kind.service, m.Header[workers.HeaderRun][0], stamp(due).Time()))
	}
}

// rung notes that a trigger was appended.
func (l *leader) rung(j *job, due int64) {
	j.fired = due
	if j.count != nil {
		j.count.runs++
		l.b.dirty[j] = struct{}{}
	}
	l.since++
	l.s.metrics.rung(l.tick, due)
}

// pop gives the job that is due first, if it is due by now; it stays in the
// agenda until it is passed. With none left, everything up to now is done.
func (b *book) pop(now stamp) (*job, int64) {
	b.agenda.draw(int64(now))
	j := b.agenda.top()
	if j == nil || j.due > int64(now) {
		if next := (position{now + 1, ""}); b.at.time < next.time {
			b.at = next
		}
		return nil, 0
	}
	return j, j.due
}

// passed moves the job to its next due time. seq is where its trigger will be
// in the log.
func (b *book) passed(j *job, due int64, seq uint64) {
	if !b.at.past(due, j.key()) {
		b.at = position{stamp(due), j.key()}
	}
	b.sent = seq
	b.schedule(j, due, seq)
}

// nextDue is when the next job is due, Never if none is.
func (b *book) nextDue() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.agenda.top(); t != nil {
		return t.due
	}
	return Never
}

// strike declares a stretch missed while leading: what lies in it is moved to
// where the jobs' policies say. seq is after which sequence that is certain.
func (b *book) strike(m stretch, seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missed, b.decided = append(b.missed, m), seq
	var hit []*job
	for t := b.agenda.top(); t != nil && t.due < int64(m.To); t = b.agenda.top() {
		b.agenda.remove(t)
		hit = append(hit, t)
	}
	for _, j := range hit {
		if j.kind.missed == 'a' {
			b.bound(j, []stretch{m})
		}
		if m.holds(j.due) {
			b.schedule(j, j.due-1, seq)
			continue
		}
		b.agenda.put(j)
	}
}
