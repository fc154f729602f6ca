package scheduler

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/bellhop-run/bellhop/workers"
)

// runVerbs are what the API does with runs.
type runVerbs struct{ s *Scheduler }

// runID names a run.
type runID struct {
	Run string `json:"run"`
}

// Cancelled is the answer to an order to cancel a run.
type Cancelled struct {
	Run string `json:"run"`
	// Outcome is how the run had ended before; empty when the order was given.
	Outcome string `json:"outcome,omitempty"`
}

func (v runVerbs) cancel(ctx context.Context, data []byte) ([]byte, error) {
	var r runID
	err := readArguments(data, func(f field) (err error) {
		if f.name != "run" {
			return errUnknownField
		}
		r.Run, err = text(f.value)
		return err
	})
	if err != nil {
		return nil, err
	}
	outcome, err := workers.Cancel(ctx, v.s.js, v.s.ns, r.Run)
	if errors.Is(err, workers.ErrName) {
		return nil, invalid("run", "bellhop run list shows ids", "%q is no run id", r.Run)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(Cancelled{r.Run, outcome})
}

// CancelRun orders a run to be cancelled: see workers.Cancel. To ask again is
// harmless, and so is to ask for one that has ended.
func (c *Client) CancelRun(ctx context.Context, run string) (Cancelled, error) {
	var answer Cancelled
	return answer, c.exchange(ctx, c.ns.RunsSubject("cancel"), runID{run}, &answer)
}
