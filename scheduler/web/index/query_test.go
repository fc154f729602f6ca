package index_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/scheduler/web/index"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestQuery(t *testing.T) {
	inBubble(t, func(h *house) {
		h.setup()
		for _, d := range []string{
			`{"name":"Nightly Report","service":"reports","schedule":{"cron":"0 3 * * *"},"labels":{"team":"blue","env":"prod"},"description":"Sums the DAY up"}`,
			`{"name":"Nightly Backup","service":"backup","schedule":{"cron":"0 2 * * *"},"labels":{"team":"blue"}}`,
			`{"name":"hourly","service":"reports","schedule":{"every":"1h"},"labels":{"team":"red"}}`,
			`{"name":"once","service":"reports","schedule":{"at":"2000-01-01T05:00:00Z"}}`,
			`{"name":"off","service":"backup","schedule":{"every":"1h"},"active":false}`,
			`{"name":"Émile","service":"reports","schedule":{"every":"12h"},"labels":{"a=b":"c"}}`,
		} {
			name := strings.Split(d, `"`)[3]
			h.put(workers.Escape(name), d)
			time.Sleep(time.Second)
		}
		x := h.start()
		finished := time.Now()
		for job, outcomes := range map[string][]string{"hourly": {"dead", "ok"}, "off": {"ok", "dead", "failed"}} {
			for i, o := range outcomes {
				h.record(workers.Run{Run: fmt.Sprint(job, "@", i), Job: job, Service: "s", Outcome: o, Attempt: 1, Finished: finished.Add(time.Duration(i))})
			}
		}
		synctest.Wait()
		all := []string{"Nightly Backup", "Nightly Report", "hourly", "off", "once", "Émile"}
		for _, tt := range []struct {
			q    index.Query
			want []string
		}{
			{index.Query{}, all},
			{index.Query{Order: "name"}, all},
			{index.Query{Order: "-name"}, []string{"Émile", "once", "off", "hourly", "Nightly Report", "Nightly Backup"}},
			{index.Query{Order: "next"}, []string{"hourly", "Nightly Backup", "Nightly Report", "once", "Émile", "off"}},
			{index.Query{Order: "-next"}, []string{"off", "Émile", "once", "Nightly Report", "Nightly Backup", "hourly"}},
			{index.Query{Order: "changed"}, []string{"Nightly Report", "Nightly Backup", "hourly", "once", "off", "Émile"}},
			{index.Query{Order: "service"}, []string{"Nightly Backup", "off", "Émile", "Nightly Report", "hourly", "once"}},
			{index.Query{Search: "NIGHT"}, []string{"Nightly Backup", "Nightly Report"}},
			{index.Query{Search: "day nightly"}, []string{"Nightly Report"}},
			{index.Query{Search: "émile"}, []string{"Émile"}},
			{index.Query{Search: "  "}, all},
			{index.Query{Search: "backup"}, []string{"Nightly Backup", "off"}},
			{index.Query{Search: "team=BLUE"}, []string{"Nightly Backup", "Nightly Report"}},
			{index.Query{Search: "reportreports"}, nil},
			{index.Query{Prefix: "Nightly "}, []string{"Nightly Backup", "Nightly Report"}},
			{index.Query{Prefix: "nightly"}, nil},
			{index.Query{Service: "backup"}, []string{"Nightly Backup", "off"}},
			{index.Query{Service: "back"}, nil},
			{index.Query{State: "inactive"}, []string{"off"}},
			{index.Query{State: "active", Search: "o"}, []string{"Nightly Report", "hourly", "once", "Émile"}},
			{index.Query{State: "ill"}, nil},
			{index.Query{Reason: "deactivated"}, []string{"off"}},
			{index.Query{Outcome: "ok"}, []string{"hourly"}},
			{index.Query{Outcome: "dead"}, []string{"off"}},
			{index.Query{Labels: map[string]string{"team": "blue"}}, []string{"Nightly Backup", "Nightly Report"}},
			{index.Query{Labels: map[string]string{"team": "blue", "env": "prod"}}, []string{"Nightly Report"}},
			{index.Query{Labels: map[string]string{"a": "b=c"}}, nil},
			{index.Query{Labels: map[string]string{"a=b": "c"}}, []string{"Émile"}},
			{index.Query{Labels: map[string]string{"none": ""}}, nil},
		} {
			for _, limit := range []int{1, 4, 0, 5000} {
				tt.q.Limit = limit
				if diff := cmp.Diff(tt.want, h.names(x, tt.q)); diff != "" {
					t.Errorf("%+v: %s", tt.q, diff)
				}
			}
		}
		var soon []string
		for _, j := range x.Upcoming(2, 2*time.Hour) {
			soon = append(soon, j.Name)
		}
		if diff := cmp.Diff([]string{"hourly", "Nightly Backup"}, soon); diff != "" || len(x.Upcoming(10, time.Hour)) != 1 || len(x.Upcoming(-1, time.Hour)) != 0 {
			t.Error(diff)
		}
		p, err := x.Jobs(index.Query{Limit: 1})
		h.ok(err)
		for _, q := range []index.Query{
			{Order: "age"}, {Order: "--name"}, {Cursor: "?"}, {Cursor: "AAAA"}, {Cursor: p.Cursor[:8]}, {Cursor: p.Cursor, Order: "next"},
			{Cursor: "bmFtZTo"}, {Cursor: "bmFtZToAAAAAAAAAAP__"},
		} {
			if _, err := x.Jobs(q); scheduler.Code(err) != 400 {
				t.Errorf("%+v: %v", q, err)
			}
		}
	})
}

// The order by next times is that of the present, however time passes and
// whatever changes meanwhile.
func TestNextMoves(t *testing.T) {
	inBubble(t, func(h *house) {
		h.setup()
		for i := range 40 {
			h.put(fmt.Sprint("j", i), every("", "s", fmt.Sprint(1+i%7, "m")))
			time.Sleep(time.Second)
		}
		h.put("once", `{"service":"s","schedule":{"at":"2000-01-01T00:05:00Z"}}`)
		x := h.start()
		for i := range 60 {
			time.Sleep(13 * time.Second)
			if i%5 == 0 {
				h.put(fmt.Sprint("j", i%40), every("", "s", "90s"))
				h.remove(fmt.Sprint("j", (i+1)%40), "DEL")
				synctest.Wait()
			}
			p, err := x.Jobs(index.Query{Order: "next"})
			h.ok(err)
			if p.Total != x.Counts().Total || len(p.Jobs) != p.Total {
				t.Fatalf("%d of %d jobs, and %d are counted", len(p.Jobs), p.Total, x.Counts().Total)
			}
			if !slices.IsSortedFunc(p.Jobs, func(a, b *index.Job) int {
				if a.Next.IsZero() || b.Next.IsZero() { // last of all
					return len(b.Next.String()) - len(a.Next.String())
				}
				return a.Next.Compare(b.Next)
			}) {
				t.Fatal("not in order")
			}
			for _, j := range p.Jobs {
				if !j.Next.IsZero() && !j.Next.After(time.Now()) {
					t.Fatalf("%s is due at %v", j.Key, j.Next)
				}
			}
		}
	})
}

// In every order, with every filter, the pages give each job exactly once; so
// they do with those that stay when others come and go in between.
func TestCursorsWalkAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := index.New(nil, "", index.Options{})
		revision := uint64(0)
		put := func(key, service string, active bool) {
			revision++
			x.Learn(kv.Entry[[]byte]{Key: key, Revision: revision, Created: time.Unix(int64(revision/3), 0), Value: fmt.Appendf(nil,
				`{"service":%q,"schedule":{"every":"%dh"},"active":%t}`, service, 1+len(key)%3, active)})
		}
		name := rapid.StringMatching(`[a-c]{1,3}(=20)?`)
		service := rapid.SampledFrom([]string{"one", "two", "t=o"})
		there := map[string]bool{}
		for range rapid.IntRange(0, 40).Draw(t, "jobs") {
			key := name.Draw(t, "key")
			put(key, service.Draw(t, "service"), rapid.Bool().Draw(t, "active"))
			there[key] = true
		}
		q := index.Query{
			Order: rapid.SampledFrom([]string{"", "-"}).Draw(t, "direction") + rapid.SampledFrom([]string{"name", "next", "changed", "service"}).Draw(t, "order"),
			Limit: rapid.IntRange(1, 5).Draw(t, "limit"), Search: rapid.SampledFrom([]string{"", "a"}).Draw(t, "search"),
		}
		if q.Search != "" {
			for key := range there {
				j, _ := x.Job(key)
				if !strings.Contains(j.Name, "a") {
					delete(there, key)
				}
			}
		}
		seen := map[string]int{}
		for {
			p, err := x.Jobs(q)
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range p.Jobs {
				seen[j.Key]++
			}
			if q.Cursor = p.Cursor; q.Cursor == "" {
				break
			}
			if rapid.Bool().Draw(t, "change") {
				key := name.Draw(t, "changed")
				delete(there, key) // where it is now, it may have been or not
				if rapid.Bool().Draw(t, "gone") {
					revision++
					x.Learn(kv.Entry[[]byte]{Key: key, Revision: revision, Deleted: true})
				} else {
					put(key, service.Draw(t, "service"), true)
				}
			}
		}
		for key := range there {
			if seen[key] != 1 {
				t.Fatalf("%s was given %d times", key, seen[key])
			}
		}
	})
}

// Whatever a cursor is, it gives a page or is refused.
func FuzzCursor(f *testing.F) {
	x := index.New(nil, "", index.Options{})
	for i := range 5 {
		learn(x, i+1, fmt.Sprint("j", i), every("", "s", "1h"))
	}
	orders := []string{"name", "-next", "changed", "-service"}
	for _, order := range orders {
		p, err := x.Jobs(index.Query{Order: order, Limit: 2})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Cursor)
	}
	f.Add("bmFtZToAAAAAAAAAAP__")
	f.Fuzz(func(t *testing.T, cursor string) {
		for _, order := range orders {
			if p, err := x.Jobs(index.Query{Order: order, Cursor: cursor}); err != nil && scheduler.Code(err) != 400 || err == nil && p.Total != 5 {
				t.Fatal(p, err)
			}
		}
	})
}

// Everything is asked while everything changes.
func TestConcurrent(t *testing.T) {
	x := index.New(nil, "", index.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := x.Subscribe(ctx)
	var learning, asking sync.WaitGroup
	learning.Go(func() {
		for i := range 5000 {
			key := fmt.Sprint("j", i%700)
			if i%11 == 0 {
				x.Learn(kv.Entry[[]byte]{Key: key, Revision: uint64(i + 1), Deleted: true})
				continue
			}
			learn(x, i+1, key, every("", fmt.Sprint("s", i%3), "1h"))
			x.Record(&workers.Run{Run: key + "@1", Job: key, Outcome: workers.OutcomeOK, Finished: time.Now()})
		}
	})
	for _, order := range []string{"name", "-next", "changed", "service"} {
		asking.Go(func() {
			for ctx.Err() == nil {
				p, err := x.Jobs(index.Query{Order: order, Outcome: workers.OutcomeOK})
				if err != nil {
					t.Error(err)
				}
				for _, j := range p.Jobs {
					if len(j.Recent) == 0 {
						t.Error("an outcome without a mark")
					}
				}
				x.Counts()
				x.Minutes(5)
			}
		})
	}
	learning.Wait()
	cancel()
	asking.Wait()
	for range events {
	}
	p, err := x.Jobs(index.Query{})
	if c := x.Counts(); err != nil || p.Total != c.Total || c.Services["s0"]+c.Services["s1"]+c.Services["s2"] != c.Total {
		t.Error(p.Total, c, err)
	}
}
