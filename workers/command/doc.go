// Package command makes a service of any program in any language. A program may
// be run more than once for one trigger: what must not happen twice, it guards
// by TRIGGER_RUN, which stays the same.
//
//	p, err := command.New([]string{"./bill.sh", "--fast"}, command.Options{Env: os.Environ()})
//	…
//	w.Handle("billing", p)
//
// The data's way:
//
//	payload ────► standard input  ┐            ┌ standard output ─► output
//	                              ├─ program ──┤ standard error ──► log, and the error's text
//	trigger ────► TRIGGER_* ──────┘            └ exit status ─────► outcome
//
// # What a program is given
//
// The payload is its standard input, byte for byte; a program that does not read
// it is none the worse. What else the trigger says is in the environment, beside
// what Options.Env holds; a variable with nothing to say is there and empty.
//
//	TRIGGER_RUN         the run's id, the same at every attempt
//	TRIGGER_JOB         the job's name; TRIGGER_JOB_KEY has it as NATS shows it
//	TRIGGER_SERVICE     the service that was rung
//	TRIGGER_CHANNEL     who rang: scheduler, manual, cli, …
//	TRIGGER_DUE         when it was due, in RFC 3339 and UTC
//	TRIGGER_ATTEMPT     1, 2, …
//	TRIGGER_LAST_ERROR  what the attempt before ended with
//	TRACEPARENT         the W3C trace context, only where there is one: the
//	TRACESTATE          trigger's, or with package tracing the run's own
//
// # What it gives
//
// Exit status 0 is success. ExitPermanent, 65, says that no repetition can heal
// it: the run becomes a dead letter at once. Any other status, or a death by a
// signal, is an error that is tried again as the run's policy says.
//
// Standard output is the run's output. The first Options.MaxOutput bytes of it
// are kept; the rest is read and dropped, with a line in the log, for a run that
// has done its work is not done again because it talked.
//
// Each line of standard error is a line of the log, the first 64 KiB of a run;
// the last lines are the error's text where the run fails.
//
// # How it ends
//
// On Unix a program has a process group of its own: Ctrl-C in a terminal does
// not reach it, its worker drains first. When its context ends, at the timeout
// or because the worker cannot wait any longer, the whole group gets SIGTERM,
// and SIGKILL after Options.Grace. When a program has ended by itself, what it
// has left in its group is killed; while that still holds standard output or
// error, it has the same grace to end it. Only what makes a session of its own
// (setsid) escapes.
//
// A worker that is itself killed (kill -9) takes nobody along. Where a worker is
// the first process of a container, an init (docker run --init) has to bury what
// programs orphan; without one, a terminated group is waited for the whole grace.
package command
