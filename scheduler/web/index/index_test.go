package index_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/scheduler/web/index"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

// What is shown of a job is what is stored, but for the payload.
func TestJob(t *testing.T) {
	inBubble(t, func(h *house) {
		h.setup()
		h.put("My=20Sample", `{"service":"reports.daily","schedule":{"cron":"30 3 * * *","time_zone":"Europe/Prague"},"payload":"secret",
			"labels":{"team":"Blue","a=b":"c"},"description":"Makes the\nReport"}`)
		x := h.start()
		j, ok := x.Job("My=20Sample")
		if !ok {
			t.Fatal("no such job")
		}
		want := &index.Job{
			Key: "My=20Sample", Name: "My Sample", Service: "reports.daily",
			Schedule: scheduler.Schedule{Cron: "30 3 * * *", TimeZone: "Europe/Prague"}, State: scheduler.StateActive,
			Labels: map[string]string{"team": "Blue", "a=b": "c"}, Description: "Makes the\nReport",
			Revision: 1, Changed: j.Changed, Next: time.Date(2000, 1, 1, 2, 30, 0, 0, time.UTC),
		}
		if diff := cmp.Diff(want, j); diff != "" || j.Changed.IsZero() {
			t.Error(diff, j.Changed)
		}
		time.Sleep(3 * time.Hour) // the next time is that of the question
		if j, _ = x.Job("My=20Sample"); !j.Next.Equal(want.Next.AddDate(0, 0, 1)) {
			t.Errorf("next is %v", j.Next)
		}
		if _, ok := x.Job("none"); ok {
			t.Error("a job that is not there")
		}
	})
}

// The grid of an interval begins at the anchor, and where none counts, at the
// revision; as in a scheduler.
func TestAnchor(t *testing.T) {
	inBubble(t, func(h *house) {
		h.setup()
		time.Sleep(90 * time.Minute)
		h.put("stored", `{"service":"s","schedule":{"every":"1h"},"anchor":"2000-01-01T00:10:00Z"}`)
		h.put("none", `{"service":"s","schedule":{"every":"1h"}}`)
		h.put("again", `{"service":"s","schedule":{"every":"1h"},"anchor":"2000-01-01T00:10:00Z","reason":"completed"}`)
		h.put("off", `{"service":"s","schedule":{"every":"1h"},"active":false}`)
		x := h.start()
		for key, want := range map[string]string{"stored": "02:10", "none": "02:30", "again": "02:30", "off": "00:00"} {
			if j, _ := x.Job(key); j.Next.Format("15:04") != want {
				t.Errorf("%s: next is %v", key, j.Next)
			}
		}
	})
}

// Whatever somebody has put into the bucket is shown, and breaks nothing.
func TestHostile(t *testing.T) {
	inBubble(t, func(h *house) {
		h.setup()
		invalid := map[string]string{
			"no-json":    `[`,
			"empty":      ``,
			"binary":     "\xff\x00\xfe",
			"no-service": `{"schedule":{"every":"1s"}}`,
			"no-time":    `{"service":"s","schedule":{}}`,
			"other-name": `{"name":"` + strings.Repeat("x", 100_000) + `","service":"s","schedule":{"every":"1s"}}`,
			"=":          every("", "s", "1s"),
			"=41":        every("", "s", "1s"),
			"=FF":        every("", "s", "1s"),
			"a.b":        every("", "s", "1s"),
			"deep":       strings.Repeat("[", 10_000),
			"bad-cron":   `{"service":"s","schedule":{"cron":"99 * * * *"}}`,
		}
		for key, definition := range invalid {
			h.put(key, definition)
		}
		h.put("valid", `{"service":"s","schedule":{"every":"1s"},"active":false,"reason":"`+strings.Repeat("é", 5000)+`"}`)
		x := h.start()
		for key := range invalid {
			j, ok := x.Job(key)
			if !ok || j.State != scheduler.StateInactive || j.Reason != scheduler.ReasonInvalid || j.Error == "" || len(j.Error) > 1024 || !j.Next.IsZero() {
				t.Errorf("%s is shown as %+v", key, j)
			}
		}
		if j, _ := x.Job("valid"); len(j.Reason) > 64 || j.Error != "" {
			t.Errorf("the reason has %d bytes, error %q", len(j.Reason), j.Error)
		}
		c := x.Counts()
		if c.Total != len(invalid)+1 || c.Invalid != len(invalid) || c.Inactive != c.Total || c.Reasons[scheduler.ReasonInvalid] != len(invalid) || c.Services["s"] != 1 || len(c.Services) != 1 {
			t.Errorf("%+v", c)
		}
		if n := len(h.names(x, index.Query{Reason: scheduler.ReasonInvalid, Limit: 5})); n != len(invalid) {
			t.Errorf("%d invalid jobs are found", n)
		}
		if slots, err := x.Due(time.Now(), time.Now().Add(time.Hour), 4); err != nil || slots[0].Count != 0 {
			t.Error(slots, err)
		}
		h.put("no-json", every("no-json", "s", "1s")) // somebody mends it
		h.until(x, "mended", func() bool { return x.Counts().Invalid == len(invalid)-1 })
	})
}

func TestCounts(t *testing.T) {
	inBubble(t, func(h *house) {
		h.setup()
		h.put("a", every("a", "one", "1h"))
		h.put("b", every("b", "two", "1h"))
		x := h.start()
		h.put("c", every("c", "two", "1h"))
		h.put("d", `{"service":"one","schedule":{"at":"1999-01-01T00:00:00Z"},"active":false,"reason":"completed"}`)
		h.put("a", `{"service":"two","schedule":{"every":"1h"},"active":false}`)
		h.remove("b", "DEL")
		synctest.Wait()
		h.until(x, "b is gone", func() bool { _, ok := x.Job("b"); return !ok })
		want := index.Counts{
			Total: 3, Active: 1, Inactive: 2,
			Reasons:  map[string]int{"completed": 1, "deactivated": 1},
			Services: map[string]int{"one": 1, "two": 2},
		}
		if diff := cmp.Diff(want, x.Counts()); diff != "" {
			t.Error(diff)
		}
	})
}

// Deletions vanish, also those that came while nobody looked and of which no
// marker is left.
func TestDeletions(t *testing.T) {
	inBubble(t, func(h *house) {
		h.setup()
		for i := range 10 {
			h.put(fmt.Sprint("j", i), every("", "s", "1h"))
		}
		h.remove("j9", "PURGE")
		x := h.start()
		h.remove("j0", "DEL")
		h.remove("j1", "PURGE")
		h.until(x, "both are gone", func() bool { return x.Counts().Total == 7 })
		if diff := cmp.Diff([]string{"j2", "j3", "j4", "j5", "j6", "j7", "j8"}, h.names(x, index.Query{Limit: 2})); diff != "" {
			t.Error(diff)
		}

	})
}

// The bucket and the stream of records can be deleted and made anew, at once or
// after a while.
func TestMadeAnew(t *testing.T) {
	for _, away := range []time.Duration{0, time.Second, 50 * time.Second} {
		inBubble(t, func(h *house) {
			h.setup()
			ended := func(run string) {
				h.record(workers.Run{Run: run, Job: "same", Service: "s", Outcome: workers.OutcomeOK, Finished: time.Now()})
			}
			for i := range 10 {
				h.put(fmt.Sprint("j", i), every("", "s", "1h"))
				ended(fmt.Sprint("old", i))
			}
			h.put("same", every("", "s", "1h"))
			x := h.start()
			time.Sleep(time.Second) // no two streams are made at the same time
			h.ok(h.js.DeleteStream(h.Context(), "KV_bellhop-jobs"))
			h.ok(h.js.DeleteStream(h.Context(), "bellhop-runs"))
			time.Sleep(away)
			h.setup()
			h.put("same", every("", "s", "2h"))
			ended("new")
			h.until(x, "both are others", func() bool {
				j, ok := x.Job("same")
				return ok && x.Counts().Total == 1 && len(j.Recent) == 1 && j.Recent[0].Run == "new"
			})
			if diff := cmp.Diff([]string{"same"}, h.names(x, index.Query{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An index waits until something is set up, and goes on after the server was
// away; what it knows is answered all the while.
func TestAway(t *testing.T) {
	inBubble(t, func(h *house) {
		x := h.launch()
		short, cancel := context.WithTimeout(h.Context(), 5*time.Second)
		defer cancel()
		if err := x.Ready(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("ready without a bucket: %v", err)
		}
		h.setup()
		h.ready(x)
		h.put("a", every("", "s", "1h"))
		h.record(workers.Run{Run: "a@1", Job: "a", Service: "s", Outcome: workers.OutcomeOK, Attempt: 1, Finished: time.Now()})
		h.until(x, "a has run", func() bool { j, ok := x.Job("a"); return ok && len(j.Recent) == 1 })
		for i := range 3 {
			h.s.Down()
			time.Sleep(time.Duration(i*i) * 20 * time.Second)
			if x.Counts().Total != 1+i {
				t.Errorf("%+v", x.Counts())
			}
			h.s.Up()
			for h.nc.Flush() != nil { // until it is connected again
				time.Sleep(time.Second)
			}
			h.put(fmt.Sprint("b", i), every("", "s", "1h"))
			h.record(workers.Run{Run: fmt.Sprint("a@", i), Job: "a", Service: "s", Outcome: workers.OutcomeDead, Attempt: 1, Finished: time.Now()})
			h.until(x, "all is followed again", func() bool {
				j, _ := x.Job("a")
				return x.Counts().Total == 2+i && len(j.Recent) == 2+i
			})
		}
		runs := 0
		for _, m := range x.Minutes(10) {
			runs += m.Runs
		}
		if runs != 4 {
			t.Errorf("%d runs are counted", runs)
		}
	})
}

func TestSubscribe(t *testing.T) {
	inBubble(t, func(h *house) {
		h.setup()
		x := h.start()
		synctest.Wait()
		ctx, cancel := context.WithCancel(h.Context())
		events := x.Subscribe(ctx)
		idle := x.Subscribe(ctx) // nobody reads it, and nothing waits for that
		h.put("a", every("", "s", "1h"))
		if e := <-events; e != (index.Event{Jobs: true}) {
			t.Errorf("%+v", e)
		}
		began := time.Now()
		for i := range 20 {
			h.put(fmt.Sprint("b", i), every("", "s", "1h"))
		}
		h.record(workers.Run{Run: "1", Service: "s", Outcome: workers.OutcomeOK, Finished: time.Now()})
		if e := <-events; e != (index.Event{Jobs: true, Runs: true}) || time.Since(began) < 400*time.Millisecond {
			t.Errorf("%+v after %v", e, time.Since(began))
		}
		time.Sleep(time.Minute)
		select {
		case e := <-events:
			t.Errorf("%+v, and nothing has changed", e)
		default:
		}
		cancel()
		if _, ok := <-events; ok {
			t.Error("an event after the end")
		}
		for range idle {
		}
	})
}
