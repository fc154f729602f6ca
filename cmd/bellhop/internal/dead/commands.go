// Package dead is bellhop dead: what has failed for good, and what becomes of it.
package dead

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Commands are what can be typed after "bellhop dead".
type Commands struct {
	List    List    `cmd:"" aliases:"ls" help:"List dead letters, the newest first."`
	Show    Show    `cmd:"" help:"Show dead letters whole, with their payload."`
	Redrive Redrive `cmd:"" help:"Send dead letters back to work."`
	Drop    Drop    `cmd:"" aliases:"rm" help:"Delete dead letters for good."`
}

// filter are the flags that choose letters.
type filter struct {
	Service string `short:"s" complete:"service" placeholder:"NAME" help:"Letters of this service."`
	Job     string `short:"j" complete:"job" placeholder:"NAME" help:"Letters of this job."`
	Since   string `placeholder:"TIME" help:"Died since then: 2h (ago), 09:00, or a time."`
	Until   string `placeholder:"TIME" help:"Died by then."`
	Reason  string `placeholder:"TEXT" help:"Letters whose reason holds this, in whatever case."`
}

func (f filter) given() bool { return f != filter{} }

// filter reads the flags.
func (f filter) filter() (scheduler.LetterFilter, error) {
	chosen := scheduler.LetterFilter{Service: f.Service, Job: f.Job, Reason: f.Reason, Limit: scheduler.MaxListLimit}
	for _, bound := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", f.Since, &chosen.Since}, {"--until", f.Until, &chosen.Until}} {
		if bound.text == "" {
			continue
		}
		t, err := clock.ParsePast(bound.text, time.Now())
		if err != nil {
			return chosen, session.Usage("2h is two hours ago; "+clock.Hint, "%s: %w", bound.flag, err)
		}
		*bound.to = t
	}
	return chosen, nil
}

// List is bellhop dead list.
type List struct {
	filter
	Limit int `default:"20" placeholder:"N" help:"So many at most (${default}); 0 is all."`
	output.Flag
}

// Run lists, page by page as they come.
func (c *List) Run(ctx context.Context, s *session.Session) error {
	f, err := c.filter.filter()
	if err != nil {
		return err
	}
	if c.Limit > 0 {
		f.Limit = min(f.Limit, c.Limit)
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	p := output.New(s.Out, c.Output, kind)
	n := 0
	for l, err := range link.Jobs.Letters(ctx, f) {
		if err != nil {
			return errors.Join(err, p.Close())
		}
		if err := p.Print(l); err != nil {
			return err
		}
		if n++; n == c.Limit {
			break
		}
	}
	if n == 0 && (c.Output == output.Table || c.Output == output.Wide) {
		_, err := fmt.Fprintln(s.Out, "no dead letters")
		return err
	}
	return p.Close()
}

// Show is bellhop dead show.
type Show struct {
	IDs     []uint64 `arg:"" name:"id" complete:"letter" help:"Ids of letters, as the list has them."`
	Payload bool     `help:"Print the payload alone, as it is."`
	Output  string   `short:"o" enum:"yaml,json" default:"yaml" help:"yaml or json (one object per line)."`
}

// Run shows them.
func (c *Show) Run(ctx context.Context, s *session.Session) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	p := output.New(s.Out, c.Output, kind)
	for _, id := range c.IDs {
		l, err := link.Jobs.Letter(ctx, id)
		if err == nil && c.Payload && l.Omitted != "" {
			err = fmt.Errorf("the payload of dead letter %d is %s", id, l.Omitted)
		}
		if err != nil {
			return errors.Join(err, p.Close())
		}
		if c.Payload {
			_, err = s.Out.Write(l.Bytes())
		} else {
			err = p.Print(l)
		}
		if err != nil {
			return err
		}
	}
	return p.Close()
}

// choice are the letters that a command is to do something with.
type choice struct {
	IDs []uint64 `arg:"" optional:"" name:"id" complete:"letter" help:"Ids of letters, as the list has them."`
	filter
	All    bool `help:"Every letter there is."`
	DryRun bool `help:"Say what would be done, and do nothing."`
	Yes    bool `short:"y" help:"Do not ask."`
}

// Redrive is bellhop dead redrive.
type Redrive struct{ choice }

// Help is what --help says below the summary.
func (Redrive) Help() string {
	return `Each is rung again with its payload, its headers, its policy and its run id, and is no letter
any more; should it fail again, it will be one again. What makes it end at once is left
out: the policy's expiry, and how long the chain was.`
}

// Run asks where more than one is chosen, and sends them back.
func (c *Redrive) Run(ctx context.Context, s *session.Session) error {
	return c.each(ctx, s, "send", "back to work", func(ctx context.Context, l *session.Link, id uint64) (string, error) {
		run, err := l.Jobs.RedriveLetter(ctx, id)
		return fmt.Sprintf("%d is rung again: %s", id, run), err
	})
}

// Drop is bellhop dead drop.
type Drop struct{ choice }

// Run asks where more than one is chosen, and deletes them.
func (c *Drop) Run(ctx context.Context, s *session.Session) error {
	return c.each(ctx, s, "drop", "for good", func(ctx context.Context, l *session.Link, id uint64) (string, error) {
		return fmt.Sprintf("dropped %d", id), l.Jobs.DropLetter(ctx, id)
	})
}

// each does something with the chosen letters, the oldest first; verb and how
// are what it is, in words.
func (c *choice) each(ctx context.Context, s *session.Session, verb, how string, do func(context.Context, *session.Link, uint64) (string, error)) error {
	if chosen := c.given() || c.All; chosen == (len(c.IDs) > 0) {
		return session.Usage("name letters by their ids, or choose them by --service, --job, --since, --until, --reason or --all", "it is not clear which dead letters to %s", verb)
	}
	f, err := c.filter.filter()
	if err != nil {
		return err
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	ids, services, err := c.chosen(ctx, link, f)
	if err != nil {
		return err
	}
	order := fmt.Sprintf("%s %s %s", verb, several(ids, services), how)
	switch {
	case len(ids) == 0:
		_, err := fmt.Fprintln(s.Out, "no dead letters: nothing was done")
		return err
	case c.DryRun:
		_, err := fmt.Fprintf(s.Out, "it would %s\n", order)
		return err
	case len(ids) > 1:
		if err := s.Confirm(c.Yes, "%s?", order); err != nil {
			return err
		}
	}
	return all(s, ids, func(id uint64) (string, error) { return do(ctx, link, id) })
}

// all does something with each. One that is refused does not hold up the others;
// the first refusal is the command's.
func all(s *session.Session, ids []uint64, do func(id uint64) (string, error)) (first error) {
	for _, id := range ids {
		done, err := do(id)
		switch refused, ok := errors.AsType[*scheduler.Error](err); {
		case err == nil:
			if _, err := fmt.Fprintln(s.Out, done); err != nil {
				return err
			}
		case !ok || refused.Code >= 500:
			return err
		case first == nil:
			first = err
		default:
			fmt.Fprintf(s.Err, "bellhop: %v\n", err)
		}
	}
	return first
}

// chosen gives the ids, the lowest first, and how many letters each service has.
// What becomes a letter from now on is not among them.
func (c *choice) chosen(ctx context.Context, link *session.Link, f scheduler.LetterFilter) (ids []uint64, services map[string]int, err error) {
	services = make(map[string]int)
	if len(c.IDs) > 0 {
		return c.named(ctx, link, services)
	}
	for l, err := range link.Jobs.Letters(ctx, f) {
		if err != nil {
			return nil, nil, err
		}
		ids = append(ids, l.ID)
		services[l.Service]++
	}
	return sorted(ids), services, nil
}

// named looks whether each of the ids is there, before anything is done.
func (c *choice) named(ctx context.Context, link *session.Link, services map[string]int) ([]uint64, map[string]int, error) {
	ids := sorted(c.IDs)
	for _, id := range ids {
		l, err := link.Jobs.Letter(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		services[l.Service]++
	}
	return ids, services, nil
}

// several says how many letters they are, and whose: "3 dead letters (a: 2, b: 1)".
func several(ids []uint64, services map[string]int) string {
	const shown = 5
	var parts []string
	for _, service := range byCount(services) {
		if len(parts) == shown {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, fmt.Sprintf("%s: %d", service, services[service]))
	}
	if len(ids) == 1 {
		return fmt.Sprintf("the dead letter %d", ids[0])
	}
	return fmt.Sprintf("%d dead letters (%s)", len(ids), strings.Join(parts, ", "))
}
