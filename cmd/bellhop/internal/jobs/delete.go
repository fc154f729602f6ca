package jobs

import (
	"context"
	"fmt"
	"strings"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
)

// Delete is bellhop job delete.
type Delete struct {
	Names []string `arg:"" optional:"" name:"name" complete:"job" help:"Names of jobs."`
	Filter
	All bool `help:"Every job there is."`
	Yes bool `short:"y" help:"Do not ask."`
}

// Run asks, and deletes.
func (c *Delete) Run(ctx context.Context, s *session.Session) error {
	if chosen := c.given() || c.All; chosen == (len(c.Names) > 0) {
		return session.Usage("name jobs, or choose them by --prefix, --service, --state, --label or --all", "it is not clear which jobs are to be deleted")
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	names := c.Names
	if len(names) == 0 {
		for j, err := range link.Jobs.List(ctx, c.filter(0)) {
			if err != nil {
				return err
			}
			names = append(names, j.Name)
		}
	}
	if len(names) == 0 {
		_, err := fmt.Fprintln(s.Out, "no job is chosen: nothing was deleted")
		return err
	}
	if err := s.Confirm(c.Yes, "delete %s for good?", several(names)); err != nil {
		return err
	}
	for _, name := range names {
		if err := link.Jobs.Delete(ctx, name); err != nil {
			return named(name, err)
		}
		if _, err := fmt.Fprintf(s.Out, "deleted %q\n", name); err != nil {
			return err
		}
	}
	return nil
}

// several names some of the jobs, and says how many they are.
func several(names []string) string {
	const shown = 5
	var quoted []string
	for _, name := range names[:min(shown, len(names))] {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	all := strings.Join(quoted, ", ")
	switch {
	case len(names) == 1:
		return "the job " + all
	case len(names) > shown:
		return fmt.Sprintf("%d jobs (%s, …)", len(names), all)
	}
	return fmt.Sprintf("%d jobs (%s)", len(names), all)
}
