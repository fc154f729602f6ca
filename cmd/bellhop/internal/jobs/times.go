package jobs

import (
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Times are the flags of a schedule.
type Times struct {
	Every   *scheduler.Duration `group:"Schedule" placeholder:"30m" help:"Run at an interval: 500ms, 30m, 1d12h, 2w."`
	Cron    *string             `group:"Schedule" placeholder:"\"0 3 * * 1-5\"" help:"Run as a cron expression says: five fields, six with seconds, or @daily."`
	At      *string             `group:"Schedule" placeholder:"TIME" help:"Run once: 2026-12-07T09:00:00Z, \"2026-12-07 09:00\", 09:00 or +10m."`
	Zone    *string             `group:"Schedule" placeholder:"Europe/Prague" help:"Zone of --cron (UTC if none), and of times without one (this machine's if none)."`
	Start   *string             `group:"Schedule" placeholder:"TIME" help:"Not before."`
	End     *string             `group:"Schedule" placeholder:"TIME" help:"Not after."`
	MaxRuns *int64              `group:"Schedule" placeholder:"N" help:"So many runs, and no more."`
	Jitter  *scheduler.Duration `group:"Schedule" placeholder:"5s" help:"Spread the runs over less than this."`
}

// given tells whether any of the flags was.
func (t *Times) given() bool { return *t != Times{} }

// apply changes a schedule as the flags say. One of --every, --cron and --at
// takes the place of what the schedule had of them.
func (t *Times) apply(s *scheduler.Schedule, now time.Time) error {
	zone, err := t.location(s)
	if err != nil {
		return err
	}
	if t.Every != nil || t.Cron != nil || t.At != nil {
		s.Every, s.Cron, s.At = 0, "", time.Time{}
	}
	switch {
	case t.At != nil: // the rest of an old schedule does not go with it
		*s = scheduler.Schedule{}
	case t.Every != nil:
		s.TimeZone = ""
	}
	for _, f := range []struct {
		from *string
		to   *time.Time
		flag string
	}{{t.At, &s.At, "--at"}, {t.Start, &s.Start, "--start"}, {t.End, &s.End, "--end"}} {
		if f.from == nil {
			continue
		}
		if *f.to, err = ParseTime(*f.from, now.In(zone)); err != nil {
			return session.Usage(timeHint, "%s: %w", f.flag, err)
		}
	}
	if t.Every != nil {
		s.Every = *t.Every
	}
	if t.Cron != nil {
		s.Cron = *t.Cron
	}
	if t.Zone != nil && s.Cron != "" {
		s.TimeZone = *t.Zone
	}
	if t.MaxRuns != nil {
		s.MaxRuns = *t.MaxRuns
	}
	if t.Jitter != nil {
		s.Jitter = *t.Jitter
	}
	return nil
}

// location is the zone of times that name none.
func (t *Times) location(s *scheduler.Schedule) (*time.Location, error) {
	name := s.TimeZone
	if t.Zone != nil {
		name = *t.Zone
	}
	if name == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, session.Usage(`use an IANA name such as "Europe/Prague" or "UTC"`, "--zone: %w", err)
	}
	return zone, nil
}

const timeHint = `use RFC 3339 such as 2026-12-07T09:00:00Z, or "2026-12-07 09:00", 09:00, +10m`

// layouts are the forms of a time without a zone, and how much of them today
// stands for.
var layouts = []string{
	"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly,
}

// ParseTime reads a time as people write it. now says what a time of day, and
// a time without a zone, means: the next time that its clock shows it.
func ParseTime(text string, now time.Time) (time.Time, error) {
	if rest, ok := strings.CutPrefix(text, "+"); ok {
		d, err := scheduler.ParseDuration(rest)
		return now.Add(d.Std()).UTC().Truncate(time.Millisecond), err
	}
	if text == "now" {
		return now.UTC().Truncate(time.Millisecond), nil
	}
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			on := func(day int) time.Time {
				return time.Date(now.Year(), now.Month(), day, t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			}
			if today := on(now.Day()); today.After(now) {
				return today, nil
			}
			return on(now.Day() + 1), nil
		}
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Parse(time.RFC3339, text)
}

// ParsePast reads a time that has passed: as ParseTime, or a duration, which
// is so long ago.
func ParsePast(text string, now time.Time) (time.Time, error) {
	if d, err := scheduler.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return now.Add(-d.Std()), nil
	}
	t, err := ParseTime(text, now)
	if err == nil && t.After(now) && !strings.Contains(text, "-") { // a time of day
		t = t.AddDate(0, 0, -1)
	}
	return t, err
}
