package scheduler

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unique"
)

// Schedule says when a job is due: At a time, Every so often, or as Cron says.
// Exactly one of the three is set.
type Schedule struct {
	// At is when a one-time job is due.
	At time.Time `json:"at,omitzero"`
	// Every is the interval between the times Start, Start + Every, and so on;
	// without Start, the first is one interval after the job's anchor.
	Every Duration `json:"every,omitempty"`
	// Cron is an expression of five fields, of six with seconds in front, or
	// one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually.
	// Days match either of day-of-month and day-of-week where both are
	// restricted. With a fixed hour (no star in its field, and not all 24), a
	// time that the zone's clock skips fires right after the gap, and one that
	// it shows twice fires once; otherwise it follows elapsed time.
	Cron string `json:"cron,omitempty"`
	// TimeZone is the IANA name of the zone of Cron; UTC if empty.
	TimeZone string `json:"time_zone,omitempty"`
	// Start and End bound the times that Every and Cron name, both included.
	Start time.Time `json:"start,omitzero"`
	End   time.Time `json:"end,omitzero"`
	// MaxRuns is after how many triggers the job is completed; 0 is no limit.
	MaxRuns int64 `json:"max_runs,omitempty"`
	// Jitter spreads the due times of Every and Cron over less than this,
	// which is less than their distance.
	Jitter Duration `json:"jitter,omitempty"`
}

// maxMaxRuns is the largest MaxRuns.
const maxMaxRuns = 1e12

const kindHint = `set exactly one of "at", "every" and "cron"`

// UnmarshalJSON reads a schedule. Its errors are *Error and name the field.
// Fields that it does not know are let pass: see decodeSchedule.
func (s *Schedule) UnmarshalJSON(data []byte) error {
	v, err := decodeSchedule(data, false)
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// decodeSchedule reads a schedule from JSON; strict refuses unknown fields. Its
// errors are *Error. It checks that each value can be read, and leaves to
// Compile whether they make sense.
func decodeSchedule(data []byte, strict bool) (Schedule, error) {
	raw, err := parseInto(make(object, 0, 8), data)
	return scheduleOf(data, raw, err, strict)
}

// readSchedule is decodeSchedule of what stands in JSON that was found to be valid.
func readSchedule(data []byte, strict bool) (Schedule, error) {
	raw, err := splitObject(make(object, 0, 8), data)
	return scheduleOf(data, raw, err, strict)
}

// scheduleOf reads the fields of data, if they could be told apart.
func scheduleOf(data []byte, raw object, err error, strict bool) (Schedule, error) {
	if start := skipSpace(data, 0); start == len(data) || data[start] != '{' {
		return Schedule{}, invalid("schedule", kindHint, "the schedule is not a JSON object")
	}
	if err != nil {
		e := located("", err)
		e.Field = strings.TrimSuffix("schedule."+e.Field, ".")
		return Schedule{}, e
	}
	var s Schedule
	for _, f := range raw {
		hint, err := s.readField(f)
		if err == nil || errors.Is(err, errUnknownField) && !strict {
			continue
		}
		e, ok := errors.AsType[*Error](err)
		switch {
		case errors.Is(err, errUnknownField):
			e = invalid("", "", "unknown field")
		case !ok:
			e = invalid("", hint, "cannot read %.60s", f.value)
		}
		e.Field = "schedule." + f.name
		return Schedule{}, e
	}
	return s, nil
}

// readField sets what f holds; null stands for an absent one. Of a value that is not of
// its kind the hint says what would be.
func (s *Schedule) readField(f field) (hint string, err error) {
	const (
		timeHint = `use RFC 3339, such as "2026-12-07T09:00:00Z"`
		runsHint = "use a whole number"
		cronHint = `use a string such as "30 2 * * MON"`
		zoneHint = `use a string such as "Europe/Berlin"`
	)
	switch f.name {
	case "at":
		s.At, err = readTime(f)
		return timeHint, err
	case "every":
		s.Every, err = readDuration(f)
		return durationHint, err
	case "cron":
		s.Cron, err = readText(f)
		return cronHint, err
	case "time_zone":
		s.TimeZone, err = readText(f)
		return zoneHint, err
	case "start":
		s.Start, err = readTime(f)
		return timeHint, err
	case "end":
		s.End, err = readTime(f)
		return timeHint, err
	case "max_runs":
		s.MaxRuns, err = readNumber(f)
		return runsHint, err
	case "jitter":
		s.Jitter, err = readDuration(f)
		return durationHint, err
	}
	return "", errUnknownField
}

func readText(f field) (string, error) {
	if isNull(f.value) {
		return "", nil
	}
	return text(f.value)
}

func readNumber(f field) (n int64, err error) {
	err = json.Unmarshal(f.value, &n)
	return n, err
}

func readDuration(f field) (d Duration, err error) {
	s, err := readText(f)
	if err == nil && !isNull(f.value) {
		d, err = ParseDuration(s)
	}
	return d, err
}

// readTime reads a time but the zero one, which stands for an absent one and so could
// not be checked later.
func readTime(f field) (t time.Time, err error) {
	if isNull(f.value) {
		return t, nil
	}
	if err := t.UnmarshalJSON(f.value); err != nil {
		return t, err
	}
	if t.IsZero() {
		return t, checkTime("", t)
	}
	return t, nil
}

// Compile checks everything about the schedule that needs no clock, and makes
// its plan. The anchor, in Unix milliseconds, is where the grid of Every begins
// if there is no Start. Errors are *Error and name the field.
func (s *Schedule) Compile(anchor int64) (Plan, error) {
	p, err := s.compile(anchor)
	if err != nil { // a nil *Error is not a nil error
		return Plan{}, err
	}
	return p, nil
}

func (s *Schedule) compile(anchor int64) (Plan, *Error) {
	if err := s.check(); err != nil {
		return Plan{}, err
	}
	if !s.At.IsZero() {
		at := s.At.UnixMilli()
		return Plan{origin: at, last: at, every: Never}, nil
	}
	p := Plan{jitter: s.Jitter.millis(), last: maxTime - s.Jitter.millis()}
	if !s.Start.IsZero() {
		p.origin = s.Start.UnixMilli()
	}
	if !s.End.IsZero() {
		p.last = min(p.last, s.End.UnixMilli())
	}
	if s.Every != 0 {
		p.every = s.Every.millis()
		if s.Start.IsZero() {
			p = p.from(anchor)
		}
		if p.jitter >= p.every {
			return Plan{}, invalid("schedule.jitter", "", "jitter %v is not less than the interval %v", s.Jitter, s.Every)
		}
		return p, nil
	}
	zone, err := findZone(s.TimeZone)
	if err != nil {
		return Plan{}, err
	}
	spec, err := parseCron(s.Cron, zone)
	if err != nil {
		return Plan{}, err
	}
	if p.jitter > 0 {
		if gap := spec.gap(); p.jitter >= 1000*gap {
			return Plan{}, invalid("schedule.jitter", "", "jitter %v is not less than the %v between two runs of %q",
				s.Jitter, Duration(gap)*Duration(time.Second), s.Cron)
		}
	}
	p.cron = unique.Make(spec)
	return p, nil
}

// check refuses fields that are out of bounds or do not go together.
func (s *Schedule) check() *Error {
	kinds := 0
	for _, set := range [...]bool{!s.At.IsZero(), s.Every != 0, s.Cron != ""} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		return invalid("schedule", kindHint, `%d of "at", "every" and "cron" are set`, kinds)
	}
	if !s.At.IsZero() {
		for _, field := range [...]struct {
			name string
			set  bool
		}{
			{"start", !s.Start.IsZero()},
			{"end", !s.End.IsZero()},
			{"max_runs", s.MaxRuns != 0},
			{"jitter", s.Jitter != 0},
			{"time_zone", s.TimeZone != ""},
		} {
			if field.set {
				return invalid("schedule."+field.name, "remove it", `%s does not go with "at"`, field.name)
			}
		}
		return checkTime("schedule.at", s.At)
	}
	if s.Every != 0 && s.TimeZone != "" {
		return invalid("schedule.time_zone", `remove it; for times of day use "cron"`, `time_zone does not go with "every"`)
	}
	for _, field := range [...]struct {
		name  string
		value Duration
	}{{"every", s.Every}, {"jitter", s.Jitter}} {
		if field.value == 0 {
			continue
		}
		if err := field.value.check(); err != nil {
			err.Field = "schedule." + field.name
			return err
		}
	}
	if !s.Start.IsZero() {
		if err := checkTime("schedule.start", s.Start); err != nil {
			return err
		}
	}
	if !s.End.IsZero() {
		if err := checkTime("schedule.end", s.End); err != nil {
			return err
		}
		if s.End.Before(s.Start) {
			return invalid("schedule.end", "", "the end %v is before the start %v", s.End.Format(time.RFC3339Nano), s.Start.Format(time.RFC3339Nano))
		}
	}
	if s.MaxRuns < 0 || s.MaxRuns > maxMaxRuns {
		return invalid("schedule.max_runs", "leave it out for no limit", "max_runs is %d, not 0 to %d", s.MaxRuns, int64(maxMaxRuns))
	}
	return nil
}

// checkTime refuses a time that is not in the years 1970 to 9999 (UTC).
func checkTime(field string, t time.Time) *Error {
	if year := t.UTC().Year(); year < 1970 || year > 9999 {
		return invalid(field, "", "the year %d is not in 1970 to 9999", year)
	}
	return nil
}

// floating tells whether the grid hangs on the anchor.
func (s *Schedule) floating() bool { return s.Every != 0 && s.Start.IsZero() }
