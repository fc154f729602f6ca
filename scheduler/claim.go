package scheduler

import (
	"slices"
	"time"
)

const (
	// handEvery is how often a hand is appended, whether or not it has
	// anything new to claim: standbys watch the log's end.
	handEvery = 500 * time.Millisecond
	// handAfter is after how many triggers a hand is appended at the latest,
	// which bounds the tail.
	handAfter = 10_000
	// handLearned is how soon a hand follows a definition that was learned
	// and for which nobody waits. For a caller that waits it follows at once.
	handLearned = 50 * time.Millisecond
)

// mark is a place in the log that a hand may claim, once everything up to seq
// is acknowledged and the counts are stored.
type mark struct {
	seq      uint64
	at       position
	tail     uint64 // what follows it may hold occurrences past at; seq, or less
	revision uint64
	state    uint64
	tallies  []keyedTally
}

// claims is what a leader may say of the log, and what it has said.
//
//	agenda emptied ──► pending ──acknowledged──► saving ──counts stored──► claimed ──► hand
type claims struct {
	pending *mark
	saving  *mark
	claimed mark
	saved   chan savedTallies

	acked   uint64
	hand    hand      // the last one appended
	ours    uint64    // its sequence
	handAt  time.Time // when it was appended
	learned time.Time // when a definition became claimed that no hand tells of, zero if there is none
}

type savedTallies struct {
	revision uint64
	err      error
}

func newClaims(o *opened) claims {
	return claims{
		saved: make(chan savedTallies, 1), acked: o.w.last, hand: o.hand, ours: o.w.last,
		claimed: mark{tail: o.hand.Seq, at: o.hand.position(), revision: o.hand.Revision, state: o.hand.State},
	}
}

// mark notes how far the book has come with what was sent so far. One mark is
// under way at a time; a place in the middle of a backlog is as good as any,
// but not one that the agenda is still behind of. The caller holds the book's
// mu.
func (l *leader) mark() {
	b := l.b
	if l.pending != nil {
		return
	}
	if t := b.agenda.top(); t != nil && b.at.past(t.due, t.key()) {
		return // something learned late is due from before
	}
	m := &mark{seq: l.w.last, at: b.at, tail: l.w.last, revision: b.seen, tallies: b.takeTallies(l.w.last)}
	if b.tail != nil && b.tail.latest >= b.at.time {
		m.tail = l.claimed.tail // what the log holds past b.at must stay known
	}
	l.pending = m
}

// handDue tells whether a hand is to be appended now. One is under way at a
// time.
func (l *leader) handDue(now time.Time) bool {
	if l.ours > l.acked {
		return false
	}
	if l.claimed.revision > l.hand.Revision {
		if l.learned.IsZero() {
			l.learned = now
		}
		if l.s.promises.asked(l.hand.Revision) || now.Sub(l.learned) >= handLearned {
			return true
		}
	}
	return now.Sub(l.handAt) >= handEvery || l.since >= handAfter
}

// appendHand appends what is claimed.
func (l *leader) appendHand(now time.Time, released bool) error {
	c := &l.claimed
	h := hand{
		Leader: l.hand.Leader, Epoch: l.hand.Epoch,
		Time: c.at.time, Cursor: c.at.key, Revision: c.revision, Seq: c.tail, State: c.state,
		Judged: l.tick, Missed: l.b.unfinished(c.at), Released: released,
	}
	if err := l.w.append(handMsg(l.s.ns, &h)); err != nil {
		return err
	}
	l.hand, l.ours, l.handAt, l.learned, l.since = h, l.w.last, now, time.Time{}, 0
	return nil
}

// unfinished drops the missed stretches that are done with, which is when the
// log has come past them, their records are written and so is every end that
// they brought about.
func (b *book) unfinished(claimed position) []stretch {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.missed = slices.DeleteFunc(b.missed, func(s stretch) bool {
		done := claimed.time >= s.To && b.recorded[s]
		if done {
			delete(b.recorded, s)
		}
		return done
	})
	return slices.Clone(b.missed)
}
