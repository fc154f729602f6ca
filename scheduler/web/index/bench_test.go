package index_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/scheduler/web/index"
	"github.com/bellhop-run/bellhop/workers"
)

const many = 100_000

// definition is that of a job as people have them: a few hundred bytes.
func definition(i int) kv.Entry[[]byte] {
	schedule := fmt.Sprintf(`{"cron":"%d %d * * *","time_zone":"Europe/Prague"}`, i%60, i/60%24)
	if i%3 == 0 {
		schedule = fmt.Sprintf(`{"every":"%dm"}`, 1+i%90)
	}
	return kv.Entry[[]byte]{
		Key: fmt.Sprintf("customer-%05d=2Fnightly-report", i), Revision: uint64(i + 1), Created: time.Now(),
		Value: fmt.Appendf(nil, `{"service":"reports.kind-%d","schedule":%s,"payload":{"customer":%d,"format":"pdf","recipients":["a@example.org","b@example.org"]},
			"labels":{"team":"team-%d","env":"prod"},"description":"The nightly report of customer %d","anchor":"2026-01-01T00:00:00Z"}`,
			i%50, schedule, i, i%20, i),
	}
}

func filled() *index.Index {
	x := index.New(nil, "", index.Options{})
	for i := range many {
		x.Learn(definition(i))
	}
	return x
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Load learns all jobs, and tells what each of them takes with every order made,
// without and with ten marks.
func BenchmarkLoad(b *testing.B) {
	entries := make([]kv.Entry[[]byte], many)
	for i := range entries {
		entries[i] = definition(i)
	}
	var plain, marked uint64
	for b.Loop() {
		b.StopTimer()
		before := heap()
		x := index.New(nil, "", index.Options{})
		b.StartTimer()
		for _, e := range entries {
			x.Learn(e)
		}
		b.StopTimer()
		for _, order := range []string{"name", "next", "changed", "service"} {
			if _, err := x.Jobs(index.Query{Order: order}); err != nil {
				b.Fatal(err)
			}
		}
		plain = heap() - before
		for i, e := range entries {
			for k := range 10 {
				x.Record(&workers.Run{Run: fmt.Sprintf("%s@%d", e.Key, 1_700_000_000_000+i+k), Job: e.Key, Outcome: workers.OutcomeOK, Finished: time.Now()})
			}
		}
		marked = heap() - before
		runtime.KeepAlive(x)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/job")
	b.ReportMetric(float64(plain)/many, "B/job")
	b.ReportMetric(float64(marked)/many, "B/job-with-marks")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkSearch(b *testing.B) {
	x := filled()
	for name, q := range map[string]index.Query{
		"few":     {Search: "customer-09999"},
		"words":   {Search: "nightly team-7 98"},
		"none":    {Search: "no such job"},
		"service": {Service: "reports.kind-7"},
		"label":   {Labels: map[string]string{"team": "team-7"}},
		"outcome": {Outcome: "dead"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := x.Jobs(q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPage(b *testing.B) {
	x := filled()
	for _, order := range []string{"name", "next", "changed", "service"} {
		b.Run(order, func(b *testing.B) {
			q := index.Query{Order: order}
			for b.Loop() {
				p, err := x.Jobs(q)
				if err != nil {
					b.Fatal(err)
				}
				q.Cursor = p.Cursor
			}
		})
		b.Run(order+"/changing", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				e := definition(i % many)
				e.Revision += many * uint64(1+i)
				x.Learn(e)
				if _, err := x.Jobs(index.Query{Order: order}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("counts", func(b *testing.B) {
		for b.Loop() {
			x.Counts()
		}
	})
}

func BenchmarkDue(b *testing.B) {
	x := filled()
	from := time.Now()
	for i := 0; b.Loop(); i++ {
		if _, err := x.Due(from.Add(time.Duration(i)*time.Millisecond), from.Add(24*time.Hour), 24); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMinutes(b *testing.B) {
	x := index.New(nil, "", index.Options{})
	now := time.Now()
	for i := range 24 * 60 {
		at := now.Add(-time.Duration(i) * time.Minute)
		x.Record(&workers.Run{Run: "1", Outcome: workers.OutcomeOK, Attempt: 1, Due: at, Started: at.Add(time.Duration(i) * time.Millisecond), Finished: at})
	}
	for b.Loop() {
		x.Minutes(24 * 60)
		x.Hours()
	}
}

// The worst case of the order by next times: all jobs have been due since the
// last question.
func BenchmarkAllDue(b *testing.B) {
	x := index.New(nil, "", index.Options{})
	for i := range many {
		e := definition(i)
		e.Value = []byte(`{"service":"s","schedule":{"every":"1ms"}}`)
		if i%2 == 0 {
			e.Value = fmt.Appendf(nil, `{"service":"s","schedule":{"every":"1ms","start":"2026-01-01T00:%02d:%02dZ"}}`, i%60, i/60%60)
		}
		x.Learn(e)
	}
	for b.Loop() {
		if _, err := x.Jobs(index.Query{Order: "next"}); err != nil {
			b.Fatal(err)
		}
	}
}
