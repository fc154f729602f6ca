package workers_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

// record stores a run record as a worker would.
func (h *house) record(r workers.Run) {
	h.t.Helper()
	b, err := json.Marshal(r)
	ok(h.t, err)
	_, err = h.js.Publish(h.t.Context(), workers.Namespace("").RunSubject(r.Job, r.Service), b)
	ok(h.t, err)
}

// How much is kept can be said anew, also of a stream that is there, and stays
// as it is when nothing is said.
func TestHistoryBounds(t *testing.T) {
	h := newHouse(t)
	for range 20 {
		h.record(workers.Run{Run: "j@1", Job: "j", Service: "s", Outcome: workers.OutcomeOK, Finished: time.Now()})
	}
	for _, tt := range []struct {
		say  workers.SetupOptions
		kept int64
		age  time.Duration
		left int
	}{
		{workers.SetupOptions{}, 100, 30 * 24 * time.Hour, 20},
		{workers.SetupOptions{RunsPerJob: 7}, 7, 30 * 24 * time.Hour, 7},
		{workers.SetupOptions{RunsAge: time.Minute}, 7, time.Minute, 7},
		{workers.SetupOptions{RunsAge: time.Hour}, 7, time.Hour, 7},
		{workers.SetupOptions{}, 7, time.Hour, 7},
	} {
		ok(t, workers.Setup(t.Context(), h.js, tt.say))
		s, err := h.js.Stream(t.Context(), "bellhop-runs")
		ok(t, err)
		c := s.CachedInfo().Config
		equal(t, "kept", c.MaxMsgsPerSubject, tt.kept)
		equal(t, "age", c.MaxAge, tt.age)
		equal(t, "records", len(h.records()), tt.left)
	}
}

func TestReadHistory(t *testing.T) {
	h := newHouse(t)
	began := time.Now().Add(-time.Hour).Truncate(time.Second)
	const all = 1000 // more than the first two pieces hold
	for i := range all {
		r := workers.Run{
			Run: fmt.Sprintf("manual:%d", i), Service: "a", Outcome: workers.OutcomeOK,
			Finished: began.Add(time.Duration(i) * time.Second),
		}
		switch {
		case i%100 == 7:
			r.Job, r.Run, r.Outcome = "daily", fmt.Sprintf("daily@%d", i), workers.OutcomeDead
		case i%3 == 0:
			r.Service = "b.c"
		}
		h.record(r)
	}
	_, err := h.js.Publish(t.Context(), "bellhop.run.stranger", []byte("not a record"))
	ok(t, err)

	history, err := workers.OpenHistory(t.Context(), h.js, "")
	ok(t, err)
	read := func(f workers.RunFilter) (ids []string) {
		for r, err := range history.Runs(t.Context(), f) {
			ok(t, err)
			ids = append(ids, r.Run)
		}
		return ids
	}
	// Of each service without a job, the last hundred are kept.
	equal(t, "records", len(read(workers.RunFilter{})), 10+100+100)
	for _, tt := range []struct {
		name string
		f    workers.RunFilter
		want []string
	}{
		{"a job's", workers.RunFilter{Job: "daily", Since: began.Add(700 * time.Second)}, []string{"daily@907", "daily@807", "daily@707"}},
		{"one run", workers.RunFilter{Run: "daily@307"}, []string{"daily@307"}},
		{"one run that was rung", workers.RunFilter{Run: "manual:999"}, []string{"manual:999"}},
		{"by outcome and time", workers.RunFilter{Outcome: "dead", Since: began.Add(400 * time.Second), Until: began.Add(607 * time.Second)}, []string{"daily@607", "daily@507", "daily@407"}},
		{"by service", workers.RunFilter{Service: "b.c", Since: began.Add(992 * time.Second)}, []string{"manual:999", "manual:996", "manual:993"}},
		{"none", workers.RunFilter{Job: "weekly"}, nil},
		{"a strange id", workers.RunFilter{Run: "no key.>@1"}, nil},
	} {
		if diff := cmp.Diff(tt.want, read(tt.f)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	n := 0
	for range history.Runs(t.Context(), workers.RunFilter{}) {
		if n++; n == 10 {
			break
		}
	}

	last, err := history.Last(t.Context())
	ok(t, err)
	h.record(workers.Run{Run: "1", Service: "a", Outcome: workers.OutcomeFailed})
	h.record(workers.Run{Run: "other", Service: "b"})
	h.record(workers.Run{Run: "2", Service: "a", Outcome: workers.OutcomeOK})
	var followed []string
	ok(t, history.Follow(t.Context(), workers.RunFilter{Service: "a"}, last, func(r *workers.Run) bool {
		followed = append(followed, r.Run)
		return r.Outcome != workers.OutcomeOK
	}))
	equal(t, "followed", fmt.Sprint(followed), "[1 2]")
}

func TestHistoryOfNothing(t *testing.T) {
	h := newEmptyHouse(t)
	if _, err := workers.OpenHistory(t.Context(), h.js, ""); err == nil {
		t.Error("no error without a stream")
	}
	h.setup()
	history, err := workers.OpenHistory(t.Context(), h.js, "")
	ok(t, err)
	for r, err := range history.Runs(t.Context(), workers.RunFilter{}) {
		t.Error(r, err)
	}
}
