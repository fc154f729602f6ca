package runs

import (
	"context"
	"errors"
	"fmt"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/workers"
)

// Rung prints a run's id or, to follow it, waits for its end and prints its
// output. ring is what rings.
func Rung(ctx context.Context, s *session.Session, link *session.Link, follow bool, ring func() (id string, err error)) error {
	if !follow {
		id, err := ring()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.Out, id)
		return err
	}
	history, err := workers.OpenHistory(ctx, link.JS, link.Namespace)
	if err != nil {
		return err
	}
	last, err := history.Last(ctx) // before the run can have ended
	if err != nil {
		return err
	}
	id, err := ring()
	if err != nil {
		return err
	}
	fmt.Fprintln(s.Err, id)
	var end *workers.Run
	err = history.Follow(ctx, workers.RunFilter{Run: id}, last, func(r *workers.Run) bool {
		if again := r.Outcome == workers.OutcomeFailed || r.Outcome == workers.OutcomeTimeout; again {
			fmt.Fprintf(s.Err, "attempt %d: %s: %s\n", r.Attempt, r.Outcome, r.Error)
			return true
		}
		end = r
		return false
	})
	if err != nil {
		return err
	}
	out := []byte(end.Output)
	if len(end.OutputBase64) > 0 {
		out = end.OutputBase64
	}
	if _, err := s.Out.Write(out); err != nil {
		return err
	}
	if end.OutputSize > 0 {
		fmt.Fprintf(s.Err, "the record keeps %d bytes of %d\n", len(out), end.OutputSize)
	}
	if end.Outcome == workers.OutcomeOK {
		return nil
	}
	return Failed(end.Outcome, end.Error)
}

// Failed is the error of a run that was not ok.
func Failed(outcome, reason string) error {
	if reason == "" {
		reason = "no reason was given"
	}
	return &session.Failure{Code: session.ExitRunFailed, Err: errors.New(outcome + ": " + reason)}
}
