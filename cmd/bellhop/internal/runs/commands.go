// Package runs is bellhop run and bellhop watch: what workers wrote down, and
// what they write while one looks on.
package runs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/workers"
)

// Commands are what can be typed after "bellhop run".
type Commands struct {
	List List `cmd:"" aliases:"ls" help:"List runs, the newest first."`
	Get  Get  `cmd:"" help:"Show every attempt of a run, with its output."`
	Logs Logs `cmd:"" help:"Show what a run has logged; -f goes on until it ends."`

	Cancel Cancel `cmd:"" help:"Cancel runs, whether they run or wait."`
}

// filter are the flags that choose runs.
type filter struct {
	Job     string `short:"j" complete:"job" placeholder:"NAME" help:"Runs of this job."`
	Service string `short:"s" complete:"service" placeholder:"NAME" help:"Runs of this service."`
	Outcome string `enum:",ok,failed,timeout,dead,cancelled,skipped,missed,expired" default:"" placeholder:"OUTCOME" help:"Runs that ended so: ok, failed, timeout, dead, cancelled, skipped, missed, expired."`
}

func (f filter) filter() workers.RunFilter {
	return workers.RunFilter{Job: workers.Escape(f.Job), Service: f.Service, Outcome: f.Outcome}
}

// List is bellhop run list.
type List struct {
	filter
	Active bool   `help:"Runs that are under way, with their progress."`
	Since  string `placeholder:"TIME" help:"Finished since then: 2h (ago), 09:00, or a time."`
	Until  string `placeholder:"TIME" help:"Finished by then."`
	Limit  int    `default:"20" placeholder:"N" help:"So many at most (${default}); 0 is all."`
	output.Flag
}

// Run lists.
func (c *List) Run(ctx context.Context, s *session.Session) error {
	if c.Active {
		return c.active(ctx, s)
	}
	f := c.filter.filter()
	for _, bound := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", c.Since, &f.Since}, {"--until", c.Until, &f.Until}} {
		if bound.text == "" {
			continue
		}
		t, err := clock.ParsePast(bound.text, time.Now())
		if err != nil {
			return session.Usage("2h is two hours ago; "+clock.Hint, "%s: %w", bound.flag, err)
		}
		*bound.to = t
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	history, err := workers.OpenHistory(ctx, link.JS, link.Namespace)
	if err != nil {
		return err
	}
	p := output.New(s.Out, c.Output, kind)
	n := 0
	for r, err := range history.Runs(ctx, f) {
		if err != nil {
			return errors.Join(err, p.Close())
		}
		if err := p.Print(r); err != nil {
			return err
		}
		if n++; n == c.Limit {
			break
		}
	}
	return p.Close()
}

// Get is bellhop run get.
type Get struct {
	ID string `arg:"" name:"run" help:"The run's id."`
	output.Flag
}

// Run shows the attempts, the first one first.
func (c *Get) Run(ctx context.Context, s *session.Session) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	attempts, err := known(ctx, link, c.ID)
	if err != nil {
		return err
	}
	p := output.New(s.Out, c.Output, kind)
	for _, r := range attempts {
		if err := p.Print(r); err != nil {
			return err
		}
	}
	return p.Close()
}

// known are a run's attempts, the first one first and what is under way last.
func known(ctx context.Context, link *session.Link, id string) ([]*workers.Run, error) {
	active, _, err := workers.Active(ctx, link.NC, link.Namespace, workers.ActiveFilter{Run: id})
	if err != nil {
		return nil, err
	}
	history, err := workers.OpenHistory(ctx, link.JS, link.Namespace) // after the workers: an end is seen rather twice than never
	if err != nil {
		return nil, err
	}
	var attempts []*workers.Run
	for r, err := range history.Runs(ctx, workers.RunFilter{Run: id}) {
		if err != nil {
			return nil, err
		}
		attempts = append(attempts, r)
	}
	slices.Reverse(attempts)
	for _, a := range active {
		ended := func(r *workers.Run) bool {
			return r.Worker == a.Worker && r.Attempt == a.Attempt && !r.Started.Before(a.Started)
		}
		if a.Attempt == 0 || !slices.ContainsFunc(attempts, ended) {
			attempts = append(attempts, record(a))
		}
	}
	if len(attempts) == 0 {
		return nil, &session.Failure{
			Code: session.ExitNotFound, Err: fmt.Errorf("there is no record of a run %q, and no worker has it", id),
			Hint: "it waits for a worker, its record has aged out, or its job keeps none; bellhop service list shows what waits",
		}
	}
	return attempts, nil
}

// Watch is bellhop watch.
type Watch struct {
	filter
	Output string `short:"o" enum:"line,json,name" default:"line" help:"line, json (one object per line) or name."`
}

// Run shows runs until it is interrupted.
func (c *Watch) Run(ctx context.Context, s *session.Session) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	history, err := workers.OpenHistory(ctx, link.JS, link.Namespace)
	if err != nil {
		return err
	}
	last, err := history.Last(ctx)
	if err != nil {
		return err
	}
	show := c.line(s)
	if c.Output != "line" {
		p := output.New(s.Out, c.Output, kind)
		show = func(r *workers.Run) error { return errors.Join(p.Print(r), p.Flush()) }
	}
	fmt.Fprintln(s.Err, "runs as they end; Ctrl-C stops")
	var failed error
	err = history.Follow(ctx, c.filter.filter(), last, func(r *workers.Run) bool {
		failed = show(r)
		return failed == nil
	})
	if errors.Is(err, context.Canceled) && s.Denied() == nil {
		return nil // this is how it ends
	}
	return errors.Join(err, failed)
}

// line shows runs as bellhop up does.
func (c *Watch) line(s *session.Session) func(*workers.Run) error {
	lines := screen.New(s.Out, screen.Colourful(s.Out))
	return func(r *workers.Run) error {
		lines.Run(*r)
		return nil
	}
}
