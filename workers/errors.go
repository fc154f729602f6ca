package workers

import (
	"errors"
	"time"
)

// Why the context of a run ends, beside its timeout: its context.Cause.
var (
	// ErrStopped: a worker that stops can wait no longer; a second or two later
	// it goes without the run, which is given to another worker.
	ErrStopped = errors.New("worker stopped")
	// ErrCancelled: somebody has cancelled the run. It is not tried again.
	ErrCancelled = errors.New("run cancelled")
	// ErrReplaced: a newer run of its job, whose overlap policy is replace, has
	// come. It is not tried again.
	ErrReplaced = errors.New("run replaced by a newer one")
	// ErrLeaseLost: the worker could not show for too long that it lives, and
	// another run may have begun beside which this one must not go on. The run
	// is tried again.
	ErrLeaseLost = errors.New("lease lost: the worker could not show that it lives")
)

// Reasons to end a run that was never started.
var (
	errIgnored = errors.New("timed out, and the service did not heed it")
	errGoexit  = errors.New("service ended its goroutine")
	errExpired = errors.New("too late: not started before it expired")
	errSkipped = errors.New("a run of the same job was under way")
	errOver    = errors.New("has ended already")
	errCrowd   = errors.New("too many wait")
)

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

type laterError struct {
	error
	after time.Duration
}

func (l laterError) Unwrap() error { return l.error }

// RetryAfter marks an error after which the next attempt is to come after d,
// whatever the backoff says; at most 24 h, and at least at once. It does not
// add attempts. Nil stays nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return laterError{err, min(max(d, 0), maxBackoff)}
}

// retryAfter gives the wait that an error, or one that it wraps, was marked with.
func retryAfter(err error) (time.Duration, bool) {
	l, ok := errors.AsType[laterError](err)
	return l.after, ok
}
