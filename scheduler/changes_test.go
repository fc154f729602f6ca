package scheduler_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// changes are the records, the oldest first.
func (h *house) changes(f scheduler.ChangeFilter) (all []scheduler.Placed) {
	h.Helper()
	c, err := scheduler.OpenChanges(h.Context(), h.js, "")
	h.ok(err)
	for p, err := range c.List(h.Context(), f) {
		h.ok(err)
		all = append(all, p)
	}
	slices.Reverse(all)
	return all
}

// told writes a change in a line.
func told(c scheduler.Change) string {
	var fields []string
	for _, f := range c.Fields {
		if f.Omitted {
			fields = append(fields, f.Field)
			continue
		}
		fields = append(fields, fmt.Sprintf("%s:%s>%s", f.Field, f.From, f.To))
	}
	by := c.By
	if c.Via == "scheduler" {
		by = "-"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s/%s %s", c.Job, c.Verb, by, c.Via, strings.Join(fields, " ")))
}

// recorded waits until there are n records, on the bubble's clock: each look at them
// is one at all that there are, which nothing tells the end of.
func (h *house) recorded(n int) (all []scheduler.Placed) {
	h.Helper()
	for range 100 {
		if all = h.changes(scheduler.ChangeFilter{}); len(all) >= n {
			return all
		}
		time.Sleep(100 * time.Millisecond) // in a bubble: nobody waits for it
	}
	h.Fatalf("%d changes are recorded, want %d", len(all), n)
	return nil
}

// TestChanges follows a job through everything that can happen to it.
func TestChanges(t *testing.T) {
	inBubble(t, func(h *house) {
		defer h.start(scheduler.Options{})()
		ann := h.client.With(scheduler.Terms{By: "ann", Via: "cli"})
		job := &scheduler.Job{
			Name: "a b", Service: "s", Payload: scheduler.Text("secret-1"),
			Schedule: scheduler.Schedule{At: time.Now().Add(time.Hour)},
		}
		first, err := ann.Create(h.Context(), job)
		h.ok(err)
		second, err := ann.Update(h.Context(), "a b", 0, map[string]json.RawMessage{
			"service": scheduler.Text("t"), "payload": scheduler.Text("secret-2"), "description": scheduler.Text(strings.Repeat("d", 2000)),
		})
		h.ok(err)
		_, err = h.client.Deactivate(h.Context(), "a b")
		h.ok(err)
		_, err = h.client.Deactivate(h.Context(), "a b") // which changes nothing
		h.ok(err)
		bob := h.client.With(scheduler.Terms{By: "bob\r\nX: y\x00" + strings.Repeat("b", 300), Via: "http"})
		_, err = bob.Activate(h.Context(), "a b", nil)
		h.ok(err)
		time.Sleep(2 * time.Hour) // it runs, and is completed
		jobs, err := h.js.KeyValue(h.Context(), "bellhop-jobs")
		h.ok(err)
		h.recorded(5)
		_, err = jobs.Put(h.Context(), "by=20hand", []byte(`{"service":"s","payload":"secret-3","schedule":{"every":"1h"}}`))
		h.ok(err)
		h.recorded(7) // with its anchor
		h.ok(jobs.Delete(h.Context(), "by=20hand"))
		h.recorded(8)
		h.ok(h.client.With(scheduler.Terms{By: "eve"}).Delete(h.Context(), "a b"))
		all := h.recorded(9)
		var got []string
		was := map[string]uint64{}
		for _, p := range all {
			got = append(got, told(p.Change))
			if p.Was != was[p.Job] && p.Verb != scheduler.ChangeDeleted {
				t.Errorf("%s: was %d, want %d", told(p.Change), p.Was, was[p.Job])
			}
			if was[p.Job] = p.Revision; p.Time.IsZero() || p.Time.After(time.Now()) {
				t.Errorf("%s at %s", told(p.Change), p.Time)
			}
		}
		bobs := "bobX: y" + strings.Repeat("b", 121)
		want := []string{
			"a b create ann/cli",
			`a b update ann/cli service:"s">"t" payload description`,
			`a b deactivate /nats active:>false reason:>"deactivated"`,
			`a b activate ` + bobs + `/http active:false>true reason:"deactivated">`,
			"a b completed -/scheduler",
			"by hand kv put /",
			"by hand anchored -/scheduler",
			"by hand kv del /",
			"a b delete eve/nats",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if all[0].Revision != first.Revision || all[1].Revision != second.Revision {
			t.Errorf("revisions %d and %d, want %d and %d", all[0].Revision, all[1].Revision, first.Revision, second.Revision)
		}
		if some := h.changes(scheduler.ChangeFilter{Job: "by hand"}); len(some) != 3 {
			t.Errorf("%d changes of one job, want 3", len(some))
		}
		if some := h.changes(scheduler.ChangeFilter{By: "ann", Before: all[1].Place}); len(some) != 1 || some[0].Verb != "create" {
			t.Errorf("before a place: %v", some)
		}
		stream, err := h.js.Stream(h.Context(), "bellhop-changes")
		h.ok(err)
		for seq := range uint64(len(all)) {
			m, err := stream.GetMsg(h.Context(), seq+1)
			h.ok(err)
			if strings.Contains(string(m.Data)+fmt.Sprint(m.Header), "secret") {
				t.Errorf("a record holds the payload: %s", m.Data)
			}
		}
	})
}

// TestChangesAcrossLeaders has each change recorded once, whoever leads, those
// that came while nobody did, and whatever strangers write among them.
func TestChangesAcrossLeaders(t *testing.T) {
	inBubble(t, func(h *house) {
		const leaders, each = 4, 20
		for l := range leaders {
			stop := h.start(scheduler.Options{})
			for i := range each {
				_, err := h.client.Put(h.Context(), &scheduler.Job{
					Name: fmt.Sprint("job ", i%2), Service: fmt.Sprint("s", l), Schedule: scheduler.Schedule{Cron: "@daily"},
				})
				h.ok(err)
				if i == each/2 {
					_, err := h.js.Publish(h.Context(), "bellhop.change.x", []byte("what is this"))
					h.ok(err)
				}
			}
			stop()
			jobs, err := h.js.KeyValue(h.Context(), "bellhop-jobs")
			h.ok(err)
			_, err = jobs.Put(h.Context(), "hand", []byte(`{"service":"s","active":false,"schedule":{"cron":"@daily"}}`))
			h.ok(err)
		}
		defer h.start(scheduler.Options{})()
		seen := map[uint64]int{}
		last := uint64(0)
		for _, p := range h.recorded(leaders * (each + 1)) {
			if seen[p.Revision]++; p.Revision <= last {
				t.Errorf("revision %d follows %d", p.Revision, last)
			}
			last = p.Revision
		}
		if len(seen) != leaders*(each+1) {
			t.Errorf("%d revisions are recorded, want %d", len(seen), leaders*(each+1))
		}
	})
}

// TestChangesMeanwhile has changes recorded once that come while a new leader is
// busy with all that was there before it.
func TestChangesMeanwhile(t *testing.T) {
	inBubble(t, func(h *house) {
		h.ok(scheduler.Setup(h.Context(), h.js, scheduler.Options{}))
		b, err := kv.Open[[]byte](h.Context(), h.js, "bellhop-jobs")
		h.ok(err)
		const before, meanwhile = 10, 50
		for i := range before {
			changes := make([]kv.Change[[]byte], kv.MaxBatch)
			for n := range changes {
				changes[n] = kv.Change[[]byte]{Key: fmt.Sprintf("old-%d-%d", i, n), Value: []byte(`{"service":"s","schedule":{"cron":"@daily"}}`)}
			}
			_, err := b.Apply(h.Context(), changes)
			h.ok(err)
		}
		defer h.start(scheduler.Options{})()
		for i := range meanwhile {
			_, err := h.client.Create(h.Context(), &scheduler.Job{Name: fmt.Sprint("new ", i), Service: "s", Schedule: scheduler.Schedule{Cron: "@daily"}})
			h.ok(err)
		}
		const n = before*kv.MaxBatch + meanwhile
		all := h.recorded(n)
		h.same("records", len(all), n)
		for i, p := range all {
			if p.Revision != uint64(i+1) {
				t.Fatalf("record %d is of revision %d", i+1, p.Revision)
			}
		}
	})
}

// TestTerms refuses changes to what is no longer what it was.
func TestTerms(t *testing.T) {
	inBubble(t, func(h *house) {
		defer h.start(scheduler.Options{})()
		job := &scheduler.Job{Name: "j", Service: "s", Schedule: scheduler.Schedule{Cron: "@daily"}}
		one, err := h.client.Create(h.Context(), job)
		h.ok(err)
		two, err := h.client.With(scheduler.Terms{Revision: one.Revision}).Put(h.Context(), job)
		h.ok(err)
		stale := h.client.With(scheduler.Terms{Revision: one.Revision})
		for verb, do := range map[string]func() error{
			"put":        func() error { _, err := stale.Put(h.Context(), job); return err },
			"update":     func() error { _, err := stale.Update(h.Context(), "j", 0, nil); return err },
			"deactivate": func() error { _, err := stale.Deactivate(h.Context(), "j"); return err },
			"activate":   func() error { _, err := stale.Activate(h.Context(), "j", &job.Schedule); return err },
			"restore":    func() error { _, err := stale.Restore(h.Context(), "j", one.Revision); return err },
			"delete":     func() error { return stale.Delete(h.Context(), "j") },
		} {
			err := do()
			if e, ok := err.(*scheduler.Error); !ok || e.Code != 409 || e.Revision != two.Revision { //nolint:errorlint // it comes as it is
				t.Errorf("%s: %v", verb, err)
			}
		}
		if err := stale.Delete(h.Context(), "none"); scheduler.Code(err) != 404 {
			t.Errorf("of a job that is not there: %v", err)
		}
		if j, err := h.client.Get(h.Context(), "j"); err != nil || j.Revision != two.Revision {
			t.Errorf("%v, %v", j, err)
		}
		m, err := h.nc.RequestMsg(&nats.Msg{Subject: "bellhop.jobs.delete", Data: []byte(`{"name":"j"}`), Header: nats.Header{"Bellhop-Revision": {"seven"}}}, time.Minute)
		if err != nil || !strings.Contains(string(m.Data), "Bellhop-Revision") {
			t.Errorf("%s, %v", m.Data, err)
		}
		h.ok(h.client.With(scheduler.Terms{Revision: two.Revision}).Delete(h.Context(), "j"))
	})
}

// TestRestore brings back what was.
func TestRestore(t *testing.T) {
	inBubble(t, func(h *house) {
		defer h.start(scheduler.Options{})()
		job := &scheduler.Job{Name: "j", Service: "s", Schedule: scheduler.Schedule{Cron: "@daily"}, Payload: json.RawMessage(`{"a": [1,  2]}`)}
		one, err := h.client.Create(h.Context(), job)
		h.ok(err)
		_, err = h.client.With(scheduler.Terms{By: "ann"}).Update(h.Context(), "j", 0, map[string]json.RawMessage{"payload": json.RawMessage("7"), "service": scheduler.Text("t")})
		h.ok(err)
		list, err := h.client.History(h.Context(), "j")
		h.ok(err)
		if len(list) != 2 || list[0].By != "ann" || list[0].PayloadSize != 1 || list[1].Revision != one.Revision || list[1].PayloadHash == list[0].PayloadHash ||
			strings.Contains(string(list[1].Definition), "payload") || !strings.Contains(string(list[1].Definition), `"service":"s"`) {
			t.Errorf("history: %+v", list)
		}
		got, err := h.client.Restore(h.Context(), "j", one.Revision)
		h.ok(err)
		if got.Service != "s" || string(got.Payload) != `{"a": [1,  2]}` || got.State != scheduler.StateActive {
			t.Errorf("restored: %+v", got)
		}
		for i := range 5 {
			_, err := h.client.Update(h.Context(), "j", 0, map[string]json.RawMessage{"description": scheduler.Text(fmt.Sprint(i))})
			h.ok(err)
		}
		if _, err := h.client.Restore(h.Context(), "j", one.Revision); scheduler.Code(err) != 404 {
			t.Errorf("of a revision that is gone: %v", err)
		}
		if _, err := h.client.History(h.Context(), "none"); scheduler.Code(err) != 404 {
			t.Errorf("of a job that is not there: %v", err)
		}
	})
}

// TestChangesMadeAnew goes on after the stream was emptied, or deleted.
func TestChangesMadeAnew(t *testing.T) {
	inBubble(t, func(h *house) {
		put := func(name string) {
			_, err := h.client.Put(h.Context(), &scheduler.Job{Name: name, Service: "s", Schedule: scheduler.Schedule{Cron: "@daily"}})
			h.ok(err)
		}
		stop := h.start(scheduler.Options{})
		put("a")
		h.recorded(1)
		stream, err := h.js.Stream(h.Context(), "bellhop-changes")
		h.ok(err)
		h.ok(stream.Purge(h.Context()))
		put("b")
		if all := h.recorded(1); len(all) != 1 || all[0].Job != "b" {
			t.Errorf("after a purge: %v", all)
		}
		stop()
		h.ok(h.js.DeleteStream(h.Context(), "bellhop-changes"))
		defer h.start(scheduler.Options{})()
		if all := h.recorded(2); len(all) != 2 || all[0].Job != "a" || all[1].Job != "b" {
			t.Errorf("made anew: %v", all)
		}
	})
}
