package scheduler

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

// leading is a book whose leader has come to a time.
func leading(t *testing.T, at int64) *book {
	t.Helper()
	b := newBook()
	h := hand{Time: stamp(at)}
	b.start(&opened{hand: h, tail: &tail{}}, nil, 1)
	b.settled = 1
	return b
}

// put is a revision of a job as the watch brings it.
func put(revision uint64, created int64, def string) kv.Entry[[]byte] {
	return kv.Entry[[]byte]{Key: "job", Value: []byte(def), Revision: revision, Created: time.UnixMilli(created)}
}

// TestLateWatch: a watch that lags behind a direct read brings back nothing
// that has been deleted since.
func TestLateWatch(t *testing.T) {
	b := leading(t, 1000)
	def := `{"service":"s","schedule":{"every":"1s"},"anchor":"1970-01-01T00:00:01Z","activated":"1970-01-01T00:00:01Z"}`
	b.learn(put(1, 1000, def))
	b.learn(kv.Entry[[]byte]{Key: "job", Revision: 3, Deleted: true}) // read from the stream's leader
	b.learn(put(2, 1001, def))                                        // late
	if _, ok := b.lookup("job"); ok {
		t.Error("a deleted job is back")
	}
}

// TestEditUnderWay: an edit of a job whose last trigger is under way does not
// end it before the log has the trigger.
func TestEditUnderWay(t *testing.T) {
	b := leading(t, 1000)
	def := `{"service":"s","schedule":{"at":"1970-01-01T00:00:02Z"},"activated":"1970-01-01T00:00:01Z"}`
	b.learn(put(1, 1000, def))
	j, due := b.pop(2000)
	if j == nil || due != 2000 {
		t.Fatalf("the job is not due: %v %d", j, due)
	}
	b.passed(j, due, 7)
	b.learn(put(2, 2000, def))
	b.settle(6)
	if es := b.edits(); len(es) != 0 {
		t.Error("the job has ended before its trigger is acknowledged")
	}
	b.settle(7)
	if es := b.edits(); len(es) != 1 {
		t.Errorf("%d edits once the trigger is acknowledged, not 1", len(es))
	}
}

// TestCopiedActivation: what people write with an activation from long ago, as
// they have copied it, begins now.
func TestCopiedActivation(t *testing.T) {
	const day = 86_400_000
	def := `{"service":"s","schedule":{"every":"1s","start":"1970-01-01T00:00:00Z"},"activated":"1970-01-01T00:00:01Z"`
	for name, before := range map[string][]string{
		"new":         nil,
		"deactivated": {def + `,"active":false}`},
		"broken":      {def + `,"missed":"what"}`},
	} {
		t.Run(name, func(t *testing.T) {
			b := leading(t, day)
			revision := uint64(1)
			for _, d := range before {
				b.learn(put(revision, day, d))
				revision++
			}
			b.learn(put(revision, day, def+"}"))
			if j, ok := b.lookup("job"); !ok || j.due < day {
				t.Errorf("due at %d, before it was written", j.due)
			}
		})
	}
}

// TestClaimWithinTail: a claim in the middle of what the log held at its
// opening must not make the rest of that forgotten.
func TestClaimWithinTail(t *testing.T) {
	b := leading(t, 1000)
	b.tail = &tail{runs: map[occurrence]uint64{{"job", 5000}: 9}, latest: 5000}
	l := &leader{b: b, w: &writer{last: 600}, claims: claims{claimed: mark{tail: 8}}}
	l.mark()
	if l.pending.tail != 8 {
		t.Errorf("the claim's tail begins after %d: the occurrence at 5000 would be rung again", l.pending.tail)
	}
	b.at = position{5001, ""}
	l.pending = nil
	if l.mark(); l.pending.tail != 600 {
		t.Errorf("the claim's tail begins after %d, not 600", l.pending.tail)
	}
}

// TestDecisionComesFirst: nothing rings before the log has the decision on
// what was missed.
func TestDecisionComesFirst(t *testing.T) {
	b := leading(t, 1000)
	b.strike(stretch{1000, 2000}, 5)
	if b.certain() {
		t.Error("certain before the decision is in the log")
	}
	b.settle(5)
	if !b.certain() {
		t.Error("not certain though the decision is in the log")
	}
}

// A revision takes the place of the one before, of which nothing is left but what the
// job itself has done.
func TestRevisionTakesThePlace(t *testing.T) {
	b, revision := newBook(), uint64(0)
	start := ms("2026-01-01T00:00:00Z")
	b.start(&opened{hand: hand{Time: stamp(start)}, tail: &tail{}}, nil, 1)
	learn := func(def string) {
		revision++
		b.learn(kv.Entry[[]byte]{
			Key: "j", Revision: revision, Deleted: def == "", Value: []byte(def),
			Created: time.UnixMilli(start + int64(revision)*1000),
		})
	}
	const counted = `{"service":"s","schedule":{"every":"1s","max_runs":5}}`
	ring := func(at int64) {
		b.mu.Lock()
		defer b.mu.Unlock()
		j, due := b.pop(stamp(at))
		if j == nil {
			t.Fatal("nothing is due")
		}
		j.fired = due
		if j.count != nil {
			j.count.runs++
			b.dirty[j] = struct{}{}
		}
		b.passed(j, due, 2)
	}
	left := func() (string, int) { // what is stored of its count, and how many edits there are
		b.mu.Lock()
		defer b.mu.Unlock()
		b.settled = 10
		return fmt.Sprint(b.takeTallies(1)), len(b.edits())
	}

	for _, next := range []string{"", `{"service":"s","schedule":{"every":"1h","start":"2026-01-01T00:00:00Z"},"anchor":"2026-01-01T00:00:00.000Z"}`} {
		learn(counted) // which is not stamped yet
		ring(start + 60_000)
		learn(next)
		if tallies, edits := left(); tallies != "[]" || edits != 0 {
			t.Errorf("after %q: %s and %d edits are left", next, tallies, edits)
		}
	}

	const once = `{"service":"s","schedule":{"at":"2026-01-01T00:00:05Z"}%s}`
	learn("")
	learn(fmt.Sprintf(once, ""))
	ring(start + 60_000)
	revision += 60
	learn(fmt.Sprintf(once, `,"description":"edited later"`))
	if e := b.ended["j"]; e.reason != ReasonCompleted {
		t.Errorf("what was rung and edited has ended for %q", e.reason)
	}
}

// The keys are put in order once, until one comes or goes.
func TestOrderIsKept(t *testing.T) {
	b, revision := newBook(), uint64(0)
	learn := func(key string, deleted bool) {
		revision++
		b.learn(kv.Entry[[]byte]{Key: key, Revision: revision, Deleted: deleted, Value: []byte(`{"service":"s","schedule":{"every":"1m"}}`)})
	}
	for _, key := range []string{"b", "c", "a"} {
		learn(key, false)
	}
	first := b.order()
	learn("b", false)
	if again := b.order(); !slices.Equal(first, []string{"a", "b", "c"}) || &again[0] != &first[0] {
		t.Errorf("%v, and after an edit anew %v", first, again)
	}
	if learn("b", true); !slices.Equal(b.order(), []string{"a", "c"}) {
		t.Errorf("without b: %v", b.order())
	}
	learn("d", false)
	if now := b.order(); !slices.Equal(now, []string{"a", "c", "d"}) || !slices.Equal(first, []string{"a", "b", "c"}) {
		t.Errorf("%v, which were %v", now, first)
	}
}

// A key that comes while the others are put in order is not forgotten.
func TestOrderHasWhatCameMeanwhile(t *testing.T) {
	b := newBook()
	learn := func(i int) {
		b.learn(kv.Entry[[]byte]{Key: fmt.Sprint("job-", i), Revision: uint64(i), Value: []byte(`{"service":"s","schedule":{"every":"1m"}}`)})
	}
	n := 0
	for ; n < 5000; n++ {
		learn(n + 1)
	}
	for range 100 {
		var both sync.WaitGroup
		learn(n + 1) // so that the keys have to be put in order
		both.Go(func() { b.order() })
		both.Go(func() {
			for range rand.IntN(5000) { // it shall come at any moment
				runtime.Gosched()
			}
			learn(n + 2)
		})
		both.Wait()
		n += 2
		if got := len(b.order()); got != n {
			t.Fatalf("%d keys are in order, of %d", got, n)
		}
	}
}
