package runs

import (
	"context"
	"errors"
	"fmt"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
)

// Cancel is bellhop run cancel.
type Cancel struct {
	IDs []string `arg:"" name:"run" help:"The runs' ids."`
}

// Run orders one after the other, and goes on where one is refused.
func (c *Cancel) Run(ctx context.Context, s *session.Session) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	var failed []error
	for _, id := range c.IDs {
		answer, err := link.Jobs.CancelRun(ctx, id)
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("run %s: %w", id, err))
		case answer.Outcome != "":
			fmt.Fprintf(s.Out, "%s has ended: %s\n", id, answer.Outcome)
		default:
			fmt.Fprintf(s.Out, "%s is cancelled where it runs, or when it is its turn\n", id)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}
