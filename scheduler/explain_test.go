package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExplainCron(t *testing.T) {
	for expr, want := range map[string]string{
		"0 3-6 * * 1-5":          "every hour from 03:00 to 06:00, Monday to Friday",
		"0 3,4 * * MON,THU":      "at 03:00 and 04:00, on Monday and Thursday",
		"30 2 * * *":             "at 02:30, every day",
		"15 30 2 * * *":          "at 02:30:15, every day",
		"*/5 * * * *":            "every 5 minutes",
		"* * * * *":              "every minute",
		"* * * * * *":            "every second",
		"*/10 * * * * *":         "every 10 seconds",
		"@hourly":                "every hour, on the hour",
		"15 * * * *":             "every hour, at 15 minutes past",
		"1 * * * *":              "every hour, at 1 minute past",
		"10 30 * * * *":          "every hour, at 30:10 past",
		"0 */6 * * *":            "every 6 hours from 00:00 to 18:00",
		"0 0 1,15 * 5":           "at 00:00, on the 1st and 15th of the month, and on every Friday",
		"0 0 1-7 * *":            "at 00:00, on the 1st to the 7th of the month",
		"0 0 22,23,31 * *":       "at 00:00, on the 22nd, 23rd and 31st of the month",
		"0 0 29 2 *":             "at 00:00, on the 29th of the month, in February",
		"@weekly":                "at 00:00, on Sunday",
		"@yearly":                "at 00:00, on the 1st of the month, in January",
		"*/15 9-17 * * MON-FRI":  "every 15 minutes, from 09:00 to 17:59, Monday to Friday",
		"* 2 * * *":              "every minute, from 02:00 to 02:59",
		"* */2 * * *":            "every minute, in every 2nd hour from 00:00 on",
		"5,10 9-17/2 * 1-3 *":    "at the minutes 5 and 10, in the hours 9, 11, 13, 15 and 17, from January to March",
		"7,8,9,30 * * * *":       "at the minutes 7 to 9 and 30 of every hour",
		"30 */5 8 * * *":         "every 5 minutes, at second 30, from 08:00 to 08:59",
		"1,2 3 4 * * *":          "at the seconds 1 and 2 of the minute 3, from 04:00 to 04:59, every day",
		"*/30 3,4 * * * *":       "every 30 seconds of the minutes 3 and 4 of every hour",
		"0 0 1 JAN,JUL *":        "at 00:00, on the 1st of the month, in January and July",
		"0 5,6,7 1-31 1-12 0-6":  "at 05:00, 06:00 and 07:00, every day",
		"0 23 * * SUN,MON,TUE,3": "at 23:00, Sunday to Wednesday",
	} {
		s := Schedule{Cron: expr, TimeZone: "Europe/Prague"}
		got, err := s.Explain()
		if err != nil || got != want+", in Europe/Prague" {
			t.Errorf("%q is explained as %q (%v), want %q", expr, got, err, want)
		}
	}
}

func TestExplain(t *testing.T) {
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, tt := range []struct {
		s    Schedule
		want string
	}{
		{Schedule{At: at("2026-12-07T10:00:00+01:00")}, "once, on Monday, 7 December 2026 at 09:00:00 UTC"},
		{Schedule{Every: Duration(time.Hour)}, "every hour"},
		{Schedule{Every: Duration(90 * time.Minute)}, "every 1 hour and 30 minutes"},
		{Schedule{Every: Duration(10 * day)}, "every 10 days"},
		{Schedule{Every: Duration(2 * week)}, "every 2 weeks"},
		{Schedule{Every: Duration(1500 * time.Millisecond)}, "every 1 second and 500 milliseconds"},
		{Schedule{Every: Duration(time.Minute), MaxRuns: 12, Jitter: Duration(5 * time.Second), Start: at("2026-12-07T09:00:00Z"), End: at("2027-01-01T00:00:00Z")},
			"every minute, from Monday, 7 December 2026 at 09:00:00 UTC on, until Friday, 1 January 2027 at 00:00:00 UTC, 12 times in all, each run up to 5 seconds later"},
		{Schedule{Cron: "@daily", TimeZone: "Europe/Prague", Start: at("2026-12-07T09:00:00Z"), MaxRuns: 1},
			"at 00:00, every day, in Europe/Prague, from Monday, 7 December 2026 at 10:00:00 CET on, 1 time in all"},
	} {
		got, err := tt.s.Explain()
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := (&Schedule{}).Explain(); Code(err) != 400 {
		t.Error("an empty schedule is explained", err)
	}
}

func FuzzExplain(f *testing.F) {
	f.Add("0 3-6 * * 1-5")
	f.Add("*/7 1,2 */9 * * 0")
	f.Fuzz(func(t *testing.T, expr string) {
		s := Schedule{Cron: expr}
		if _, err := s.Compile(0); err != nil {
			return // refused, so there is nothing to explain
		}
		words, err := s.Explain()
		if err != nil || strings.Contains(words, "  ") || strings.HasPrefix(words, ",") {
			t.Errorf("%q: %q, %v", expr, words, err)
		}
	})
}

func TestClockChanges(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		expr, zone string
		want       []string
	}{
		{"30 2 * * *", "Europe/Prague", []string{
			"2026-03-29 02:00-03:00 02:30 does not exist: it runs once, right after the gap",
			"2026-10-25 03:00-02:00 02:30 comes twice: it runs the first time alone",
		}},
		{"*/20 2 * * *", "Europe/Prague", []string{
			"2026-03-29 02:00-03:00 02:00 and what follows in between do not exist: they run once, right after the gap",
			"2026-10-25 03:00-02:00 02:00 and what follows in between come twice: they run the first time alone",
		}},
		{"*/20 * * * *", "Europe/Prague", []string{
			"2026-03-29 02:00-03:00 what would be due in between does not exist, and is left out",
			"2026-10-25 03:00-02:00 what is due in between comes twice, and runs both times",
		}},
		{"0 12 * * *", "Europe/Prague", nil},
		{"30 2 * * 1", "Europe/Prague", nil}, // clocks change on Sundays
		{"30 2 * * *", "", nil},
		{"15 2 * * *", "Australia/Lord_Howe", []string{
			"2026-10-04 02:00-02:30 02:15 does not exist: it runs once, right after the gap",
		}},
	} {
		s := Schedule{Cron: tt.expr, TimeZone: tt.zone}
		changes, err := s.ClockChanges(from, from.AddDate(1, 0, 0))
		if err != nil {
			t.Error(err)
		}
		var got []string
		for _, c := range changes {
			got = append(got, c.At.Format(time.DateOnly)+" "+c.From+"-"+c.To+" "+c.Note)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s in %s: %s", tt.expr, tt.zone, diff)
		}
	}
	if changes, err := (&Schedule{Every: Duration(day)}).ClockChanges(from, from.AddDate(1, 0, 0)); changes != nil || err != nil {
		t.Error("an interval has a clock", changes, err)
	}
}

func TestScheduleNext(t *testing.T) {
	after := time.Date(2026, 12, 7, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		s    Schedule
		want []time.Time
	}{
		{Schedule{Every: Duration(time.Hour), Jitter: Duration(time.Minute)}, []time.Time{after.Add(time.Hour), after.Add(2 * time.Hour), after.Add(3 * time.Hour)}},
		{Schedule{Every: Duration(time.Hour), MaxRuns: 2}, []time.Time{after.Add(time.Hour), after.Add(2 * time.Hour)}},
		{Schedule{At: after.Add(time.Hour)}, []time.Time{after.Add(time.Hour)}},
		{Schedule{At: after}, nil},
	} {
		got, err := tt.s.Next(after, 3)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := (&Schedule{}).Next(after, 1); err == nil {
		t.Error("an empty schedule is due")
	}
}
