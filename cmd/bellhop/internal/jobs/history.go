package jobs

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// History is bellhop job history.
type History struct {
	Name string `arg:"" complete:"job" help:"The job's name."`
	output.Flag
}

var revisionKind = output.Kind[*scheduler.Revision]{
	Columns: []output.Column[*scheduler.Revision]{
		{Title: "REVISION", Text: func(r *scheduler.Revision) string { return strconv.FormatUint(r.Revision, 10) }},
		{Title: "TIME", Text: func(r *scheduler.Revision) string { return clock.Show(r.Time, time.Now()) }},
		{Title: "CHANGE", Text: func(r *scheduler.Revision) string { return r.Verb }},
		{Title: "BY", Text: func(r *scheduler.Revision) string { return orDash(r.By) }},
		{Title: "PAYLOAD", Text: func(r *scheduler.Revision) string { return strconv.Itoa(r.PayloadSize) + " bytes" }},
		{Title: "DEFINITION", Wide: true, Text: func(r *scheduler.Revision) string { return string(r.Definition) }},
	},
	Name: func(r *scheduler.Revision) string { return strconv.FormatUint(r.Revision, 10) },
	JSON: func(r *scheduler.Revision) ([]byte, error) { return json.Marshal(r) },
}

// Run shows the revisions that are kept, the newest first.
func (c *History) Run(ctx context.Context, s *session.Session) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	all, err := link.Jobs.History(ctx, c.Name)
	if err != nil {
		return err
	}
	p := output.New(s.Out, c.Output, revisionKind)
	for i := range all {
		if err := p.Print(&all[i]); err != nil {
			return err
		}
	}
	return p.Close()
}

// Restore is bellhop job restore.
type Restore struct {
	Name     string `arg:"" complete:"job" help:"The job's name."`
	Revision uint64 `arg:"" help:"One that bellhop job history shows."`
	Changed
}

// Run makes the job what it was.
func (c *Restore) Run(ctx context.Context, s *session.Session) error {
	return c.each(ctx, s, "restored", []string{c.Name}, func(ctx context.Context, l *session.Link, name string) (*scheduler.Job, error) {
		return l.Jobs.Restore(ctx, name, c.Revision)
	})
}
