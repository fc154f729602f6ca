package bench

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestHistogram compares with sorting, after it was sent and put together.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 200).Draw(t, "durations")
		halves := make([]Histogram, 2)
		for i, d := range all {
			halves[i%2].Add(time.Duration(d))
		}
		var sum Histogram
		for _, h := range halves {
			b, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			var sent Histogram
			if err := json.Unmarshal(b, &sent); err != nil {
				t.Fatal(err)
			}
			sum.Merge(&sent)
		}
		slices.Sort(all)
		if sum.Count() != int64(len(all)) || sum.Most != time.Duration(all[len(all)-1]) {
			t.Fatalf("%d of them, at most %v", sum.Count(), sum.Most)
		}
		q := rapid.Float64Range(0.01, 1).Draw(t, "q")
		at := 0
		for float64(at+1) < q*float64(len(all)) {
			at++
		}
		want, got := float64(all[at]), float64(sum.At(q))
		if got < want || got > want*1.02+1 {
			t.Errorf("at %v: %v instead of %v", q, time.Duration(got), time.Duration(want))
		}
	})
}

// TestSettle takes the medians of an odd and an even number of runs.
func TestSettle(t *testing.T) {
	r := Row{}
	for _, v := range []float64{3, 1, 200} {
		r.Samples = append(r.Samples, Sample{Figure{Value: v, P99: v * 10}, Figure{Value: 2}})
	}
	r.settle()
	if r.Runs != 3 || r.Bellhop != (Figure{Value: 3, P99: 30}) || r.Ratio != 1.5 {
		t.Errorf("of three it takes %+v", r)
	}
	r.Samples = r.Samples[:2]
	r.settle()
	if r.Runs != 2 || r.Bellhop.Value != 2 || r.Ratio != 1 {
		t.Errorf("of two it takes %+v", r)
	}
}

// TestCount finds what a log lacks and what it has twice.
func TestCount(t *testing.T) {
	anchor := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := &failover{n: 2, period: time.Second, anchor: anchor, from: anchor.Add(time.Second), to: anchor.Add(2 * time.Second)}
	// job 0 is due at 1 s and 2 s, job 1 at 1.5 s
	for _, run := range []string{"job-0000000@1767225601000", "job-0000001@1767225601500", "job-0000001@1767225601500"} {
		f.log = append(f.log, rung{run: run})
	}
	lost, doubled, expected, err := f.count()
	if err != nil || lost != 1 || doubled != 1 || expected != 3 {
		t.Errorf("%d lost, %d doubled of %d: %v", lost, doubled, expected, err)
	}
}

// TestTakeovers measures from a kill to the end of the gap that it has made.
func TestTakeovers(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	f := &failover{killed: []time.Time{at(100), at(3000)}, to: at(6000)}
	for _, ms := range []int{99, 101, 2201, 2202, 2900, 3001, 5100, 5101} {
		f.log = append(f.log, rung{stored: at(ms)})
	}
	if got := f.takeovers(); !slices.Equal(got, []time.Duration{2101 * time.Millisecond, 2100 * time.Millisecond}) {
		t.Errorf("they took %v", got)
	}
}
