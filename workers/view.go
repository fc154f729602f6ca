package workers

import (
	"context"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The states of a RunView.
const (
	RunPending = "pending" // nobody has it yet, as far as is known
	RunWaiting = "waiting" // at a worker, or for its next attempt
	RunRunning = "running"
	RunEnded   = "ended"
)

// RunView is how a run fares: its records, and where it is now.
type RunView struct {
	Run string `json:"run"`
	// State is one of the constants.
	State   string `json:"state"`
	Outcome string `json:"outcome,omitempty"` // of the last attempt that ended
	// Attempts are the records, the first one first; Active is where it is now.
	Attempts []*Run      `json:"attempts,omitempty"`
	Active   []ActiveRun `json:"active,omitempty"`
}

// View looks for a run, which f names, in the records and at the workers; Service
// makes it quicker where it is known. One of which neither knows is RunPending:
// it waits in a stream, or is not known at all.
func View(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, ns Namespace, f RunFilter) (*RunView, error) {
	v := &RunView{Run: f.Run, State: RunPending}
	var err error
	if v.Active, _, err = Active(ctx, nc, ns, ActiveFilter{Run: f.Run, Service: f.Service}); err != nil {
		return nil, err
	}
	history, err := OpenHistory(ctx, js, ns)
	if err != nil {
		return nil, err
	}
	for a, err := range history.Runs(ctx, f) {
		if err != nil {
			return nil, err
		}
		v.Attempts = append(v.Attempts, a)
	}
	slices.Reverse(v.Attempts)
	if n := len(v.Attempts); n > 0 {
		last := v.Attempts[n-1]
		v.State, v.Outcome = RunEnded, last.Outcome
		if last.Outcome == OutcomeFailed || last.Outcome == OutcomeTimeout {
			v.State = RunWaiting
		}
	}
	for _, a := range v.Active {
		if v.State = RunWaiting; !a.Started.IsZero() {
			v.State = RunRunning
			break
		}
	}
	return v, nil
}
