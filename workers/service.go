package workers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Service does the work. It is rung at least once for each trigger: when a
// worker dies after the work and before its acknowledgement, the same run comes
// again, so whatever must not happen twice is guarded by Trigger.Run.
//
// Serve gives the output that the run's record keeps and a direct caller gets,
// or an error; then the run is tried again as its policy says. The context ends
// with the run's timeout, or when a stopping worker can wait no longer.
type Service interface {
	Serve(ctx context.Context, t *Trigger) ([]byte, error)
}

// ServiceFunc is a function as a Service.
type ServiceFunc func(ctx context.Context, t *Trigger) ([]byte, error)

// Serve calls the function.
func (f ServiceFunc) Serve(ctx context.Context, t *Trigger) ([]byte, error) { return f(ctx, t) }

// ServiceOptions of one service; zero fields mean what the Worker's Options say,
// or no limit.
type ServiceOptions struct {
	// Description and Version (semver) are what `nats micro ls` and
	// `bellhop service list` show: "Bellhop service <name>" and 0.0.0.
	Description string
	Version     string
	// Concurrency is how many runs of the service go on at the same time in
	// this worker, at most Options.Concurrency. 0: as many as there are slots.
	Concurrency int
	// Fleet is how many runs of the service go on at the same time in all
	// workers together; each of them should say the same. 0: no limit.
	Fleet int
	// Rate is how many runs of the service this worker starts in a second, on
	// average: later attempts and direct calls count, too. After a rest a tenth
	// of a second's runs may start at once. 0: no limit.
	Rate float64
	// Priority orders the services that wait for a free slot: higher comes
	// first, from -1,000 to 1,000. Each service has a slot in the end, whatever
	// the others do: one that runs nothing comes before those that run
	// something, and a level of priority is worth a second of waiting there.
	Priority int
	// Timeout, Attempts, Backoff and MaxBackoff are as in Options.
	Timeout    time.Duration
	Attempts   int
	Backoff    time.Duration
	MaxBackoff time.Duration
}

// maxPriority bounds ServiceOptions.Priority, above and below zero.
const maxPriority = 1000

// check refuses options that mean nothing.
func (o *ServiceOptions) check() error {
	switch {
	case o.Concurrency < 0:
		return fmt.Errorf("concurrency %d is below zero", o.Concurrency)
	case o.Fleet < 0:
		return fmt.Errorf("fleet %d is below zero", o.Fleet)
	case !(o.Rate >= 0) || o.Rate > math.MaxFloat32: // NaN is not
		return fmt.Errorf("rate %g is not a number of runs per second", o.Rate)
	case o.Priority < -maxPriority || o.Priority > maxPriority:
		return fmt.Errorf("priority %d is not from %d to %d", o.Priority, -maxPriority, maxPriority)
	case o.Attempts < 0 || o.Timeout < 0 || o.Backoff < 0 || o.MaxBackoff < 0:
		return errors.New("attempts, timeout or backoff is below zero")
	}
	return nil
}

// handler is a service as a worker knows it.
type handler struct {
	Service
	ServiceOptions
	defaults defaults
	figures  *figures
	share    *share
	pace     *pace
}

func newHandler(s Service, o ServiceOptions, d defaults, f *figures) *handler {
	return &handler{s, o, d, f, &share{limit: o.Concurrency, priority: o.Priority, fleet: o.Fleet}, newPace(o.Rate)}
}
