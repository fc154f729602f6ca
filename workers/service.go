package workers

import (
	"context"
	"errors"
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

type permanentError struct{ error }

func (p permanentError) Unwrap() error { return p.error }

// Permanent marks an error that no retry can heal: the run becomes a dead
// letter at once. Nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanentError{err}
}

// IsPermanent says whether an error, or one that it wraps, was marked with
// Permanent.
func IsPermanent(err error) bool {
	_, ok := errors.AsType[permanentError](err)
	return ok
}
