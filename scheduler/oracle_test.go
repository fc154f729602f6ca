package scheduler

import (
	"cmp"
	_ "embed"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The names of the zones in Go's own copy of the IANA database, links and all.
//
//go:embed testdata/zones.txt
var zoneNames string

// The oracle knows no cron syntax, no bit sets and no spans: it is told in Go
// what each expression means, and looks at the clock minute by minute.
var oracleCrons = []struct {
	expr  string
	fixed bool
	match func(wall) bool
}{
	{"*/15 * * * *", false, func(w wall) bool { return w.minute%15 == 0 }},
	{"30 * * * *", false, func(w wall) bool { return w.minute == 30 }},
	{"7 */2 * * *", false, func(w wall) bool { return w.minute == 7 && w.hour%2 == 0 }},
	{"0 * * * SUN", false, func(w wall) bool { return w.minute == 0 && w.weekday == time.Sunday }},
	{"0 0 * * *", true, func(w wall) bool { return w.hour == 0 && w.minute == 0 }},
	{"30 0 * * *", true, func(w wall) bool { return w.hour == 0 && w.minute == 30 }},
	{"30 1 * * *", true, func(w wall) bool { return w.hour == 1 && w.minute == 30 }},
	{"15 2 * * *", true, func(w wall) bool { return w.hour == 2 && w.minute == 15 }},
	{"0 2,3 * * *", true, func(w wall) bool { return (w.hour == 2 || w.hour == 3) && w.minute == 0 }},
	{"59 23 * * *", true, func(w wall) bool { return w.hour == 23 && w.minute == 59 }},
	{"*/10 0-4 * * *", true, func(w wall) bool { return w.hour <= 4 && w.minute%10 == 0 }},
	{"*/20 0-10,12-23 * * *", true, func(w wall) bool { return w.hour != 11 && w.minute%20 == 0 }},
	{"45 22,0,1,2 * * SAT,SUN", true, func(w wall) bool {
		return w.minute == 45 && (w.hour == 22 || w.hour <= 2) && (w.weekday == time.Saturday || w.weekday == time.Sunday)
	}},
	{"20 0-3 1,30,31 * FRI", true, func(w wall) bool {
		return w.minute == 20 && w.hour <= 3 && (w.day == 1 || w.day >= 30 || w.weekday == time.Friday)
	}},
	{"30 2 * MAR,OCT 0", true, func(w wall) bool {
		return w.minute == 30 && w.hour == 2 && (w.month == time.March || w.month == time.October) && w.weekday == time.Sunday
	}},
}

// wall is a time of the calendar; at is the UTC time that looks the same.
type wall struct {
	at                int64
	month             time.Month
	day, hour, minute int
	weekday           time.Weekday
}

func newWall(t time.Time) wall {
	y, mo, d := t.Date()
	h, mi, s := t.Clock()
	return wall{time.Date(y, mo, d, h, mi, s, 0, time.UTC).Unix(), mo, d, h, mi, t.Weekday()}
}

// clock is what a zone's clock shows at each minute from start on.
type clock struct {
	start int64
	shows []wall
	first map[int64]int // the minute that shows a time first
	// calendar is every minute from the least that is shown to the greatest.
	calendar []wall
}

func readClock(loc *time.Location, start, end int64) clock {
	c := clock{start: start, first: map[int64]int{}}
	for t := start; t < end; t += 60 {
		w := newWall(time.Unix(t, 0).In(loc))
		if _, ok := c.first[w.at]; !ok {
			c.first[w.at] = len(c.shows)
		}
		c.shows = append(c.shows, w)
	}
	byTime := func(a, b wall) int { return cmp.Compare(a.at, b.at) }
	last := slices.MaxFunc(c.shows, byTime).at
	for at := slices.MinFunc(c.shows, byTime).at; at <= last; at += 60 {
		c.calendar = append(c.calendar, newWall(time.Unix(at, 0).UTC()))
	}
	return c
}

// elapsed gives every instant at which the clock shows a matching time.
func (c clock) elapsed(match func(wall) bool) (due []int64) {
	for i, w := range c.shows {
		if match(w) {
			due = append(due, c.start+60*int64(i))
		}
	}
	return due
}

// fixed gives, for every matching time of the calendar, the first instant at
// which the clock shows it, or else the first at which it shows a later one.
func (c clock) fixed(match func(wall) bool) (due []int64) {
	for _, w := range c.calendar {
		if !match(w) {
			continue
		}
		i, ok := c.first[w.at]
		if !ok {
			i = slices.IndexFunc(c.shows, func(shown wall) bool { return shown.at > w.at })
		}
		due = append(due, c.start+60*int64(i))
	}
	slices.Sort(due)
	return slices.Compact(due)
}

// transition is an instant at which a zone's clock is put forward or back.
type transition struct{ at, before, after int64 }

func offset(loc *time.Location, t int64) int64 {
	_, o := time.Unix(t, 0).In(loc).Zone()
	return int64(o)
}

// transitions finds those of a zone from 2000 to 2037 by looking at its clock
// every twelve hours.
func transitions(loc *time.Location) (list []transition) {
	const step = 12 * 3600
	before := offset(loc, 946684800)
	for t := int64(946684800); t < 2145916800; t += step {
		after := offset(loc, t+step)
		if after == before {
			continue
		}
		lo, hi := t, t+step // the clock changes after lo and at or before hi
		for hi-lo > 1 {
			if mid := (lo + hi) / 2; offset(loc, mid) == before {
				lo = mid
			} else {
				hi = mid
			}
		}
		list = append(list, transition{hi, before, after})
		before = after
	}
	return list
}

// Around every change of every clock on earth, each schedule is due when the
// oracle says so. Zones that change alike share the oracle's answer.
func TestCronAgainstTheOracle(t *testing.T) {
	answers := map[transition][][]int64{}
	zones, changes, dues := 0, 0, 0
	for name := range strings.Lines(zoneNames) {
		name = strings.TrimSpace(name)
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		zones++
		var plans []Plan
		for _, c := range oracleCrons {
			s := Schedule{Cron: c.expr, TimeZone: name}
			p, err := s.Compile(0)
			if err != nil {
				t.Fatal(err)
			}
			plans = append(plans, p)
		}
		for _, change := range transitions(loc) {
			changes++
			shift := max(change.after-change.before, change.before-change.after)
			if change.at%60 != 0 || change.after%60 != 0 {
				t.Fatalf("%s: the oracle looks at whole minutes only, but %+v", name, change)
			}
			// What is compared, and so much more on either side that the first
			// instant of a repeated time is seen.
			start, end := change.at-shift-3600, change.at+shift+2*3600
			answer, ok := answers[change]
			if !ok {
				c := readClock(loc, start-shift-3600, end+shift+3600)
				for _, o := range oracleCrons {
					list := c.elapsed(o.match)
					if o.fixed {
						list = c.fixed(o.match)
					}
					list = slices.DeleteFunc(list, func(due int64) bool { return due < start || due >= end })
					answer = append(answer, list)
				}
				answers[change] = answer
			}
			for i, want := range answer {
				if ok && (i+zones)%3 != 0 {
					continue // a change seen before: a third of the expressions will do
				}
				p, after := &plans[i], start*1000-1
				// Asked in the midst of it, a repeated hour say, it is no other.
				amid := change.at + 17*60
				later := slices.IndexFunc(want, func(due int64) bool { return due > amid })
				if due := p.Next(name, amid*1000); later >= 0 && due != want[later]*1000 {
					t.Fatalf("%s, %+v, %q: due at %s, the oracle says %s", name, change, oracleCrons[i].expr,
						time.UnixMilli(due).In(loc), time.Unix(want[later], 0).In(loc))
				}
				for _, due := range want {
					if after = p.Next(name, after); after != due*1000 {
						t.Fatalf("%s, %+v, %q: due at %s, the oracle says %s", name, change, oracleCrons[i].expr,
							time.UnixMilli(after).In(loc), time.Unix(due, 0).In(loc))
					}
					dues++
				}
				if after = p.Next(name, after); after < end*1000 {
					t.Fatalf("%s, %+v, %q: due at %s, the oracle knows nothing of it", name, change, oracleCrons[i].expr,
						time.UnixMilli(after).In(loc))
				}
			}
		}
	}
	t.Logf("%d zones, %d changes (%d different ones), %d due times", zones, changes, len(answers), dues)
	if zones < 300 || changes < 10_000 || dues < 500_000 {
		t.Error("too little was compared")
	}
}

// Through a whole leap year, day after day.
func TestCronAgainstTheOracleAllYear(t *testing.T) {
	const name = "Europe/Berlin"
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	start, end := ms("2028-01-01T00:00:00Z")/1000, ms("2029-01-01T00:00:00Z")/1000
	c := readClock(loc, start, end)
	for _, o := range oracleCrons {
		want := c.elapsed(o.match)
		if o.fixed {
			want = c.fixed(o.match)
		}
		s := Schedule{Cron: o.expr, TimeZone: name}
		p, err := s.Compile(0)
		if err != nil {
			t.Fatal(err)
		}
		after := start*1000 - 1
		for _, due := range want {
			if after = p.Next("", after); after != due*1000 {
				t.Fatalf("%q: due at %s, the oracle says %s", o.expr, time.UnixMilli(after).In(loc), time.Unix(due, 0).In(loc))
			}
		}
	}
}

// Intervals and single times, walked through millisecond by millisecond.
func TestIntervalAgainstTheOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const now = 1_800_000_000_000
		start := now + rapid.Int64Range(-300, 300).Draw(t, "start")
		end := start + rapid.Int64Range(0, 600).Draw(t, "length")
		every := rapid.Int64Range(1, 200).Draw(t, "every")
		jitter := rapid.Int64Range(0, every-1).Draw(t, "jitter")
		s := Schedule{Every: Duration(every) * MinDuration, End: time.UnixMilli(end), Jitter: Duration(jitter) * MinDuration}
		first, anchor := start, start-every
		if rapid.Bool().Draw(t, "start?") {
			s.Start, anchor = time.UnixMilli(start), rapid.Int64().Draw(t, "anchor")
		}
		if rapid.IntRange(0, 9).Draw(t, "at?") == 0 {
			s = Schedule{At: time.UnixMilli(start)}
			jitter, end = 0, start
		}
		p, err := s.Compile(anchor)
		if err != nil {
			t.Fatal(err)
		}
		var want []int64
		for n := int64(now - 1000); n <= end; n++ {
			if n < first || (n-first)%every != 0 {
				continue
			}
			due := n
			if jitter > 0 {
				due += int64(jitterHash("job", n) % uint64(jitter))
			}
			want = append(want, due)
		}
		from := now + rapid.Int64Range(-500, 1000).Draw(t, "from")
		to := from + rapid.Int64Range(0, 1000).Draw(t, "to")
		in := slices.DeleteFunc(slices.Clone(want), func(due int64) bool { return due < from || due >= to })
		n, firstDue, last, more := p.Between("job", from, to, 10_000)
		if n != len(in) || more || n > 0 && (firstDue != in[0] || last != in[n-1]) {
			t.Fatalf("%d from %d to %d, more %v; the oracle says %v", n, firstDue, last, more, in)
		}
		after := int64(0)
		for _, due := range append(want, Never) {
			if after = p.Next("job", after); after != due {
				t.Fatalf("due at %d, the oracle says %d", after, due)
			}
		}
	})
}
