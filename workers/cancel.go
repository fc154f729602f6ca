package workers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// markAge is how long the order to cancel a run is kept: as long as a ring
	// may wait for a worker.
	markAge = 72 * time.Hour
	// markSlack is how much later than an order a message may seem to have been
	// stored that was there before it: servers' clocks differ.
	markSlack = 5 * time.Second
)

// mark is the order to cancel a run, in the state bucket. Every worker watches
// them. It holds for messages that were stored before it, so that what is sent
// back from the dead letters, under the same id, may run.
type mark struct {
	Run  string    `json:"run"`
	Time time.Time `json:"time"`
}

// markKeys are where the orders are.
const markKeys = "cancel.>"

func markKey(run string) string { return "cancel." + Escape(run) }

// Cancel orders a run to be cancelled: the context of its service ends with
// ErrCancelled as its cause, wherever it runs; if it waits, also for another
// attempt, it ends without being started once it is its turn. It is recorded as
// OutcomeCancelled, unless its service comes to a good end nevertheless, and is
// not tried again.
//
// Where the history knows that the run has ended already, nothing is ordered and
// its outcome is returned; else the outcome is empty. To ask again is harmless.
// A run that nobody has heard of is no error: its trigger may be on its way.
func Cancel(ctx context.Context, js jetstream.JetStream, ns Namespace, run string) (outcome string, err error) {
	if _, err := parseRun(run); err != nil || run == "" {
		return "", fmt.Errorf("%w: %q is no run id", ErrName, run)
	}
	marks, err := kv.Open[mark](ctx, js, ns.StateBucket())
	if err != nil {
		return "", fmt.Errorf("cancel run %s: %w", run, err)
	}
	rev, err := setMark(ctx, marks, run)
	if err != nil {
		return "", fmt.Errorf("cancel run %s: %w", run, err)
	}
	if outcome = ended(ctx, js, ns, run); outcome == "" {
		return "", nil
	}
	c := kv.Change[mark]{Key: markKey(run), Revision: rev, Delete: true, TTL: markerAge}
	if _, err := marks.Write(ctx, c); err != nil && !errors.Is(err, kv.ErrConflict) {
		return outcome, fmt.Errorf("take back the order to cancel %s: %w", run, err)
	}
	return outcome, nil
}

// setMark writes the order, or writes it anew.
func setMark(ctx context.Context, marks *kv.Bucket[mark], run string) (uint64, error) {
	c := kv.Change[mark]{Key: markKey(run), Value: mark{run, time.Now().UTC()}, TTL: markAge}
	for {
		rev, err := marks.Write(ctx, c)
		if !errors.Is(err, kv.ErrConflict) {
			return rev, err
		}
		e, err := marks.Get(ctx, c.Key)
		if err != nil && !errors.Is(err, kv.ErrNotFound) && e.Err == nil {
			return 0, err
		}
		c.Revision = e.Revision
	}
}

// lookTime bounds how long the history is searched for the run's end.
const lookTime = 2 * time.Second

// ended is how a run has ended, as far as the history says so soon.
func ended(ctx context.Context, js jetstream.JetStream, ns Namespace, run string) string {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	history, err := OpenHistory(ctx, js, ns)
	if err != nil {
		return ""
	}
	for r, err := range history.Runs(ctx, RunFilter{Run: run}) { // the latest first
		if err != nil || r.Outcome == OutcomeFailed || r.Outcome == OutcomeTimeout {
			return ""
		}
		return r.Outcome
	}
	return ""
}
