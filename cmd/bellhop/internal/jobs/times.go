package jobs

import (
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
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
		if *f.to, err = clock.Parse(*f.from, now.In(zone)); err != nil {
			return session.Usage(clock.Hint, "%s: %w", f.flag, err)
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
