package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Log is bellhop job log.
type Log struct {
	Name   string `arg:"" optional:"" complete:"job" help:"The job's name; all jobs without one."`
	By     string `placeholder:"WHO" help:"Changes made by this person or token."`
	Since  string `placeholder:"TIME" help:"Made since then: 2h (ago), 09:00, or a time."`
	Limit  int    `default:"20" placeholder:"N" help:"So many at most (${default}); 0 is all."`
	Follow bool   `short:"f" help:"Show the changes that are made from now on."`
	output.Flag
}

var changeKind = output.Kind[*scheduler.Change]{
	Columns: []output.Column[*scheduler.Change]{
		{Title: "TIME", Text: func(c *scheduler.Change) string { return clock.Show(c.Time, time.Now()) }},
		{Title: "JOB", Text: func(c *scheduler.Change) string { return c.Job }},
		{Title: "CHANGE", Text: func(c *scheduler.Change) string { return c.Verb }},
		{Title: "BY", Text: func(c *scheduler.Change) string { return orDash(c.By) }},
		{Title: "VIA", Text: func(c *scheduler.Change) string { return orDash(c.Via) }},
		{Title: "REVISION", Text: func(c *scheduler.Change) string { return strconv.FormatUint(c.Revision, 10) }},
		{Title: "WAS", Text: func(c *scheduler.Change) string { return revision(c.Was) }},
		{Title: "FIELDS", Text: func(c *scheduler.Change) string { return changed(c.Fields, false) }},
		{Title: "VALUES", Wide: true, Text: func(c *scheduler.Change) string { return changed(c.Fields, true) }},
	},
	Name: func(c *scheduler.Change) string { return c.Job },
	JSON: func(c *scheduler.Change) ([]byte, error) { return json.Marshal(c) },
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func revision(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}

// changed names fields, with what they were and are if that is wanted.
func changed(fields []scheduler.FieldChange, values bool) string {
	var all []string
	for _, f := range fields {
		text := f.Field
		if values && !f.Omitted {
			text += ": " + orDash(string(f.From)) + " > " + orDash(string(f.To))
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// Run shows the changes, the newest first, or those to come.
func (c *Log) Run(ctx context.Context, s *session.Session) error {
	f := scheduler.ChangeFilter{Job: c.Name, By: c.By}
	if c.Since != "" {
		t, err := clock.ParsePast(c.Since, time.Now())
		if err != nil {
			return session.Usage("2h is two hours ago; "+clock.Hint, "--since: %w", err)
		}
		f.Since = t
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	changes, err := scheduler.OpenChanges(ctx, link.JS, link.Namespace)
	if err != nil {
		return err
	}
	p := output.New(s.Out, c.Output, changeKind)
	if c.Follow {
		last, err := changes.Last(ctx)
		if err != nil {
			return err
		}
		err = changes.Follow(ctx, f, last, func(one scheduler.Placed) bool {
			err = p.Print(&one.Change)
			return err == nil
		})
		return errors.Join(err, p.Close())
	}
	n := 0
	for one, err := range changes.List(ctx, f) {
		if err != nil {
			return errors.Join(err, p.Close())
		}
		if err := p.Print(&one.Change); err != nil {
			return err
		}
		if n++; n == c.Limit {
			break
		}
	}
	return p.Close()
}
