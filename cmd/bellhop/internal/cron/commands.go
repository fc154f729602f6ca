// Package cron is bellhop cron: cron expressions, explained.
package cron

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Commands are what can be typed after "bellhop cron".
type Commands struct {
	Explain Explain `cmd:"" help:"Say in plain words when an expression is due. It needs no NATS."`
}

// Explain is bellhop cron explain.
type Explain struct {
	Expression string `arg:"" help:"Five fields, six with seconds, or @daily and its like, in quotes."`
	Zone       string `placeholder:"Europe/Prague" help:"IANA name of its zone; UTC if none."`
	Count      int    `short:"n" default:"10" help:"So many runs (${default})."`
	Output     string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// explanation is what is said, in JSON.
type explanation struct {
	Schedule     scheduler.Schedule      `json:"schedule"`
	Words        string                  `json:"words"`
	Next         []time.Time             `json:"next"`
	ClockChanges []scheduler.ClockChange `json:"clock_changes"`
}

// Run explains.
func (c *Explain) Run(s *session.Session) error {
	if c.Count < 0 || c.Count > scheduler.MaxNextCount {
		return session.Usage("", "--count: use 0 to %d", scheduler.MaxNextCount)
	}
	e := explanation{Schedule: scheduler.Schedule{Cron: c.Expression, TimeZone: c.Zone}, ClockChanges: []scheduler.ClockChange{}}
	now := time.Now()
	var err error
	if e.Words, err = e.Schedule.Explain(); err != nil {
		return err
	}
	if e.Next, err = e.Schedule.Next(now, c.Count); err != nil {
		return err
	}
	changes, err := e.Schedule.ClockChanges(now, now.AddDate(1, 0, 0))
	if err != nil {
		return err
	}
	e.ClockChanges = append(e.ClockChanges, changes...)
	if c.Output == "json" {
		return json.NewEncoder(s.Out).Encode(e)
	}
	return e.write(s)
}

func (e *explanation) write(s *session.Session) error {
	zone, err := time.LoadLocation(e.Schedule.TimeZone)
	if err != nil {
		return err // it was compiled a moment ago
	}
	fmt.Fprintf(s.Out, "%s\n\n", e.Words)
	const utc, local = "2006-01-02 15:04:05 UTC", "Mon 2006-01-02 15:04:05 MST"
	for _, t := range e.Next {
		if zone == time.UTC {
			fmt.Fprintln(s.Out, t.UTC().Format("Mon "+utc))
		} else {
			fmt.Fprintf(s.Out, "%s   %s\n", t.UTC().Format(utc), t.In(zone).Format(local))
		}
	}
	fmt.Fprintln(s.Out)
	if len(e.ClockChanges) == 0 {
		_, err = fmt.Fprintln(s.Out, "Within a year, no change of the clock makes a difference to it.")
		return err
	}
	for _, c := range e.ClockChanges {
		fmt.Fprintf(s.Out, "On %s the clock goes from %s to %s: %s.\n", c.At.Format("Monday, 2 January 2006,"), c.From, c.To, c.Note)
	}
	return nil
}
