package scheduler

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// logEnd is what an opener has read before it opens.
type logEnd struct {
	hand    hand
	handSeq uint64 // 0 if there is no hand
	last    uint64
	broken  error // the hand cannot be read
}

// readEnd reads the last hand and then the last sequence, both from the
// stream's leader.
func readEnd(ctx context.Context, log jetstream.Stream, subject string) (logEnd, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	var e logEnd
	var err error
	e.hand, e.handSeq, err = readHand(ctx, log, subject)
	if errors.Is(err, errBrokenHand) {
		e.broken, err = err, nil
	}
	if err != nil {
		return e, err
	}
	info, err := log.Info(ctx)
	if err != nil {
		return e, fmt.Errorf("read the log's end: %w", err)
	}
	e.last = info.State.LastSeq
	return e, nil
}

// opened is an epoch that has just begun.
type opened struct {
	w    *writer
	hand hand // old claims, new epoch
	old  hand // the one before
	tail *tail
}

// leapLen is how far an opening moves the log's end: past whatever an older
// writer may have under way.
const leapLen = window + 1

// openLog makes this scheduler the log's only writer, or fails with errRefused
// when somebody else has opened the log since its end was read. It commits one
// atomic batch of identical hands with the old claims: once stored, nothing
// that an older writer has under way can be accepted, for all of it expects a
// sequence below the leap's end. One hand alone would not do: sequence numbers
// can meet by chance.
func (s *Scheduler) openLog(ctx context.Context, end logEnd) (*opened, error) {
	o := &opened{hand: s.nextHand(&end), old: end.hand}
	last, err := s.commitLeap(ctx, &o.hand, &end)
	for try := 1; errors.Is(err, errRefused) && try < openTries; try++ {
		// A stranger may have come between; another leader leaves another hand.
		before := end.handSeq
		if end, err = readEnd(ctx, s.log, s.ns.HandSubject()); err != nil {
			return nil, err
		}
		if end.handSeq != before {
			return nil, fmt.Errorf("open the log: %w", errRefused)
		}
		last, err = s.commitLeap(ctx, &o.hand, &end)
	}
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if o.tail, err = s.readTail(ctx, o.hand.Seq, end.last); err != nil {
		return nil, err
	}
	if err := s.catchUp(ctx, o.hand); err != nil {
		return nil, err
	}
	if o.w, err = newWriter(s.js, last); err != nil {
		return nil, err
	}
	return o, nil
}

// nextHand is the log's hand in this scheduler's name.
func (s *Scheduler) nextHand(end *logEnd) hand {
	h := end.hand
	if end.handSeq == 0 || end.broken != nil {
		h = hand{Time: nowStamp() + 1, Judged: nowStamp(), Seq: end.last}
		if end.last > 0 {
			s.logger.Error("the trigger log has lost its hand: nothing that was due before now is fired",
				"stream", s.ns.TriggersStream(), "last_sequence", end.last, "error", end.broken)
		}
	}
	h.Leader, h.Epoch, h.Released = s.name, end.hand.Epoch+1, false
	return h
}

// commitLeap stores the hand as often as it takes to leave every older writer
// behind, if the log's end is still where it was, and gives the new end.
func (s *Scheduler) commitLeap(ctx context.Context, h *hand, end *logEnd) (uint64, error) {
	msgs := make([]*nats.Msg, s.leap)
	for i := range msgs {
		msgs[i] = nats.NewMsg(s.ns.HandSubject())
		msgs[i].Data = h.bytes()
	}
	msgs[0].Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	msgs[0].Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(end.handSeq, 10))
	return commit(ctx, s.js, msgs, end.last)
}

// catchUp brings both views to where the hand says that they must have come
// before anything is fired.
func (s *Scheduler) catchUp(ctx context.Context, h hand) error {
	if err := s.jobs.catchUp(ctx, h.Revision); err != nil {
		return fmt.Errorf("catch up with the jobs: %w", err)
	}
	if err := s.state.catchUp(ctx, h.State); err != nil {
		return fmt.Errorf("catch up with the counts: %w", err)
	}
	return nil
}

// start brings the book to where the log stands, and begins to lead: every
// active job is entered in the agenda with its first due time past the hand.
// stretches are missed, and seq is after which sequence of the log that is
// certain.
func (b *book) start(o *opened, stretches []stretch, seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leading = true
	b.at, b.opened = o.hand.position(), o.hand.position()
	b.missed, b.tail = stretches, o.tail
	b.decided, b.sent, b.settled = seq, seq, seq-1
	b.agenda.clear()
	b.ended = map[string]ending{}
	b.dirty = map[*job]struct{}{}
	b.limits = map[limit]int64{}
	b.unstamped = map[string]struct{}{}
	for j := range b.jobs.all() {
		j.place, j.due, j.fired, j.newer = nowhere, Never, 0, j.revision > o.hand.Revision
		if j.count != nil {
			j.count.runs, _ = b.tallies[j.key()].counted(j)
		}
		if !j.kind.active {
			continue
		}
		if j.unstamped {
			b.unstamped[j.key()] = struct{}{}
		}
		if j.kind.missed == 'a' {
			b.bound(j, stretches)
		}
	}
	b.countTail(o.tail)
	for j := range b.jobs.all() {
		if !j.kind.active {
			continue
		}
		after := b.at.after(j.key())
		if j.newer && j.activated > 0 && !j.unstamped {
			after = max(after, j.activated)
		}
		if j.due = b.firstDue(j, after); j.due == Never {
			b.ended[j.key()] = ending{b.reason(j), seq}
			continue
		}
		b.agenda.add(j)
	}
	b.agenda.build()
}

// firstDue is next, unless the job has had its last run.
func (b *book) firstDue(j *job, after int64) int64 {
	if j.count != nil && j.count.runs >= j.count.max {
		return Never
	}
	return b.next(j, after)
}

// countTail adds to the counts what the tail holds past them.
func (b *book) countTail(t *tail) {
	for o, seq := range t.runs {
		j := b.jobs.get(o.key)
		if j == nil || j.count == nil || o.due <= j.activated {
			continue
		}
		if _, from := b.tallies[o.key].counted(j); seq > from {
			j.count.runs++
			b.dirty[j] = struct{}{}
		}
	}
}

// bound finds where an `all` job stops in each stretch.
func (b *book) bound(j *job, stretches []stretch) {
	plan := j.plan()
	for _, s := range stretches {
		if _, _, last, more := plan.Between(j.key(), j.within(s), int64(s.To), allLimit); more {
			b.limits[limit{j.key(), s.From}] = last
		}
	}
}

// certain tells whether the log has the last decision on what is missed: until
// then nothing rings, for a trigger in the log says that all before it was
// judged.
func (b *book) certain() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.decided <= b.settled
}

// stop ends what only a leader has.
func (b *book) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leading = false
	b.agenda, b.ended, b.dirty, b.limits, b.unstamped, b.tail = agenda{}, nil, nil, nil, nil, nil
	b.missed = nil
	clear(b.recorded)
	for j := range b.jobs.all() {
		j.place = nowhere
	}
}

// judge decides what was missed since somebody was last there: what fell due
// by judged fires, however late; of the rest, what fell due before the oldest
// scheduler still running was started, or longer ago than the grace, is
// missed.
func judge(judged, now stamp, grace, uptime time.Duration) (stretch, bool) {
	s := stretch{judged + 1, now - stamp(min(grace, uptime).Milliseconds())}
	return s, s.From < s.To
}
