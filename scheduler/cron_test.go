package scheduler

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// cronExamples are expressions of every sort, for the tests that draw them.
var cronExamples = []string{
	"* * * * *", "*/15 * * * *", "30 * * * *", "7,52 * * * *", "0 */2 * * *", "*/20 */3 * * *", "0 0-23 * * *",
	"0 0 * * *", "30 0 * * *", "30 2 * * *", "0 3 * * *", "15 1-3 * * *", "*/10 0-4 * * *", "59 23 * * *",
	"30 9 * * MON-FRI", "30 2 * * SUN", "0 0 1 * *", "0 12 13 * FRI", "*/30 23,0,1 * * SAT,SUN",
	"@hourly", "@daily", "@weekly", "@monthly", "@yearly", "0 0 29 2 *", "30 30 2 * * *", "*/10 * * * * *",
}

func TestCronRefuses(t *testing.T) {
	for _, c := range []struct{ expr, message, hint string }{
		{" ", "0 fields", "minute hour"},
		{"* * * *", "4 fields", "minute hour"},
		{"* * * * * * *", "7 fields", "seconds in front"},
		{"60 * * * *", `minute "60"`, ""},
		{"* 24 * * *", `hour "24"`, ""},
		{"* * 0 * *", `day-of-month "0"`, ""},
		{"* * 32 * *", `day-of-month "32"`, ""},
		{"* * * 13 *", `month "13"`, ""},
		{"* * * * 7", `day-of-week "7"`, "Sunday is 0"},
		{"61 * * * * *", `second "61"`, ""},
		{"-1 * * * *", `minute "-1"`, ""},
		{"+1 * * * *", "unexpected +", ""},
		{"1.5 * * * *", "unexpected .", ""},
		{"é * * * *", "unexpected é", ""},
		{"\x00 * * * *", `minute "\x00"`, ""},
		{"\xff * * * *", `minute "\xff"`, ""},
		{", * * * *", "empty", ""},
		{"1,,2 * * * *", "empty", ""},
		{"x * * * *", "neither a number nor a name", ""},
		{"99999999999999999999 * * * *", "neither a number", ""},
		{"1/2/3 * * * *", "too many slashes", ""},
		{"1-2-3 * * * *", "too many hyphens", ""},
		{"*/0 * * * *", "step", ""},
		{"*/ * * * *", "neither a number", ""},
		{"*/60 * * * *", "single value", `"every"`},
		{"*/90 * * * *", "single value", `"every"`},
		{"0 */0024 * * *", "single value", `"every"`},
		{"5-10/18446744073709551615 * * * *", "single value", ""},
		{"0 22-4 * * *", "beyond end", "22-23,0-4"},
		{"0 0 * * FRI-MON", "beyond end", ""},
		{"0 0 * * MONDAY", "neither", ""},
		{"0 0 L * *", `day-of-month "L"`, "not supported"},
		{"0 0 15W * *", `day-of-month "15W"`, "not supported"},
		{"0 0 * * 5L", `day-of-week "5L"`, "not supported"},
		{"0 0 * * FRI#2", "n-th weekday", ""},
		{"0 0 30 2 *", "never matches", ""},
		{"0 0 30,31 FEB *", "never matches", ""},
		{"0 0 31 4,6,9,11 *", "never matches", ""},
		{"@every 5m", "not a cron expression", `"every"`},
		{"@every -1h", "not a cron expression", `"every"`},
		{"@every", "not a cron expression", `"every"`},
		{"@reboot", "reboot", `"at"`},
		{"@fortnightly", "not a known name", "@weekly"},
		{"@", "not a known name", "@weekly"},
		{"TZ=", "time zone", `"time_zone"`},
		{"TZ=UTC", "time zone", `"time_zone"`},
		{"TZ=UTC * * * * *", "time zone", `"time_zone"`},
		{"CRON_TZ=UTC", "time zone", `"time_zone"`},
		{"CRON_TZ=Europe/Berlin 0 0 * * *", "time zone", `"time_zone"`},
		{"* TZ=UTC * * *", "time zone", `"time_zone"`},
		{strings.Repeat("1,", 200) + "1 * * * *", "at most 256", ""},
	} {
		s := Schedule{Cron: c.expr}
		_, err := s.Compile(0)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != 400 || e.Field != "schedule.cron" || !strings.Contains(e.Message, c.message) || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("%q: %v; want %q (%q)", c.expr, err, c.message, c.hint)
		}
		if ok && e.Hint == "" {
			t.Errorf("%q: no hint in %v", c.expr, err)
		}
	}
}

func TestCronMeansTheSame(t *testing.T) {
	for _, c := range [][2]string{
		{"@hourly", "0 * * * *"},
		{"@daily", "0 0 * * *"},
		{"@midnight", "  0\t0  * * ?  "},
		{"@weekly", "0 0 * * SUN"},
		{"@monthly", "0 0 1 * *"},
		{"@yearly", "0 0 1 JAN *"},
		{"@annually", "0 0 0 1 1 *"},
		{"0-10/5 1-3 * * mon-wed", "0,5,10 1,2,3 * * 1,2,3"},
		{"50/5 * * * *", "50,55 * * * *"},
		{"0 0-23 * * *", "0 * * * *"},
		{"*/1 * */1 * *", "* * * * *"},
	} {
		z, err := findZone("UTC")
		if err != nil {
			t.Fatal(err)
		}
		a, errA := parseCron(c[0], z)
		b, errB := parseCron(c[1], z)
		if errA != nil || errB != nil || a != b {
			t.Errorf("%q is %+v (%v); %q is %+v (%v)", c[0], a, errA, c[1], b, errB)
		}
	}
}

// The two rules for clocks that are put forward or back, in the words of
// those who ask for them. Lists are of the local times that are due.
func TestCronMeetsTheClocks(t *testing.T) {
	for _, c := range []struct {
		name, cron, zone, after string
		want                    []string
	}{
		{"spring: a skipped time fires right after the gap", "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z",
			[]string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"spring: several skipped times fire once", "*/15 2 * * *", "Europe/Berlin", "2026-03-28T01:30:00Z",
			[]string{"2026-03-28T02:45:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"spring: a skipped time and the one after the gap fire once", "0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00", "2026-03-30T03:00:00+02:00"}},
		{"spring: a skipped Sunday is made up for on the Sunday", "30 2 * * SUN", "Europe/Berlin", "2026-03-23T00:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-04-05T02:30:00+02:00"}},
		{"spring: every half hour takes no notice", "*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"}},
		{"spring: every other hour takes no notice", "0 */2 * * *", "Europe/Berlin", "2026-03-28T22:00:00Z",
			[]string{"2026-03-29T00:00:00+01:00", "2026-03-29T04:00:00+02:00"}},
		{"autumn: a repeated time fires the first time", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"autumn: a repeated hour fires the first time", "*/30 2-3 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T03:00:00+01:00", "2026-10-25T03:30:00+01:00", "2026-10-26T02:00:00+01:00"}},
		{"autumn: every half hour fires both times", "*/30 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"midnight skipped", "@daily", "America/Sao_Paulo", "2018-11-03T00:00:00Z",
			[]string{"2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"midnight skipped, hourly", "@hourly", "America/Sao_Paulo", "2018-11-04T01:30:00Z",
			[]string{"2018-11-03T23:00:00-03:00", "2018-11-04T01:00:00-02:00"}},
		{"before midnight repeated", "30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00:00Z",
			[]string{"2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"}},
		{"half an hour skipped", "15 2 * * *", "Australia/Lord_Howe", "2026-10-02T18:00:00Z",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"half an hour repeated", "*/15 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z",
			[]string{"2026-04-05T01:15:00+11:00", "2026-04-05T01:30:00+11:00", "2026-04-05T01:45:00+11:00", "2026-04-06T01:00:00+10:30"}},
		{"a day lost", "0 9 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z",
			[]string{"2011-12-29T09:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T09:00:00+14:00"}},
		{"a day lost: all of it fires once", "0 6-18 * * *", "Pacific/Apia", "2011-12-30T03:30:00Z",
			[]string{"2011-12-29T18:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T06:00:00+14:00"}},
		{"a day lost: the year's only one", "0 9 30 12 *", "Pacific/Apia", "2011-01-01T12:00:00Z",
			[]string{"2011-12-31T00:00:00+14:00", "2012-12-30T09:00:00+14:00"}},
		{"a day lost: its midnight and the next one's", "@daily", "Pacific/Apia", "2011-12-29T00:00:00Z",
			[]string{"2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"}},
		{"forty-four minutes and a half", "40 0 7 1 *", "Africa/Monrovia", "1971-06-01T00:00:00Z",
			[]string{"1972-01-07T00:44:30Z", "1973-01-07T00:40:00Z"}},
		{"two hours and back", "30 1,2 * * *", "Antarctica/Troll", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T01:30:00+02:00"}},
		{"two hours repeated", "30 1,2 * * *", "Antarctica/Troll", "2026-10-24T12:00:00Z",
			[]string{"2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T01:30:00Z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Schedule{Cron: c.cron, TimeZone: c.zone}
			p, err := s.Compile(0)
			if err != nil {
				t.Fatal(err)
			}
			loc, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			got := upcoming(&p, "job", c.after, len(c.want), loc)
			if got, want := strings.Join(got, "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// The last span is remembered per zone: questions that jump between the spans
// get the same answers as those that go in order.
func TestCronAsksInAnyOrder(t *testing.T) {
	s := Schedule{Cron: "30 2 * * *", TimeZone: "America/New_York"}
	p, err := s.Compile(0)
	if err != nil {
		t.Fatal(err)
	}
	var dues []int64
	for due := p.Next("", ms("2020-01-01T00:00:00Z")); due < ms("2030-01-01T00:00:00Z"); due = p.Next("", due) {
		dues = append(dues, due)
	}
	for i := range dues {
		j := i * 911 % (len(dues) - 1)
		if got := p.Next("", dues[j]); got != dues[j+1] {
			t.Fatalf("after %d: %d, not %d", dues[j], got, dues[j+1])
		}
	}
}
