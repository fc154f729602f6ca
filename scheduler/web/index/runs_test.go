package index_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/scheduler/web/index"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The last ten ends of a job's runs are known, whether they were there at the
// start or have come since.
func TestMarks(t *testing.T) {
	inBubble(t, func(h *house) {
		h.setup()
		h.put("a", every("", "s", "1h"))
		h.put("later", every("", "s", "1h"))
		began := time.Now()
		h.record(workers.Run{Run: "a@0", Job: "a", Service: "s", Outcome: workers.OutcomeOK, Started: began.Add(-25*time.Hour - time.Second), Finished: began.Add(-25 * time.Hour)})
		var want []index.Mark
		mark := func(i int) {
			r := workers.Run{
				Run: fmt.Sprint("a@", i), Job: "a", Service: "s", Outcome: workers.OutcomeOK, Attempt: 1,
				Started: began.Add(time.Duration(i) * time.Second), Finished: began.Add(time.Duration(i)*time.Second + 70*time.Millisecond),
			}
			switch i % 4 {
			case 1:
				r.Run, r.Channel, r.Outcome = "call:x", workers.ChannelCall, workers.OutcomeTimeout
			case 2:
				r.Outcome, r.Started = workers.OutcomeMissed, time.Time{}
			case 3:
				h.record(workers.Run{Run: r.Run, Job: "a", Service: "s", Outcome: workers.OutcomeFailed, Finished: r.Finished})
				r.Run = "a@007" // no due time
			}
			h.record(r)
			want = append(want, index.Mark{Outcome: r.Outcome, Run: r.Run, Finished: r.Finished, Took: r.Duration()})
		}
		for i := range 7 {
			mark(i)
		}
		h.record(workers.Run{Run: "a@1", Job: "a", Service: "s", Outcome: "glorious", Finished: began})
		_, err := h.js.Publish(h.Context(), "bellhop.run.a", []byte("no record"))
		h.ok(err)
		x := h.start()
		look := func() {
			t.Helper()
			synctest.Wait()
			j, _ := x.Job("a")
			if diff := cmp.Diff(want[max(0, len(want)-10):], j.Recent); diff != "" {
				t.Error(diff)
			}
		}
		look()
		for i := 7; i < 25; i++ {
			mark(i)
			look()
		}
		h.put("a", every("", "other", "1h")) // an edit keeps them
		look()

		// A record can come before its job.
		h.record(workers.Run{Run: "new@5", Job: "new", Service: "s", Outcome: workers.OutcomeDead, Finished: began})
		synctest.Wait()
		h.put("new", every("", "s", "1h"))
		h.until(x, "new is there", func() bool { _, ok := x.Job("new"); return ok })
		if j, _ := x.Job("new"); len(j.Recent) != 1 || j.Recent[0].Run != "new@5" {
			t.Errorf("%+v", j)
		}
	})
}

// What comes while the past is read is counted once.
func TestCountedOnce(t *testing.T) {
	h := newHouse(t)
	h.setup()
	h.put("a", every("", "s", "1h"))
	const before, during = 2000, 3000
	record := func(i int) {
		// Of a job of its own each, or the stream would drop the older ones.
		h.record(workers.Run{Run: fmt.Sprint("manual:", i), Job: fmt.Sprint("j", i), Service: "s", Outcome: workers.OutcomeOK, Attempt: 1, Finished: time.Now()})
	}
	for i := range before {
		record(i)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range during {
			record(before + i)
		}
	})
	x := h.start()
	wg.Wait()
	h.record(workers.Run{Run: "last@1", Job: "a", Service: "s", Outcome: workers.OutcomeDead, Finished: time.Now()})
	h.until(x, "the last one", func() bool { j, _ := x.Job("a"); return len(j.Recent) == 1 })
	runs := 0
	for _, m := range x.Minutes(10) {
		runs += m.Runs
	}
	if runs != before+during+1 {
		t.Errorf("%d runs are counted of %d", runs, before+during+1)
	}
}

func TestMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := index.New(nil, "", index.Options{})
		time.Sleep(30*time.Hour + 30*time.Second)
		now := time.Now()
		add := func(ago time.Duration, outcome string, late time.Duration, attempt int) {
			finished := now.Add(-ago)
			r := &workers.Run{Run: "1", Service: "s", Outcome: outcome, Attempt: attempt, Started: finished, Finished: finished}
			if late >= 0 {
				r.Due = finished.Add(-late)
			}
			x.Record(r)
		}
		add(0, "ok", 100*time.Millisecond, 1)
		add(-time.Hour, "ok", -1, 1) // of a machine whose clock is wrong
		add(time.Minute, "failed", time.Second, 1)
		add(time.Minute, "dead", time.Hour, 2)
		add(time.Minute, "missed", -1, 0)
		add(2*time.Minute, "skipped", -1, 1)
		add(90*time.Minute, "ok", 0, 1)
		add(24*time.Hour, "ok", 0, 1)
		add(1000*time.Hour, "ok", 0, 1)

		minutes := x.Minutes(3)
		second, tenth := index.RoundTrip(time.Second), index.RoundTrip(100*time.Millisecond)
		present := now.Truncate(time.Minute).UTC()
		want := []index.Minute{
			{From: present.Add(-2 * time.Minute), Runs: 1},
			{From: present.Add(-time.Minute), Runs: 1, Failures: 1, P50: second, P99: second},
			{From: present, Runs: 2, P50: tenth, P99: tenth},
		}
		if diff := cmp.Diff(want, minutes); diff != "" {
			t.Error(diff)
		}
		if p50, p99, n := x.Lateness(); p50 != tenth || p99 != second || n != 2 {
			t.Error(p50, p99, n)
		}
		hours := x.Hours()
		want = []index.Minute{
			{From: now.Truncate(time.Hour).Add(-2 * time.Hour).UTC(), Runs: 1},
			{From: now.Truncate(time.Hour).Add(-time.Hour).UTC(), Runs: 2, Failures: 1, P50: second, P99: second},
			{From: now.Truncate(time.Hour).UTC(), Runs: 2, P50: tenth, P99: tenth},
		}
		if diff := cmp.Diff(want, hours[21:]); diff != "" || len(hours) != 24 {
			t.Error(diff)
		}
		time.Sleep(48 * time.Hour)
		if len(x.Minutes(5000)) != 24*60 || len(x.Minutes(-1)) != 0 {
			t.Error("not 24 hours")
		}
		for _, m := range append(x.Minutes(5000), x.Hours()...) {
			if m.Runs > 0 || m.P99 > 0 {
				t.Errorf("%+v two days later", m)
			}
		}
	})
}

func TestLatenessClasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(17*time.Hour)).Draw(t, "lateness"))
		off := index.RoundTrip(d) - d
		if off.Abs() > max(d/15, time.Microsecond) {
			t.Fatalf("%v is taken for %v", d, index.RoundTrip(d))
		}
	})
	if got := index.RoundTrip(1 << 62); got < 17*time.Hour {
		t.Error(got)
	}
}
