package scheduler

import (
	"testing"
	"time"

	"github.com/robfig/cron/v3"
)

// BenchmarkNext walks each kind of schedule from occurrence to occurrence, through
// ten years over and over; the cron ones beside the library whose parser they share.
func BenchmarkNext(b *testing.B) {
	start, end := ms("2026-03-28T09:00:00Z"), ms("2036-01-01T00:00:00Z")
	crons := []struct{ name, expr, zone string }{
		{"cron-minutely", "* * * * *", "UTC"},
		{"cron-daily-utc", "30 2 * * *", "UTC"},
		{"cron-weekdays-berlin", "30 9 * * MON-FRI", "Europe/Berlin"},
		{"cron-feb29", "0 0 29 2 *", "UTC"},
	}
	next := func(name string, s Schedule) {
		b.Run(name, func(b *testing.B) {
			p, err := s.Compile(start)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			after := start
			for b.Loop() {
				if after = p.Next("My=20Sample", after); after > end {
					after = start
				}
			}
		})
	}
	next("at", Schedule{At: time.UnixMilli(start + 1)})
	next("every", Schedule{Every: Duration(time.Minute)})
	next("every-jitter", Schedule{Every: Duration(time.Minute), Jitter: Duration(time.Second)})
	for _, c := range crons {
		next(c.name, Schedule{Cron: c.expr, TimeZone: c.zone})
	}
	next("cron-daily-jitter", Schedule{Cron: "30 2 * * *", Jitter: Duration(time.Minute)})
	for _, c := range crons {
		b.Run("robfig/"+c.name, func(b *testing.B) {
			s, err := cron.ParseStandard("CRON_TZ=" + c.zone + " " + c.expr)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			after := time.UnixMilli(start)
			for b.Loop() {
				if after = s.Next(after); after.UnixMilli() > end {
					after = time.UnixMilli(start)
				}
			}
		})
	}
}

// BenchmarkCompile is what a definition costs when it is read.
func BenchmarkCompile(b *testing.B) {
	for name, s := range map[string]Schedule{
		"every": {Every: Duration(time.Minute)},
		"cron":  {Cron: "30 9 * * MON-FRI", TimeZone: "Europe/Berlin"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Compile(0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
