package workers

import (
	"fmt"
	"testing"
	"time"
)

// A queue does not go back: once a run has the turn, no older one may have it,
// though it be delivered again, to somebody who does not know of its end, and
// whoever has the turn may die.
func TestLeaseOfAQueueDoesNotGoBack(t *testing.T) {
	at := func(sequence uint64) message {
		return message{Stream: "triggers", Service: "s", Sequence: sequence, Stored: time.Unix(int64(sequence), 0)}
	}
	first, second, third := at(3), at(7), at(9)
	l := lease{}
	see := func(what string, m message, want verdict) {
		t.Helper()
		if got := l.judge(OverlapQueue, &m, true, false); got != want {
			t.Errorf("%s: %d, not %d", what, got, want)
		}
	}
	l = l.without(second)
	see("the first may", first, takes)
	see("the second ended without the turn", second, leaves)
	l = l.taken(OverlapQueue, "first", first)
	see("its own next attempt", first, takes)
	see("the second still has ended", second, leaves)
	// The first's worker ends it and acknowledges it, but cannot give the turn back.
	l = l.taken(OverlapQueue, "third", third)
	see("the first is over", first, leaves)
	see("the second is over", second, leaves)
	see("the third comes again", third, takes)
	l = l.after(OverlapQueue)
	see("the third is over", third, leaves)
	see("what is behind it", at(10), takes)
	if len(l.Gone) > 0 {
		t.Errorf("%d are remembered behind which the queue is", len(l.Gone))
	}
	other := at(5)
	other.Service = "another"
	see("an older one of a service that the job had before", other, takes)
	l = l.taken(OverlapQueue, "another's", other)
	l = l.after(OverlapQueue)
	see("the third is over, though the queue of another service moves, too", third, leaves)
	see("and that one is", other, leaves)
	other = at(5)
	other.Created = time.Unix(1, 0)
	see("an older one of a stream that was made anew", other, takes)
}

// What replaces one another may be rung for different services.
func TestLeaseIsNotGivenBackToTheOld(t *testing.T) {
	older := message{Stream: "triggers", Service: "a", Sequence: 3, Stored: time.Unix(3, 0)}
	newer := message{Stream: "triggers", Service: "b", Sequence: 4, Stored: time.Unix(4, 0)}
	l := lease{}
	l = l.taken(OverlapReplace, "newer", newer)
	l = l.after(OverlapReplace)
	if got := l.judge(OverlapReplace, &older, false, false); got != yields {
		t.Errorf("the older: %d", got)
	}
	if got := l.judge(OverlapReplace, &newer, false, false); got != leaves {
		t.Errorf("the newer: %d", got)
	}
}

// What a lease remembers does not grow with the services that a job has had.
func TestLeaseStaysSmall(t *testing.T) {
	l := lease{}
	for i := range uint64(1000) {
		m := message{Stream: "triggers", Service: fmt.Sprint("s", i), Sequence: i + 1}
		l = l.without(m)
		l = l.taken(OverlapQueue, "r", m)
		l = l.after(OverlapQueue)
		if !l.over(OverlapQueue, &m) {
			t.Fatalf("%d is not over", i)
		}
	}
	if n := max(len(l.Ended), len(l.Queued), len(l.Gone)); n > maxGone {
		t.Errorf("%d are remembered", n)
	}
}
