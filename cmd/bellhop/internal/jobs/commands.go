// Package jobs is bellhop job: a command for every verb of the management API.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Commands are what can be typed after "bellhop job".
type Commands struct {
	Create     Create     `cmd:"" help:"Make a job, or many from a file."`
	Put        Put        `cmd:"" help:"Make jobs, or replace those that exist whole."`
	Apply      Apply      `cmd:"" help:"Make, replace and leave alone, as a file of many jobs says."`
	Update     Update     `cmd:"" help:"Change what is said of a job, and leave the rest."`
	Get        Get        `cmd:"" help:"Show jobs."`
	List       List       `cmd:"" aliases:"ls" help:"List jobs."`
	Delete     Delete     `cmd:"" aliases:"rm" help:"End jobs for good."`
	Activate   Activate   `cmd:"" help:"Make jobs run again; their runs are counted from zero."`
	Deactivate Deactivate `cmd:"" help:"Stop jobs until they are activated."`
	Run        Run        `cmd:"" help:"Ring a job's service now, and print the run's id."`
	Next       Next       `cmd:"" help:"Show when a job, or any schedule, is due."`
	Log        Log        `cmd:"" help:"Show who has changed which job, when and how."`
	History    History    `cmd:"" help:"Show a job's revisions, as far as they are kept."`
	Restore    Restore    `cmd:"" help:"Make a job what it was at an earlier revision."`
}

// Changed is printed by the commands that change jobs.
type Changed struct {
	Output string `short:"o" enum:",table,wide,json,yaml,name" default:"" help:"Print the job: table, wide, json, yaml or name, in place of a sentence."`
}

// teller tells of changed jobs: in a sentence, or as an object.
type teller struct {
	s       *session.Session
	printer *output.Printer[*scheduler.Job]
}

func (c Changed) teller(s *session.Session) *teller {
	t := &teller{s: s}
	if c.Output != "" {
		t.printer = output.New(s.Out, c.Output, kind)
	}
	return t
}

func (t *teller) tell(done string, j *scheduler.Job) error {
	if t.printer != nil {
		return t.printer.Print(j)
	}
	_, err := fmt.Fprintf(t.s.Out, "%s %q: %s\n", done, j.Name, outlook(j, time.Now()))
	return err
}

func (t *teller) close() error {
	if t.printer != nil {
		return t.printer.Close()
	}
	return nil
}

// each does something to jobs by their names and tells of it, up to the first
// error.
func (c Changed) each(ctx context.Context, s *session.Session, done string, names []string,
	do func(context.Context, *session.Link, string) (*scheduler.Job, error)) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	t := c.teller(s)
	for _, name := range names {
		var j *scheduler.Job
		if j, err = do(ctx, link, name); err != nil {
			err = named(name, err)
			break
		}
		if err = t.tell(done, j); err != nil {
			break
		}
	}
	return errors.Join(err, t.close())
}

// named says which of several jobs an error is about, where it does not.
func named(name string, err error) error {
	if e, ok := errors.AsType[*scheduler.Error](err); ok && e.Field != "name" {
		c := *e
		c.Message = fmt.Sprintf("%s (job %q)", c.Message, name)
		return &c
	}
	return err
}

// Deactivate is bellhop job deactivate.
type Deactivate struct {
	Names []string `arg:"" name:"name" complete:"job" help:"Names of jobs."`
	Changed
}

// Run deactivates.
func (c *Deactivate) Run(ctx context.Context, s *session.Session) error {
	return c.each(ctx, s, "deactivated", c.Names, func(ctx context.Context, l *session.Link, name string) (*scheduler.Job, error) {
		return l.Jobs.Deactivate(ctx, name)
	})
}

// Activate is bellhop job activate.
type Activate struct {
	Names []string `arg:"" name:"name" complete:"job" help:"Names of jobs."`
	Times
	Changed
}

// Run activates, with another schedule if one is given.
func (c *Activate) Run(ctx context.Context, s *session.Session) error {
	var schedule *scheduler.Schedule
	if c.given() {
		schedule = new(scheduler.Schedule)
		if err := c.apply(schedule, time.Now()); err != nil {
			return err
		}
	}
	return c.each(ctx, s, "activated", c.Names, func(ctx context.Context, l *session.Link, name string) (*scheduler.Job, error) {
		return l.Jobs.Activate(ctx, name, schedule)
	})
}
