package scheduler

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// leader is one epoch: the loop that rings. Its goroutine alone appends.
type leader struct {
	s *Scheduler
	b *book
	w *writer
	claims
	next     *blank         // the trigger that is appended next; a publish copies it
	batching bool           // a backlog waits for a batch
	tick     stamp          // when the loop last looked at the clock
	sure     stamp          // the same, once the log has all that was decided by then
	since    int            // triggers since the last hand
	saves    sync.WaitGroup // what it does beside the loop
}

// lead rings until ctx ends, when it releases the log and returns nil, or
// until the epoch ends, when it returns why.
func (s *Scheduler) lead(ctx context.Context, o *opened, a *api) error {
	saveCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &leader{s: s, b: s.book, w: o.w, tick: nowStamp(), claims: newClaims(o), next: newBlank(s.ns)}
	defer func() {
		o.w.close()
		cancel()
		l.saves.Wait()
		s.book.stop()
		s.ticked = max(s.ticked, l.sure)
	}()
	if err := l.begin(ctx, o); err != nil {
		return err
	}
	if err := a.start(ctx); err != nil { // not before the book is at what it answers from
		return err
	}
	s.leads(o.hand)
	records := newChronicle(s)
	l.saves.Go(func() { records.run(saveCtx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	var drained, recorded <-chan struct{}
	for stopped := ctx.Done(); ; {
		wait, err := l.step(saveCtx)
		if err != nil {
			return err
		}
		timer.Reset(wait)
		select {
		case <-stopped: // the requests under way still need the log
			drained, stopped = a.drain(), nil
		case <-drained:
			done := make(chan struct{}) // until then it rings
			l.saves.Go(func() {
				defer close(done)
				records.settle(saveCtx)
			})
			drained, recorded = nil, done
		case <-recorded:
			return l.release(saveCtx)
		case <-timer.C:
		case <-l.w.wake:
		case <-l.b.changed:
		case r := <-l.saved:
			if err := l.finishSave(r); err != nil {
				return err
			}
		}
	}
}

// begin judges what was missed, fills the agenda and appends the decision,
// before anything else, as the epoch's first hand.
func (l *leader) begin(ctx context.Context, o *opened) error {
	judged := max(o.hand.Judged, o.tail.latest)
	if o.old.Leader == l.s.name { // nobody else has led since
		judged = max(judged, l.s.ticked)
	}
	stretches := o.hand.Missed
	m, ok := judge(judged, l.tick, l.s.grace, time.Since(l.s.started))
	if ok { // unless another scheduler has been there for longer
		m, ok = judge(judged, l.tick, l.s.grace, l.s.uptime(ctx))
	}
	if ok {
		stretches = append(stretches, m)
		l.s.logger.Warn("nobody was there to ring: what fell due is missed", "from", m.From, "to", m.To)
	}
	if ahead := o.hand.Time - l.tick; ahead > 1000 {
		l.s.logger.Warn("the log is ahead of this machine's clock: waiting for the clock", "ahead", time.Duration(ahead)*time.Millisecond)
	}
	l.b.start(o, stretches, l.w.last+1)
	return l.appendHand(time.Now(), false)
}

// step does what there is to do and says for how long there will be nothing.
func (l *leader) step(ctx context.Context) (time.Duration, error) {
	if err := l.settle(ctx); err != nil {
		return 0, err
	}
	l.look()
	if l.b.certain() {
		if err := l.ring(ctx); err != nil {
			return 0, err
		}
	}
	if err := l.settle(ctx); err != nil {
		return 0, err
	}
	now := time.Now()
	if l.handDue(now) && l.w.room() > 0 {
		if err := l.appendHand(now, false); err != nil {
			return 0, err
		}
	}
	return l.wait(now), nil
}

// settle takes what was acknowledged: claims that may now be made, and with
// them the callers' replies.
func (l *leader) settle(ctx context.Context) error {
	acked, err := l.w.progress()
	if err != nil {
		return err
	}
	l.acked = acked
	if l.ours <= acked {
		l.s.promises.keep(l.hand.Revision)
		l.s.purgeable.Store(l.hand.Seq)
	}
	if l.b.settle(acked) {
		l.s.clerk.poke()
	}
	if l.b.certain() {
		l.sure = l.tick
	}
	if m := l.pending; m != nil && m.seq <= acked && l.saving == nil {
		l.pending = nil
		m.state = l.claimed.state
		if len(m.tallies) == 0 {
			l.claimed = *m
			return nil
		}
		l.saving = m
		l.saves.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, saveWait)
			defer cancel()
			rev, err := saveTallies(ctx, l.s.state.bucket, m.tallies)
			l.saved <- savedTallies{rev, err}
		})
	}
	return nil
}

// saveWait bounds the storing of counts; after it the epoch ends.
const saveWait = 5 * time.Second

// finishSave takes the result of storing counts.
func (l *leader) finishSave(r savedTallies) error {
	if r.err != nil {
		return fmt.Errorf("store the counts of jobs with max_runs: %w", r.err)
	}
	l.saving.state = max(l.saving.state, r.revision)
	l.claimed, l.saving = *l.saving, nil
	return nil
}

// look reads the clock. When it has leapt by more than the grace, the machine
// was suspended or its clock set: nobody was there to ring.
func (l *leader) look() {
	now := nowStamp()
	if time.Duration(now-l.tick)*time.Millisecond > l.s.grace {
		if m, ok := judge(l.tick, now, l.s.grace, l.s.grace); ok {
			l.b.strike(m, l.w.last+1)
			l.handAt = time.Time{} // the decision goes into a hand now
			l.s.logger.Warn("the clock has leapt: what fell due meanwhile is missed", "from", m.From, "to", m.To)
		}
	}
	l.tick = max(l.tick, now)
}

// wait is how long nothing will be due: neither a job nor a hand. Where only an
// acknowledgement helps, that wakes the loop.
func (l *leader) wait(now time.Time) time.Duration {
	d := handEvery
	if l.ours <= l.acked {
		d -= now.Sub(l.handAt)
		if !l.learned.IsZero() {
			d = min(d, handLearned-now.Sub(l.learned))
		}
	}
	if l.w.room() > 1 && !(l.batching && l.acked < l.w.last) && l.b.certain() {
		if due := l.b.nextDue(); due != Never {
			d = min(d, time.Until(time.UnixMilli(due)))
		}
	}
	return max(d, 0)
}

// releaseWait bounds how long a leader that was told to stop waits for its
// last acknowledgements.
const releaseWait = 3 * time.Second

// release waits for what is under way and appends a last hand that tells the
// others not to wait.
func (l *leader) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, releaseWait)
	defer cancel()
	for {
		if err := l.settle(ctx); err != nil {
			return err
		}
		if l.acked == l.w.last && l.saving == nil && l.pending == nil {
			if l.hand.Released {
				return nil
			}
			l.b.mu.Lock()
			l.mark()
			l.b.mu.Unlock()
			if l.pending == nil || len(l.pending.tallies) == 0 {
				if err := l.settle(ctx); err != nil {
					return err
				}
				if err := l.appendHand(time.Now(), true); err != nil {
					return err
				}
			}
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("release the log: %w", ctx.Err())
		case <-l.w.wake:
		case r := <-l.saved:
			if err := l.finishSave(r); err != nil {
				return err
			}
		}
	}
}
