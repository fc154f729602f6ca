package workers

import (
	"slices"
	"time"
)

// lease is an entry of the state bucket that says who has something of which
// there is only one: the turn of a job whose runs must not overlap, or a seat of
// a service with a limit for the whole fleet. All its writes are by
// compare-and-set.
//
// Whoever has it writes it again with every beat, and gives up when it could not
// for two of them. Whoever wants it and sees it unchanged for longer than that,
// by a clock of its own that no clock of another machine is compared with, takes
// it over.
type lease struct {
	// Run is whose it is; empty: nobody's.
	Run     string  `json:"run,omitempty"`
	Message message `json:"message,omitzero"` // the run's
	// Holder is the attempt's own random name; empty between two attempts.
	Holder string `json:"holder,omitempty"`
	Worker string `json:"worker,omitempty"`
	// Beat is how often the holder writes, in milliseconds.
	Beat int64 `json:"beat_ms,omitempty"`
	// Next asks the holder to make way for a newer run.
	Next *message `json:"next,omitempty"`
	// Ended are the latest messages, one of each queue, whose runs have ended after
	// they had the turn.
	Ended []message `json:"ended,omitempty"`
	// Queued are where the queues have come to: the runs of these messages, and of
	// all before them in the same queue, have ended.
	Queued []message `json:"queued,omitempty"`
	// Gone are some later messages whose runs have ended without the turn.
	Gone []message `json:"gone,omitempty"`
}

// message is where a run's message is, the same whenever it is delivered.
type message struct {
	Stream   string    `json:"stream"`
	Created  time.Time `json:"created"` // the stream
	Service  string    `json:"service"` // the job may have another one by now
	Sequence uint64    `json:"sequence"`
	Stored   time.Time `json:"stored"`
}

func (m *message) sibling(of *message) bool {
	return m.Stream == of.Stream && m.Created.Equal(of.Created)
}

// queue says whether both are of one queue: what a job has in one stream for one
// service. How far another service has come nobody knows; it may have no worker
// any more.
func (m *message) queue(of *message) bool { return m.sibling(of) && m.Service == of.Service }

func (m *message) same(as *message) bool { return m.sibling(as) && m.Sequence == as.Sequence }

// before orders messages by age: within a stream exactly, else as the server's
// clock says.
func (m *message) before(o *message) bool {
	if m.sibling(o) {
		return m.Sequence < o.Sequence
	}
	return m.Stored.Before(o.Stored)
}

func (a *attempt) message() message {
	m := message{Stream: a.place(), Service: a.t.Service, Stored: a.stored.UTC()} // of a direct call
	if a.lane != nil {
		m.Stream, m.Created, m.Sequence = a.lane.stream, a.created().UTC(), a.key.sequence
	}
	return m
}

// latest gives the sequence of the latest message of m's queue in a list that has
// one of each.
func latest(of []message, m *message) (sequence uint64) {
	for i := range of {
		if of[i].queue(m) {
			return of[i].Sequence
		}
	}
	return 0
}

// with gives such a list with m in it, and without what is older in its queue, or
// in one of a stream that was there before under its name.
func with(of []message, m message) []message {
	m.Sequence = max(m.Sequence, latest(of, &m))
	next := []message{m}
	for _, e := range of {
		if e.Stream != m.Stream || e.Service != m.Service {
			next = append(next, e)
		}
	}
	return next[:min(len(next), maxQueues)]
}

const (
	// maxQueues is how many queues are remembered, those of services that the job
	// had before among them.
	maxQueues = 16
	// maxGone is how many messages are remembered that never had the turn; what is
	// behind one that was forgotten waits until all before it is acknowledged.
	maxGone = 64
)

// over says whether the run of m has ended already, and m is here again because
// its acknowledgement was lost, or came after it had been sent again. Of other
// policies than queue only the latest is known.
func (l *lease) over(overlap string, m *message) bool {
	return slices.ContainsFunc(l.Ended, func(e message) bool { return e.same(m) }) ||
		overlap == OverlapQueue && (m.Sequence <= latest(l.Queued, m) || l.gone(m.Sequence, m))
}

// overtaken says whether a later run than that of m has had the turn.
func (l *lease) overtaken(m *message) bool {
	return slices.ContainsFunc(l.Ended, func(e message) bool { return e.sibling(m) && m.before(&e) })
}

// taken gives the lease when the run of m takes it. In a queue it is the first,
// so that all before it have ended, and from here on everybody knows that: one of
// them may just have been given to another worker, before its acknowledgement
// came, who would run it after m.
func (l *lease) taken(overlap, run string, m message) lease {
	before := m
	before.Sequence--
	next := l.past(overlap, before)
	next.Run, next.Message = run, m
	return next
}

// after gives the lease when the run that has it has ended: nobody's.
func (l *lease) after(overlap string) lease {
	next := l.past(overlap, l.Message)
	next.Ended = with(l.Ended, l.Message)
	return next
}

// past gives a lease that is nobody's, and what it knows when the queue of m has
// come to m.
func (l *lease) past(overlap string, m message) lease {
	next := lease{Ended: l.Ended, Queued: l.Queued, Gone: l.Gone}
	if overlap == OverlapQueue {
		next.Queued = with(l.Queued, m)
		next.Gone = slices.DeleteFunc(slices.Clone(l.Gone), func(g message) bool { return g.Sequence <= latest(next.Queued, &g) })
	}
	return next
}

// gone says whether the run of a message in m's queue has ended without having
// had the turn.
func (l *lease) gone(sequence uint64, m *message) bool {
	return slices.ContainsFunc(l.Gone, func(g message) bool { return g.queue(m) && g.Sequence == sequence })
}

// without gives the lease when the run of m has ended that never had it.
func (l *lease) without(m message) lease {
	next := *l
	next.Gone = append(slices.Clone(l.Gone), m)
	next.Gone = next.Gone[max(0, len(next.Gone)-maxGone):]
	return next
}

// verdict is what becomes of somebody who wants a lease.
type verdict int

const (
	waits   verdict = iota
	takes           // if it can be written
	skips           // it ends as skipped
	yields          // it ends as replaced: a newer run has the turn, or had it
	presses         // it asks the holder to make way, and waits
	leaves          // its run has ended already
)

// judge says what becomes of an attempt with an overlap policy. stale means that
// the holder has missed its beats, alive that it has just shown itself; both may
// be false.
func (l *lease) judge(overlap string, m *message, stale, alive bool) verdict {
	between := l.Holder == "" // its run waits for another attempt
	switch {
	case l.over(overlap, m):
		return leaves
	case overlap == OverlapReplace && l.overtaken(m):
		return yields
	case l.Run == "":
		return takes
	case l.Message.same(m): // delivered again: its worker died, froze, or let it go
		if between || stale {
			return takes
		}
		return waits
	case overlap == OverlapSkip && (between || alive):
		return skips
	case overlap == OverlapReplace && (m.before(&l.Message) || l.Next != nil && m.before(l.Next)):
		return yields
	case stale || overlap == OverlapReplace && between:
		return takes
	case overlap == OverlapReplace && (l.Next == nil || !l.Next.same(m)):
		return presses
	}
	return waits
}

// sight is how somebody who waits has seen a lease.
type sight struct {
	lease    lease
	revision uint64
	since    time.Time // it has this revision, by our own clock
	written  bool      // by its holder, since we look or just before
}

// see takes note of what the bucket has now.
func (s *sight) see(l lease, revision uint64, at time.Time) {
	if revision == s.revision && !s.since.IsZero() {
		return
	}
	seen := sight{lease: l, revision: revision, since: time.Now()}
	age := seen.since.Sub(at) // the server's clock may differ: never a reason to take over
	recent := -seen.beat() < age && age < seen.beat()
	seen.written = l.Holder != "" && (recent || l.Holder == s.lease.Holder)
	*s = seen
}

func (s *sight) beat() time.Duration { return time.Duration(s.lease.Beat) * time.Millisecond }

// alive says whether the holder has just shown itself.
func (s *sight) alive() bool { return s.written && time.Since(s.since) <= s.beat() }

// stale says whether the holder has missed its beats, and when it will have.
func (s *sight) stale() (bool, time.Time) {
	if s.lease.Holder == "" {
		return false, time.Time{}
	}
	at := s.since.Add(missedBeats*s.beat() + s.beat()/4)
	return !time.Now().Before(at), at
}

const (
	// missedBeats is how many a holder may miss.
	missedBeats = 2
	// leaseAge is how long an entry is kept that nobody writes any more.
	leaseAge = 7 * 24 * time.Hour
	// betweenSlack is how much longer than until its next attempt a run may keep
	// its lease.
	betweenSlack = 10 * time.Minute
)
