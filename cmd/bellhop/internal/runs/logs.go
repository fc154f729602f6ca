package runs

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/workers"
)

// Logs is bellhop run logs.
type Logs struct {
	ID         string `arg:"" name:"run" help:"The run's id."`
	Follow     bool   `short:"f" help:"Go on until the run ends; exits with 6 if it fails."`
	Timestamps bool   `short:"t" help:"Show when each line was logged."`
}

// Run prints what a run's attempts have logged, the first one first. Lines go to
// standard output, all else to standard error.
func (c *Logs) Run(ctx context.Context, s *session.Session) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	l := lines{s: s, timestamps: c.Timestamps}
	if c.Follow {
		return l.follow(ctx, link, c.ID)
	}
	attempts, err := known(ctx, link, c.ID)
	if err != nil {
		return err
	}
	for _, r := range attempts {
		l.next = 1
		for i := range r.Logs {
			if err := l.print(&r.Logs[i]); err != nil {
				return err
			}
		}
		l.end(r)
	}
	return nil
}

// lines prints a log.
type lines struct {
	s          *session.Session
	timestamps bool
	next       int // the number of the next line
}

func (l *lines) follow(ctx context.Context, link *session.Link, id string) error {
	l.next = 1
	for e, err := range workers.Follow(ctx, link.NC, link.JS, link.Namespace, id) {
		switch {
		case err != nil:
			return err
		case e.Line != nil:
			if err := l.print(e.Line); err != nil {
				return err
			}
		case e.Progress != nil:
			fmt.Fprintf(l.s.Err, "%s %s\n", bar(e.Progress), e.Progress.Note)
		case e.Record != nil:
			l.end(e.Record)
			l.next = 1
			if e.Final() && e.Record.Outcome != workers.OutcomeOK {
				return Failed(e.Record.Outcome, e.Record.Error)
			}
		}
	}
	return nil
}

func (l *lines) print(line *workers.LogLine) error {
	if missing := line.N - l.next; missing > 0 {
		fmt.Fprintf(l.s.Err, "(%d lines left out)\n", missing)
	}
	l.next = line.N + 1
	text := line.Text
	if l.timestamps {
		text = line.Time.Local().Format(time.RFC3339) + " " + text
	}
	_, err := fmt.Fprintln(l.s.Out, text)
	return err
}

// end tells how an attempt has ended, unless all is well.
func (l *lines) end(r *workers.Run) {
	if r.Outcome != workers.OutcomeOK && r.Error != "" {
		fmt.Fprintf(l.s.Err, "attempt %d: %s: %s\n", r.Attempt, r.Outcome, r.Error)
	}
}
