package scheduler

import (
	"testing"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/kv/natstest"
)

// newBound gives a scheduler that knows its streams and buckets, and does not run.
func newBound(t *testing.T) *Scheduler {
	t.Helper()
	s, err := New(natstest.Start(t).Connect(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// Whoever opens the log has seen the bucket as far as the last hand had, even
// when no watch has told it anything yet.
func TestOpeningPassesTheFloor(t *testing.T) {
	s := newBound(t)
	revision, err := s.jobs.bucket.Create(t.Context(), "j", []byte(`{"service":"s","schedule":{"every":"1h"}}`))
	if err != nil {
		t.Fatal(err)
	}
	state, err := s.state.bucket.Create(t.Context(), tallyPrefix+"j", tally{Runs: 7, Seq: 1}.bytes())
	if err != nil {
		t.Fatal(err)
	}
	h := hand{Leader: "another", Epoch: 3, Time: nowStamp(), Judged: nowStamp(), Revision: revision, State: state}
	if _, err := s.js.PublishMsg(t.Context(), handMsg(s.ns, &h)); err != nil {
		t.Fatal(err)
	}
	end, err := readEnd(t.Context(), s.log, s.ns.HandSubject())
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.openLog(t.Context(), end)
	if err != nil {
		t.Fatal(err)
	}
	defer o.w.close()
	if _, ok := s.book.lookup("j"); !ok || s.book.view() < revision {
		t.Errorf("opened with a view at %d, the hand's is %d", s.book.view(), revision)
	}
	if s.book.viewState() < state || s.book.tallies["j"].Runs != 7 {
		t.Errorf("opened with counts at %d, the hand's are at %d", s.book.viewState(), state)
	}
}

// What a count owes to the tail is stored again: the next hand moves past the
// tail, and the count would go back.
func TestACountFromTheTailIsStored(t *testing.T) {
	b := newBook()
	b.learn(kv.Entry[[]byte]{Key: "j", Revision: 1, Value: []byte(
		`{"service":"s","schedule":{"every":"1s","max_runs":3},"anchor":"2026-01-01T00:00:00Z","activated":"2026-01-01T00:00:00Z"}`)})
	at := stamp(ms("2026-01-01T00:00:01Z"))
	tail := &tail{runs: map[occurrence]uint64{{"j", int64(at)}: 6}, latest: at}
	b.start(&opened{hand: hand{Time: at - 10, Revision: 1, Seq: 5}, tail: tail}, nil, 20)
	ts := b.takeTallies(20)
	if len(ts) != 1 || ts[0].key != "j" || ts[0].Runs != 1 || ts[0].Seq != 20 {
		t.Errorf("to be stored: %+v, want one run of j at 20", ts)
	}
}
