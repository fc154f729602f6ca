package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Next is bellhop job next.
type Next struct {
	Name string `arg:"" optional:"" complete:"job" help:"The job's name; with a schedule in its place, no job and no NATS is needed."`
	Times
	Count int    `short:"n" default:"5" help:"So many times (${default})."`
	After string `placeholder:"TIME" help:"After this time, in place of now."`
}

// Run prints the times, one a line, in UTC.
func (c *Next) Run(ctx context.Context, s *session.Session) error {
	if (c.Name != "") == c.given() {
		return session.Usage("say NAME, or --every, --cron or --at", "either a job or a schedule is needed")
	}
	if c.Count < 1 || c.Count > scheduler.MaxNextCount {
		return session.Usage("", "--count: use 1 to %d", scheduler.MaxNextCount)
	}
	after := time.Now()
	if c.After != "" {
		var err error
		if after, err = clock.Parse(c.After, after); err != nil {
			return session.Usage(clock.Hint, "--after: %w", err)
		}
	}
	next, err := c.next(ctx, s, after)
	if err != nil {
		return err
	}
	for _, t := range next {
		fmt.Fprintln(s.Out, t.UTC().Format("2006-01-02T15:04:05.999Z07:00"))
	}
	return nil
}

func (c *Next) next(ctx context.Context, s *session.Session, after time.Time) ([]time.Time, error) {
	if c.Name == "" {
		var schedule scheduler.Schedule
		if err := c.apply(&schedule, time.Now()); err != nil {
			return nil, err
		}
		return schedule.Next(after, c.Count)
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer link.Close()
	return link.Jobs.Next(ctx, c.Name, c.Count, after)
}
