package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/process"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The codes that commands exit with. They do not change.
const (
	ExitOK          = process.ExitOK
	ExitFailed      = process.ExitFailed // any error that has no code of its own
	ExitUsage       = process.ExitConfig // the command, a definition or the configuration cannot be right
	ExitNotFound    = 3                  // there is no such job, service, run or dead letter
	ExitConflict    = 4                  // it exists already, or somebody else has changed it
	ExitUnavailable = 5                  // NATS, a leading scheduler or a worker cannot be reached
	ExitRunFailed   = 6                  // the service was run, and failed
)

// ExitCodes tells them, for --help.
const ExitCodes = `Exit codes:
  0  done
  1  any error that is not below
  2  the command, a definition or the configuration cannot be right
  3  there is no such job, service, run or dead letter
  4  it exists already, or somebody else has changed it meanwhile
  5  NATS, a leading scheduler or a worker cannot be reached
  6  the service was run, and failed
`

// Failure is an error of which more is known: the code to exit with and what to
// do about it.
type Failure struct {
	Code int
	Err  error
	Hint string
}

// Error gives the message without the hint.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap gives the error itself.
func (f *Failure) Unwrap() error { return f.Err }

// Usage is an order that cannot be right.
func Usage(hint, format string, args ...any) error {
	return &Failure{Code: ExitUsage, Err: fmt.Errorf(format, args...), Hint: hint}
}

// Exit says why a command ends and gives the code to exit with.
func (s *Session) Exit(err error) int {
	if err == nil {
		return ExitOK
	}
	if denied := s.Denied(); denied != nil {
		err = &Failure{Code: ExitFailed, Err: denied, Hint: "whoever runs NATS can allow it; bellhop doctor looks for more of its kind"}
	}
	if errors.Is(err, context.Canceled) { // Ctrl-C: its user knows
		return ExitFailed
	}
	f := explain(err)
	fmt.Fprintf(s.Err, "bellhop: %v\n", f.Err)
	if f.Hint != "" {
		fmt.Fprintf(s.Err, "  %s\n", f.Hint)
	}
	return f.Code
}

// explain finds the code and the hint of any error.
func explain(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*scheduler.Error](err); ok {
		return refusal(e)
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return &Failure{Code: ExitUsage, Err: err}
	}
	switch {
	case errors.Is(err, scheduler.ErrNoLeader):
		return &Failure{ExitUnavailable, errors.New("no scheduler is leading"),
			"start one: bellhop up, or bellhop-scheduler; bellhop doctor looks closer, --wait waits longer"}
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrNoStreamResponse):
		return &Failure{ExitUnavailable, errors.New("nothing is set up on this NATS, or not in this namespace"),
			"start bellhop up, or bellhop-scheduler, once; or name another --namespace"}
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders),
		errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected):
		return &Failure{ExitUnavailable, err, "bellhop doctor looks closer"}
	case errors.Is(err, workers.ErrRefused), errors.Is(err, workers.ErrName):
		return &Failure{ExitUsage, err, ""}
	}
	return &Failure{Code: ExitFailed, Err: err}
}

func codeOf(e *scheduler.Error) int {
	switch e.Code {
	case 400, 413:
		return ExitUsage
	case 404:
		return ExitNotFound
	case 409:
		return ExitConflict
	case 503:
		return ExitUnavailable
	}
	return ExitFailed
}

// refusal is what a scheduler has refused. The hint has a line of its own.
func refusal(e *scheduler.Error) *Failure {
	c := *e
	c.Hint = ""
	f := &Failure{Code: codeOf(e), Err: &c, Hint: e.Hint}
	switch f.Code {
	case ExitNotFound:
		c.Field = "" // the message names it
		f.Hint = cmp.Or(f.Hint, "bellhop job list shows those that there are")
	case ExitConflict:
		c.Field = ""
	}
	return f
}
