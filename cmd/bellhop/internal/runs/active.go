package runs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/workers"
)

// activeKind is how runs that are under way are printed.
var activeKind = output.Kind[workers.ActiveRun]{
	Columns: []output.Column[workers.ActiveRun]{
		{Title: "RUN", Text: func(r workers.ActiveRun) string { return r.Run }},
		{Title: "JOB", Text: func(r workers.ActiveRun) string { return screen.JobName(r.Job) }},
		{Title: "SERVICE", Text: func(r workers.ActiveRun) string { return r.Service }},
		{Title: "STATE", Text: state},
		{Title: "TRY", Text: try},
		{Title: "SINCE", Text: since},
		{Title: "PROGRESS", Text: func(r workers.ActiveRun) string { return bar(r.Progress) }},
		{Title: "NOTE", Text: func(r workers.ActiveRun) string {
			if r.Progress == nil {
				return ""
			}
			return r.Progress.Note
		}},
		{Title: "CHANNEL", Wide: true, Text: func(r workers.ActiveRun) string { return r.Channel }},
		{Title: "WORKER", Text: func(r workers.ActiveRun) string { return r.Worker }},
	},
	Name: func(r workers.ActiveRun) string { return r.Run },
	JSON: func(r workers.ActiveRun) ([]byte, error) { return json.Marshal(r) },
}

// What is shown as the outcome of a run that has none yet.
const (
	running = "running"
	waiting = "waiting"
)

func state(r workers.ActiveRun) string {
	if r.Started.IsZero() {
		return waiting
	}
	return running
}

func try(r workers.ActiveRun) string {
	if r.Attempt == 0 {
		return "-"
	}
	return strconv.Itoa(r.Attempt)
}

func since(r workers.ActiveRun) string {
	if r.Started.IsZero() {
		return "-"
	}
	return clock.Show(r.Started, time.Now())
}

// bar draws how far a run has come.
func bar(p *workers.Progress) string {
	if p == nil {
		return "-"
	}
	const width = 10
	full := int(p.Fraction * width)
	return fmt.Sprintf("%s%s %3.0f%%", strings.Repeat("#", full), strings.Repeat(".", width-full), p.Fraction*100)
}

// active lists the runs that workers have now.
func (c *List) active(ctx context.Context, s *session.Session) error {
	if c.Outcome != "" || c.Since != "" || c.Until != "" {
		return session.Usage("what is under way has no outcome and no end", "--active goes without --outcome, --since and --until")
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	all, more, err := workers.Active(ctx, link.NC, link.Namespace, workers.ActiveFilter{Job: workers.Escape(c.Job), Service: c.Service})
	if err != nil {
		return err
	}
	if c.Limit > 0 && len(all) > c.Limit {
		more += len(all) - c.Limit
		all = all[:c.Limit]
	}
	if len(all) == 0 && (c.Output == output.Table || c.Output == output.Wide) {
		_, err := fmt.Fprintln(s.Out, "no runs are under way")
		return err
	}
	p := output.New(s.Out, c.Output, activeKind)
	for _, r := range all {
		if err := p.Print(r); err != nil {
			return err
		}
	}
	if err := p.Close(); err != nil {
		return err
	}
	if more > 0 {
		fmt.Fprintf(s.Err, "and %d more\n", more)
	}
	return nil
}

// record is how a run that is under way stands among its records.
func record(r workers.ActiveRun) *workers.Run {
	return &workers.Run{
		Run: r.Run, Job: r.Job, Service: r.Service, Channel: r.Channel, Due: r.Due, Started: r.Started,
		Attempt: r.Attempt, Outcome: state(r), Worker: r.Worker, Progress: r.Progress, Logs: r.Logs,
	}
}
