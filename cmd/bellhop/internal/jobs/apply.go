package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Apply is bellhop job apply.
type Apply struct {
	source
	DryRun bool              `help:"Say what would be done, and do nothing."`
	Prune  bool              `help:"Delete the jobs with the labels of --label that the file does not hold."`
	Label  map[string]string `short:"l" mapsep:"none" placeholder:"KEY=VALUE" help:"What --prune deletes, and all that the file holds, has this label; may be said many times."`
	Yes    bool              `short:"y" help:"Do not ask before --prune deletes."`
	Output string            `short:"o" enum:",table,wide,json,yaml,name" default:"" help:"Print what was done to each job: table, wide, json, yaml or name, in place of a sentence."`
}

// Help tells what the flags do not.
func (*Apply) Help() string {
	return fmt.Sprintf(`Jobs that are stored as the file has them are left alone, so that a file can be
applied again and again. A job that was there and has come to its end since is as
it should be, too: it is not made to run again.

Up to %d definitions are applied as a whole: if one is refused, nothing is done.
Of more, so many at a time are; what was stopped in the middle is completed by
applying the file again.`, scheduler.MaxBatch)
}

// applied is how results are printed.
var applied = output.Kind[scheduler.Applied]{
	Columns: []output.Column[scheduler.Applied]{
		{Title: "NAME", Text: func(a scheduler.Applied) string { return a.Name }},
		{Title: "ACTION", Text: func(a scheduler.Applied) string { return a.Action }},
		{Title: "REVISION", Wide: true, Text: func(a scheduler.Applied) string { return strconv.FormatUint(a.Revision, 10) }},
	},
	Name: func(a scheduler.Applied) string { return a.Name },
	JSON: func(a scheduler.Applied) ([]byte, error) { return json.Marshal(a) },
}

// Run applies a file.
func (c *Apply) Run(ctx context.Context, s *session.Session) error {
	jobs, err := c.wanted(s)
	if err != nil {
		return err
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	var surplus []string
	if c.Prune {
		if surplus, err = c.surplus(ctx, link, jobs); err != nil {
			return err
		}
		if len(surplus) > 0 && !c.DryRun {
			if err := s.Confirm(c.Yes, "delete %s for good?", several(surplus)); err != nil {
				return err
			}
		}
	}
	t := &counter{progress: screen.NewProgress(s.Err, len(jobs)+len(surplus)), counts: map[string]int{}}
	if c.Output != "" {
		t.printer = output.New(s.Out, c.Output, applied)
	}
	err = link.Jobs.ApplyAll(ctx, scheduler.Batch{Put: jobs, DryRun: c.DryRun}, t.tell)
	if err == nil && len(surplus) > 0 { // after what takes their place
		err = link.Jobs.ApplyAll(ctx, scheduler.Batch{Delete: surplus, DryRun: c.DryRun}, t.tell)
	}
	t.progress.Clear()
	if err != nil {
		if all := len(jobs) + len(surplus); !c.DryRun && (t.n > 0 || all > scheduler.MaxBatch) {
			fmt.Fprintf(s.Err, "bellhop: %d of %d changes are made; applying the file again makes the rest\n", t.n, all)
		}
		return errors.Join(c.located(err, len(jobs)), t.close())
	}
	if t.printer != nil {
		return t.close()
	}
	_, err = fmt.Fprintln(s.Out, t.summary(c.DryRun))
	return err
}

// wanted reads the file.
func (c *Apply) wanted(s *session.Session) ([]*scheduler.Job, error) {
	switch {
	case c.File == "":
		return nil, session.Usage("say -f FILE, or -f - for standard input", "no file is named")
	case c.Prune && len(c.Label) == 0:
		return nil, session.Usage("say by --label KEY=VALUE which jobs the file is to hold all of", "--prune without a label would delete every other job")
	case !c.Prune && len(c.Label) > 0:
		return nil, session.Usage("leave it out; the labels of jobs are in the file", "--label is for --prune")
	}
	jobs, err := c.jobs(s, "", new(Fields))
	if err != nil {
		return nil, err
	}
	seen := make(map[string]int, len(jobs))
	for i, j := range jobs {
		if first, twice := seen[j.Name]; twice {
			return nil, session.Usage("leave one of them out", "-f %s: definitions %d and %d are both of the job %q", c.File, first+1, i+1, j.Name)
		}
		seen[j.Name] = i
		for k, v := range c.Label {
			if j.Labels[k] != v {
				return nil, session.Usage("give it the label, or put it into another file",
					"-f %s: definition %d (job %q) lacks the label %s=%s, by which --prune chooses", c.File, i+1, j.Name, k, v)
			}
		}
	}
	return jobs, nil
}

// surplus are the jobs with the labels that the file does not hold.
func (c *Apply) surplus(ctx context.Context, l *session.Link, jobs []*scheduler.Job) (names []string, err error) {
	keep := make(map[string]bool, len(jobs))
	for _, j := range jobs {
		keep[j.Name] = true
	}
	for j, err := range l.Jobs.List(ctx, scheduler.Filter{Labels: c.Label, Limit: scheduler.MaxListLimit}) {
		if err != nil {
			return nil, err
		}
		if !keep[j.Name] {
			names = append(names, j.Name)
		}
	}
	return names, nil
}

// located says which definition of the file an error is about.
func (c *Apply) located(err error, of int) error {
	e, ok := errors.AsType[*scheduler.Error](err)
	if !ok {
		return err
	}
	number, rest, _ := strings.Cut(strings.TrimPrefix(e.Field, "put["), "]")
	i, bad := strconv.Atoi(number)
	if bad != nil || !strings.HasPrefix(e.Field, "put[") {
		return err
	}
	own := *e
	own.Field = strings.TrimPrefix(rest, ".")
	return placed(c.File, i, of, &own)
}

// counter counts what is done, and shows it.
type counter struct {
	progress *screen.Progress
	printer  *output.Printer[scheduler.Applied]
	counts   map[string]int
	n        int
	err      error
}

func (t *counter) tell(done []scheduler.Applied) {
	for _, a := range done {
		t.counts[a.Action]++
		if t.printer != nil && t.err == nil {
			t.err = t.printer.Print(a)
		}
	}
	t.n += len(done)
	t.progress.Show(t.n)
}

func (t *counter) close() error {
	if t.printer == nil || t.err != nil {
		return t.err
	}
	return t.printer.Close()
}

// summary is what was done, or would be, in one line.
func (t *counter) summary(dry bool) string {
	actions := []string{scheduler.ActionCreated, scheduler.ActionUpdated, scheduler.ActionUnchanged, scheduler.ActionDeleted}
	for _, rare := range slices.Sorted(maps.Keys(t.counts)) {
		if !slices.Contains(actions, rare) {
			actions = append(actions, rare)
		}
	}
	var parts []string
	for _, a := range actions {
		parts = append(parts, fmt.Sprintf("%s %d", a, t.counts[a]))
	}
	line := strings.Join(parts, ", ")
	if dry {
		line = "dry run, nothing was done: " + line
	}
	return line
}
