package scheduler

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestScheduleJSON(t *testing.T) {
	for _, text := range []string{
		`{"at":"2026-12-07T09:00:00Z"}`,
		`{"at":"2026-12-07T09:00:00+01:00"}`,
		`{"every":"30m","start":"2026-12-07T09:00:00Z","end":"2027-12-07T09:00:00.5Z","max_runs":12,"jitter":"1m"}`,
		`{"cron":"30 2 * * MON","time_zone":"Europe/Berlin","jitter":"1d12h"}`,
	} {
		var s Schedule
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if strict, err := decodeSchedule([]byte(text), true); err != nil || !cmp.Equal(s, strict) {
			t.Errorf("%s: strictly %+v, %v", text, strict, err)
		}
		if _, err := s.Compile(0); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if b, err := json.Marshal(s); err != nil || string(b) != text {
			t.Errorf("%s became %s, %v", text, b, err)
		}
	}
}

func TestScheduleIsUndoneByNothingUnknown(t *testing.T) {
	text := `{"every":"1h","colour":"red","at":null,"Cron":"* * * * *"}`
	var s Schedule
	if err := json.Unmarshal([]byte(text), &s); err != nil || !cmp.Equal(s, Schedule{Every: Duration(time.Hour)}) {
		t.Errorf("%+v, %v", s, err)
	}
	_, err := decodeSchedule([]byte(text), true)
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != 400 || e.Field != "schedule.colour" {
		t.Errorf("strictly: %v", err)
	}
}

func TestScheduleRefuses(t *testing.T) {
	const huge = "123456789012345678901234567890"
	for _, c := range []struct{ text, field, message string }{
		{`5`, "schedule", "not a JSON object"},
		{`"1h"`, "schedule", "not a JSON object"},
		{`[]`, "schedule", "not a JSON object"},
		{`{`, "schedule", "broken JSON"},
		{`{"at":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}`, "schedule", "nested deeper"},
		{`{"at":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + `}`, "schedule.at", "cannot read [[["},

		{`null`, "schedule", "not a JSON object"},
		{`{}`, "schedule", "0 of"},
		{`{"cron":"","start":"2026-01-01T00:00:00Z"}`, "schedule", "0 of"},
		{`{"at":"2026-01-01T00:00:00Z","every":"1h"}`, "schedule", "2 of"},
		{`{"every":"1h","cron":"@daily"}`, "schedule", "2 of"},
		{`{"at":"2026-01-01T00:00:00Z","every":"1h","cron":"@daily"}`, "schedule", "3 of"},

		{`{"at":"tomorrow"}`, "schedule.at", `cannot read "tomorrow"`},
		{`{"at":1767225600}`, "schedule.at", "cannot read 1767225600"},
		{`{"at":"2026-01-01"}`, "schedule.at", "cannot read"},
		{`{"at":"2026-01-01T00:00:00"}`, "schedule.at", "cannot read"},
		{`{"at":"2026-02-30T00:00:00Z"}`, "schedule.at", "cannot read"},
		{`{"at":"12026-01-01T00:00:00Z"}`, "schedule.at", "cannot read"},
		{`{"at":"0001-01-01T00:00:00Z"}`, "schedule.at", "year 1 "},
		{`{"at":"1969-12-31T23:59:59.999Z"}`, "schedule.at", "year 1969"},
		{`{"at":"9999-12-31T23:59:59-01:00"}`, "schedule.at", "year 10000"},

		{`{"every":3600}`, "schedule.every", "cannot read 3600"},
		{`{"every":"soon"}`, "schedule.every", "not a duration"},
		{`{"every":"0s"}`, "schedule.every", "shorter than 1ms"},
		{`{"every":"-1h"}`, "schedule.every", "negative"},
		{`{"every":"1500us"}`, "schedule.every", "whole milliseconds"},
		{`{"every":"101w53000w"}`, "schedule.every", "longer than 100 years"},
		{`{"cron":5}`, "schedule.cron", "cannot read 5"},
		{`{"cron":"nonsense"}`, "schedule.cron", "1 fields"},

		{`{"at":"2026-01-01T00:00:00Z","start":"2026-01-01T00:00:00Z"}`, "schedule.start", `does not go with "at"`},
		{`{"at":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:00Z"}`, "schedule.end", `does not go with "at"`},
		{`{"at":"2026-01-01T00:00:00Z","max_runs":1}`, "schedule.max_runs", `does not go with "at"`},
		{`{"at":"2026-01-01T00:00:00Z","jitter":"1s"}`, "schedule.jitter", `does not go with "at"`},
		{`{"at":"2026-01-01T00:00:00Z","time_zone":"UTC"}`, "schedule.time_zone", `does not go with "at"`},
		{`{"every":"1h","time_zone":"UTC"}`, "schedule.time_zone", `does not go with "every"`},

		{`{"cron":"@daily","time_zone":5}`, "schedule.time_zone", "cannot read 5"},
		{`{"cron":"@daily","time_zone":"Local"}`, "schedule.time_zone", "not a time zone"},
		{`{"cron":"@daily","time_zone":"right/Europe/Berlin"}`, "schedule.time_zone", "not a time zone"},
		{`{"cron":"@daily","time_zone":"../../etc/passwd"}`, "schedule.time_zone", "not a time zone"},
		{`{"cron":"@daily","time_zone":"Europe/../Europe/Berlin"}`, "schedule.time_zone", "Europe"},
		{`{"cron":"@daily","time_zone":"Europe/Atlantis"}`, "schedule.time_zone", "unknown time zone"},
		{`{"cron":"@daily","time_zone":"` + strings.Repeat("A", 500) + `"}`, "schedule.time_zone", "not a time zone"},

		{`{"every":"1h","start":"1969-01-01T00:00:00Z"}`, "schedule.start", "year 1969"},
		{`{"every":"1h","start":"0001-01-01T00:00:00Z"}`, "schedule.start", "year 1 "},
		{`{"every":"1h","end":"0001-01-01T00:00:00Z"}`, "schedule.end", "year 1 "},
		{`{"every":"1h","start":"2026-01-02T00:00:00Z","end":"2026-01-01T00:00:00Z"}`, "schedule.end", "before the start"},
		{`{"every":"1h","max_runs":-1}`, "schedule.max_runs", "max_runs is -1"},
		{`{"every":"1h","max_runs":1000000000001}`, "schedule.max_runs", "max_runs is 1000000000001"},
		{`{"every":"1h","max_runs":` + huge + `}`, "schedule.max_runs", "cannot read " + huge},
		{`{"every":"1h","max_runs":1e400}`, "schedule.max_runs", "cannot read"},
		{`{"every":"1h","max_runs":1.5}`, "schedule.max_runs", "cannot read 1.5"},
		{`{"every":"1h","max_runs":"3"}`, "schedule.max_runs", "cannot read"},

		{`{"every":"1h","jitter":"1h"}`, "schedule.jitter", "not less than the interval 1h"},
		{`{"every":"1h","jitter":"0s"}`, "schedule.jitter", "shorter than 1ms"},
		{`{"cron":"* * * * *","jitter":"1m"}`, "schedule.jitter", "not less than the 1m between"},
		{`{"cron":"0 9,17 * * *","jitter":"8h"}`, "schedule.jitter", "not less than the 8h between"},
		{`{"cron":"@monthly","jitter":"28d"}`, "schedule.jitter", "not less than the 4w between"},
		{`{"cron":"0 0 31 * *","jitter":"31d"}`, "schedule.jitter", "not less than the 31d between"},
		{`{"cron":"0 0 29 2 *","jitter":"1461d"}`, "schedule.jitter", "not less than the 1461d between"},
	} {
		s, err := decodeSchedule([]byte(c.text), true)
		if err == nil {
			_, err = s.Compile(0)
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != 400 || e.Field != c.field || !strings.Contains(e.Message, c.message) {
			t.Errorf("%.80s: %v; want %s: %s", c.text, err, c.field, c.message)
		} else if len(e.Message) > 300 {
			t.Errorf("%.80s: a message of %d bytes", c.text, len(e.Message))
		}
	}
}

func TestScheduleTakesTheLargest(t *testing.T) {
	for _, text := range []string{
		`{"every":"36525d","jitter":"36524d","max_runs":1000000000000}`,
		`{"every":"1h","jitter":"59m59.999s"}`,
		`{"cron":"* * * * *","jitter":"59.999s"}`,
		`{"cron":"@monthly","jitter":"27d"}`,
		`{"cron":"@yearly","jitter":"364d"}`,
	} {
		compile(t, text)
	}
}

// Schedules come from Go code too, past the checks of the JSON form.
func TestScheduleFromCode(t *testing.T) {
	for _, s := range []Schedule{
		{Every: -1},
		{Every: math.MinInt64},
		{Every: math.MaxInt64},
		{Every: Duration(time.Microsecond)},
		{Every: Duration(time.Hour), Jitter: -1},
		{Every: Duration(time.Hour), Jitter: math.MaxInt64},
		{Every: Duration(time.Hour), Start: time.Unix(math.MaxInt64/2, 0)},
		{At: time.Unix(math.MinInt64/2, 0)},
		{At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if _, err := s.Compile(0); Code(err) != 400 {
			t.Errorf("%+v: %v", s, err)
		}
	}
}
