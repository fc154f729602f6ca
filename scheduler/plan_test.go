package scheduler

import (
	"math"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNext(t *testing.T) {
	for _, c := range []struct {
		name, schedule, after string
		want                  string // up to four due times, then "…" if there are more
	}{
		{"at", `{"at":"2026-05-01T12:00:00.123456Z"}`, "2026-01-01T00:00:00Z", "2026-05-01T12:00:00.123Z"},
		{"at with an offset", `{"at":"2026-05-01T12:00:00+02:00"}`, "2026-01-01T00:00:00Z", "2026-05-01T10:00:00Z"},
		{"at, at that instant", `{"at":"2026-05-01T12:00:00Z"}`, "2026-05-01T12:00:00Z", ""},
		{"at in 1970", `{"at":"1970-01-01T00:00:00Z"}`, "1960-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
		{"at in 9999", `{"at":"9999-12-31T23:59:59.999Z"}`, "2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"},

		{"every from the anchor: one interval later", `{"every":"6h"}`, "2025-12-01T00:00:00Z",
			"2026-01-01T06:00:00Z 2026-01-01T12:00:00Z 2026-01-01T18:00:00Z 2026-01-02T00:00:00Z …"},
		{"every from its start", `{"every":"1w","start":"2026-03-01T09:00:00Z"}`, "2026-01-01T00:00:00Z",
			"2026-03-01T09:00:00Z 2026-03-08T09:00:00Z 2026-03-15T09:00:00Z 2026-03-22T09:00:00Z …"},
		{"every with its start in the past", `{"every":"30m","start":"2020-01-01T00:10:00Z"}`, "2026-01-01T00:00:00Z",
			"2026-01-01T00:10:00Z 2026-01-01T00:40:00Z 2026-01-01T01:10:00Z 2026-01-01T01:40:00Z …"},
		{"every up to its end, included", `{"every":"1d","start":"2026-01-01T00:00:00Z","end":"2026-01-03T00:00:00Z"}`, "2025-01-01T00:00:00Z",
			"2026-01-01T00:00:00Z 2026-01-02T00:00:00Z 2026-01-03T00:00:00Z"},
		{"every with its end at its start", `{"every":"1d","start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:00Z"}`, "2025-01-01T00:00:00Z",
			"2026-01-01T00:00:00Z"},
		{"every with its end before the first", `{"every":"1d","end":"2026-01-01T23:59:59Z"}`, "2025-01-01T00:00:00Z", ""},
		{"every up to the end of time", `{"every":"100ms","start":"9999-12-31T23:59:59.85Z"}`, "2026-01-01T00:00:00Z",
			"9999-12-31T23:59:59.85Z 9999-12-31T23:59:59.95Z"},
		{"every 100 years", `{"every":"36525d","start":"9800-01-01T00:00:00Z"}`, "2026-01-01T00:00:00Z",
			"9800-01-01T00:00:00Z 9900-01-02T00:00:00Z"},

		{"cron", `{"cron":"15 10 * * *"}`, "2026-01-01T10:15:00Z", "2026-01-02T10:15:00Z 2026-01-03T10:15:00Z 2026-01-04T10:15:00Z 2026-01-05T10:15:00Z …"},
		{"cron with seconds", `{"cron":"*/20 59 23 31 12 *"}`, "2026-01-01T00:00:00Z",
			"2026-12-31T23:59:00Z 2026-12-31T23:59:20Z 2026-12-31T23:59:40Z 2027-12-31T23:59:00Z …"},
		{"cron from its start, included", `{"cron":"@hourly","start":"2026-03-01T09:00:00Z"}`, "2026-01-01T00:00:00Z",
			"2026-03-01T09:00:00Z 2026-03-01T10:00:00Z 2026-03-01T11:00:00Z 2026-03-01T12:00:00Z …"},
		{"cron from its start, a moment late", `{"cron":"@hourly","start":"2026-03-01T09:00:00.001Z"}`, "2026-01-01T00:00:00Z",
			"2026-03-01T10:00:00Z 2026-03-01T11:00:00Z 2026-03-01T12:00:00Z 2026-03-01T13:00:00Z …"},
		{"cron up to its end, included", `{"cron":"@hourly","end":"2026-01-01T02:00:00Z"}`, "2026-01-01T00:00:00Z",
			"2026-01-01T01:00:00Z 2026-01-01T02:00:00Z"},
		{"cron up to the end of time", `{"cron":"59 59 23 31 12 *"}`, "9998-01-01T00:00:00Z", "9998-12-31T23:59:59Z 9999-12-31T23:59:59Z"},
		{"cron west of the end of time", `{"cron":"0 20 31 12 *","time_zone":"America/New_York"}`, "9998-06-01T00:00:00Z", "9999-01-01T01:00:00Z"},
		{"cron from the beginning of time", `{"cron":"@daily","time_zone":"America/New_York"}`, "1960-01-01T00:00:00Z",
			"1970-01-01T05:00:00Z 1970-01-02T05:00:00Z 1970-01-03T05:00:00Z 1970-01-04T05:00:00Z …"},
		{"29 February across 2100", `{"cron":"0 0 29 2 *"}`, "2093-01-01T00:00:00Z",
			"2096-02-29T00:00:00Z 2104-02-29T00:00:00Z 2108-02-29T00:00:00Z 2112-02-29T00:00:00Z …"},
		{"the 31st", `{"cron":"0 0 31 * *"}`, "2026-01-31T00:00:00Z",
			"2026-03-31T00:00:00Z 2026-05-31T00:00:00Z 2026-07-31T00:00:00Z 2026-08-31T00:00:00Z …"},
		{"day of month or day of week", `{"cron":"0 0 13 * FRI"}`, "2026-02-01T00:00:00Z",
			"2026-02-06T00:00:00Z 2026-02-13T00:00:00Z 2026-02-20T00:00:00Z 2026-02-27T00:00:00Z …"},
		{"day of month or day of week, in one month", `{"cron":"0 0 4 2 SUN"}`, "2026-01-20T00:00:00Z",
			"2026-02-01T00:00:00Z 2026-02-04T00:00:00Z 2026-02-08T00:00:00Z 2026-02-15T00:00:00Z …"},
		{"the last day of a leap year far off", `{"cron":"0 9 31 12 *","time_zone":"Europe/Berlin"}`, "2051-06-01T00:00:00Z",
			"2051-12-31T08:00:00Z 2052-12-31T08:00:00Z 2053-12-31T08:00:00Z 2054-12-31T08:00:00Z …"},
		{"weekdays", `{"cron":"30 9 * * MON-FRI"}`, "2026-02-05T12:00:00Z",
			"2026-02-06T09:30:00Z 2026-02-09T09:30:00Z 2026-02-10T09:30:00Z 2026-02-11T09:30:00Z …"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := compile(t, c.schedule)
			got := upcoming(&p, "job", c.after, 5, time.UTC)
			if len(got) == 5 {
				got[4] = "…"
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestNextAtTheEndsOfTime(t *testing.T) {
	for _, text := range []string{
		`{"at":"2026-05-01T12:00:00Z"}`,
		`{"every":"1ms"}`,
		`{"every":"36525d","jitter":"36524d"}`,
		`{"every":"1d","end":"1970-01-01T00:00:00Z"}`,
		`{"cron":"* * * * * *"}`,
		`{"cron":"@yearly","jitter":"300d"}`,
	} {
		p := compile(t, text)
		for _, after := range []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, maxTime - 1, maxTime, maxTime + 1, math.MaxInt64 - 1, math.MaxInt64} {
			if due := p.Next("job", after); due <= after && due != Never || due < 0 || due > maxTime && due != Never {
				t.Errorf("%s: Next(%d) = %d", text, after, due)
			}
		}
		if due := p.Next("job", maxTime); due != Never {
			t.Errorf("%s: due at %d, past the end of time", text, due)
		}
		if _, first, last, _ := p.Between("job", math.MinInt64, math.MaxInt64, 3); first < 0 || last > maxTime {
			t.Errorf("%s: from %d to %d", text, first, last)
		}
	}
	// An anchor comes from a stored definition and may be anything.
	for _, anchor := range []int64{math.MinInt64, -1, maxTime, math.MaxInt64} {
		s := Schedule{Every: MaxDuration}
		p, err := s.Compile(anchor)
		if err != nil {
			t.Fatal(err)
		}
		if due := p.Next("job", 0); due < 0 || due > maxTime && due != Never {
			t.Errorf("anchor %d: due at %d", anchor, due)
		}
	}
}

func TestBetween(t *testing.T) {
	type result struct {
		n           int
		first, last string
		more        bool
	}
	for _, c := range []struct {
		name, schedule, from, to string
		limit                    int
		want                     result
	}{
		{"a year of milliseconds", `{"every":"1ms"}`, "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", math.MaxInt,
			result{365 * 86_400_000, "2027-01-01T00:00:00Z", "2027-12-31T23:59:59.999Z", false}},
		{"up to a limit", `{"every":"1ms"}`, "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", 1000,
			result{1000, "2027-01-01T00:00:00Z", "2027-01-01T00:00:00.999Z", true}},
		{"from is included, to is not", `{"every":"1h"}`, "2027-01-01T00:00:00Z", "2027-01-01T02:00:00Z", 10,
			result{2, "2027-01-01T00:00:00Z", "2027-01-01T01:00:00Z", false}},
		{"exactly the limit", `{"every":"1h"}`, "2027-01-01T00:00:00Z", "2027-01-01T02:00:00Z", 2,
			result{2, "2027-01-01T00:00:00Z", "2027-01-01T01:00:00Z", false}},
		{"at", `{"at":"2027-01-01T00:00:00Z"}`, "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", 10,
			result{1, "2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z", false}},
		{"at that was", `{"at":"2027-01-01T00:00:00Z"}`, "2027-01-01T00:00:01Z", "2028-01-01T00:00:00Z", 10, result{}},
		{"cron", `{"cron":"@daily"}`, "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", 1000,
			result{365, "2027-01-01T00:00:00Z", "2027-12-31T00:00:00Z", false}},
		{"cron up to a limit", `{"cron":"@daily"}`, "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", 2,
			result{2, "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z", true}},
		{"cron, exactly the limit", `{"cron":"@daily"}`, "2027-01-01T00:00:00Z", "2027-01-03T00:00:00Z", 2,
			result{2, "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z", false}},
		{"no limit at all", `{"cron":"@daily"}`, "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", 0, result{more: true}},
		{"a negative limit", `{"every":"1h"}`, "2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", -1, result{more: true}},
		{"nothing", `{"cron":"@yearly"}`, "2027-01-02T00:00:00Z", "2028-01-01T00:00:00Z", 10, result{}},
		{"backwards", `{"every":"1h"}`, "2028-01-01T00:00:00Z", "2027-01-01T00:00:00Z", 10, result{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := compile(t, c.schedule)
			n, first, last, more := p.Between("job", ms(c.from), ms(c.to), c.limit)
			got := result{n: n, more: more}
			if n > 0 {
				got.first = time.UnixMilli(first).UTC().Format(time.RFC3339Nano)
				got.last = time.UnixMilli(last).UTC().Format(time.RFC3339Nano)
			} else if first != 0 || last != 0 {
				t.Errorf("first %d and last %d of none", first, last)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanIsSmallAndShared(t *testing.T) {
	if size := unsafe.Sizeof(Plan{}); size > 48 {
		t.Errorf("a plan takes %d bytes", size)
	}
	a := compile(t, `{"cron":"0 0 * * 0","time_zone":"Europe/Berlin"}`)
	b := compile(t, `{"cron":"@weekly","time_zone":"Europe/Berlin","max_runs":3}`)
	c := compile(t, `{"cron":"@weekly","time_zone":"Europe/Paris"}`)
	if a.cron != b.cron || a.cron == c.cron {
		t.Error("equal specs are one, and others are not")
	}
}

func TestOnce(t *testing.T) {
	for text, want := range map[string]bool{
		`{"at":"2026-05-01T12:00:00Z"}`:                   true,
		`{"every":"1h"}`:                                  false,
		`{"every":"36525d","end":"2026-05-01T12:00:00Z"}`: false,
		`{"cron":"@yearly"}`:                              false,
	} {
		if p := compile(t, text); p.Once() != want {
			t.Errorf("%s: %v", text, p.Once())
		}
	}
}

// drawPlan draws any valid plan, and a time near which it does something.
func drawPlan(t *rapid.T) (Plan, int64) {
	near := rapid.Int64Range(ms("2000-01-01T00:00:00Z"), ms("2110-12-31T00:00:00Z")).Draw(t, "near")
	s := Schedule{}
	switch rapid.SampledFrom([]string{"at", "every", "every", "cron", "cron", "cron"}).Draw(t, "kind") {
	case "at":
		s.At = time.UnixMilli(near + rapid.Int64Range(-10, 10).Draw(t, "at"))
	case "every":
		s.Every = Duration(rapid.Int64Range(1, 100_000_000).Draw(t, "every")) * MinDuration
	case "cron":
		s.Cron = rapid.SampledFrom(cronExamples).Draw(t, "cron")
		s.TimeZone = rapid.SampledFrom([]string{"", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Antarctica/Troll"}).Draw(t, "zone")
	}
	if s.At.IsZero() && rapid.Bool().Draw(t, "start?") {
		s.Start = time.UnixMilli(near + rapid.Int64Range(-200_000_000, 200_000_000).Draw(t, "start"))
	}
	if s.At.IsZero() && rapid.Bool().Draw(t, "end?") {
		s.End = time.UnixMilli(max(near, s.Start.UnixMilli()) + rapid.Int64Range(0, 400_000_000).Draw(t, "end"))
	}
	if s.At.IsZero() && rapid.Bool().Draw(t, "jitter?") {
		s.Jitter = Duration(rapid.Int64Range(1, 100_000).Draw(t, "jitter")) * MinDuration
	}
	p, err := s.Compile(near - rapid.Int64Range(0, 1_000_000).Draw(t, "age"))
	if err != nil { // too much jitter
		s.Jitter = 0
		if p, err = s.Compile(near); err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
	}
	return p, near
}

func TestNextStrictlyIncreases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, near := drawPlan(t)
		after := near + rapid.Int64Range(-300_000_000, 300_000_000).Draw(t, "after")
		for range 30 {
			due := p.Next("job", after)
			if due <= after {
				t.Fatalf("%d is not after %d", due, after)
			}
			if due == Never {
				return
			}
			// Nothing lies between: any earlier question has the same answer.
			ask := rapid.Int64Range(after, due-1).Draw(t, "ask")
			if again := p.Next("job", ask); again != due {
				t.Fatalf("after %d: %d, but after %d: %d", after, due, ask, again)
			}
			after = due
		}
	})
}

func TestBetweenAgreesWithNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, near := drawPlan(t)
		from := near + rapid.Int64Range(-100_000_000, 100_000_000).Draw(t, "from")
		to := from + rapid.Int64Range(-5, 100_000_000).Draw(t, "length")
		limit := rapid.IntRange(0, 50).Draw(t, "limit")

		var all []int64
		for due := p.Next("job", from-1); due < to && len(all) <= limit; due = p.Next("job", due) {
			all = append(all, due)
		}
		want := min(len(all), limit)
		n, first, last, more := p.Between("job", from, to, limit)
		if n != want || more != (len(all) > limit) {
			t.Fatalf("%d, more %v; Next gives %d up to %d", n, more, len(all), limit)
		}
		if n > 0 && (first != all[0] || last != all[n-1]) {
			t.Fatalf("from %d to %d; Next gives %v", first, last, all)
		}
	})
}
