package jobs

import (
	"context"
	"errors"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Filter are the flags that choose jobs.
type Filter struct {
	Prefix  string            `complete:"job" placeholder:"TEXT" help:"Jobs whose name begins so."`
	Service string            `short:"s" complete:"service" placeholder:"NAME" help:"Jobs that ring this service."`
	State   string            `enum:",active,inactive" default:"" placeholder:"active|inactive" help:"Jobs in this state."`
	Label   map[string]string `short:"l" mapsep:"none" placeholder:"KEY=VALUE" help:"Jobs with this label; may be said many times."`
}

func (f Filter) filter(limit int) scheduler.Filter {
	page := scheduler.MaxListLimit
	if limit > 0 {
		page = min(page, limit)
	}
	return scheduler.Filter{Prefix: f.Prefix, Service: f.Service, State: f.State, Labels: f.Label, Limit: page}
}

func (f Filter) given() bool {
	return f.Prefix+f.Service+f.State != "" || len(f.Label) > 0
}

// List is bellhop job list.
type List struct {
	Filter
	Limit int  `placeholder:"N" help:"So many jobs at most."`
	Watch bool `short:"w" help:"Stay, and print what changes."`
	output.Flag
}

// Run lists, page by page as they come.
func (c *List) Run(ctx context.Context, s *session.Session) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	p := output.New(s.Out, c.Output, kind)
	w := watch{link: link, printer: p, matches: c.matches}
	if c.Watch {
		if err := w.open(ctx); err != nil {
			return err
		}
	}
	n := 0
	for j, err := range link.Jobs.List(ctx, c.filter(c.Limit)) {
		if err != nil {
			return errors.Join(err, p.Close())
		}
		if err := p.Print(j); err != nil {
			return err
		}
		if n++; n == c.Limit {
			break
		}
	}
	if c.Watch {
		return w.run(ctx)
	}
	return p.Close()
}

// Get is bellhop job get.
type Get struct {
	Names []string `arg:"" name:"name" complete:"job" help:"Names of jobs."`
	Watch bool     `short:"w" help:"Stay, and print what changes."`
	output.Flag
}

// Run shows the jobs, and at the end says which are not there.
func (c *Get) Run(ctx context.Context, s *session.Session) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	p := output.New(s.Out, c.Output, kind)
	w := watch{link: link, printer: p, matches: c.matches}
	if c.Watch {
		if err := w.open(ctx); err != nil {
			return err
		}
	}
	var missing error
	for _, name := range c.Names {
		j, err := link.Jobs.Get(ctx, name)
		if err == nil {
			err = p.Print(j)
		}
		if missing == nil {
			missing = err
		}
		if err != nil && scheduler.Code(err) != 404 {
			break
		}
	}
	if missing != nil || !c.Watch {
		return errors.Join(missing, p.Close())
	}
	return w.run(ctx)
}
