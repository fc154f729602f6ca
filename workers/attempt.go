package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// maxLost is how many deliveries more than its attempts a trigger gets before
// it is taken for one that kills its workers.
const maxLost = 10

// maxStack bounds the stack of a panic in the log, in bytes.
const maxStack = 4 << 10

// ioTimeout bounds each request to NATS on a run's way.
const ioTimeout = 5 * time.Second

var (
	errIgnored = errors.New("timed out, and the service did not heed it")
	errGoexit  = errors.New("service ended its goroutine")
	errExpired = errors.New("too late: not started before it expired")
)

// attempt is one delivery of a trigger, or one direct call, on its way:
//
//	taken ─► slot ─► serve ─► claim ─► record ─► ack | nak | dead letter + ack
//	   └── heartbeats ──────────────────┘
//
// Exactly one goroutine claims an attempt and settles it: the one that served
// it, or, where the service does not return, the one that gives up on it.
type attempt struct {
	w     *Worker
	held  *held
	lane  *lane
	t     Trigger
	rules rules
	place string
	key   key

	msg    jetstream.Msg                               // nil for a direct call
	answer func(out []byte, outcome string, err error) // nil but for a direct call

	started  time.Time
	deadline atomic.Int64 // Unix ns; 0 while nothing runs
	claimed  atomic.Bool
}

func (a *attempt) claim() bool { return a.claimed.CompareAndSwap(false, true) }

func (a *attempt) overdue(now time.Time) bool {
	d := a.deadline.Load()
	return d != 0 && now.UnixNano() > d+int64(patience)
}

func (a *attempt) beat() {
	if a.msg != nil {
		_ = a.msg.InProgress() // the connection is away: the next one, or a redelivery
	}
}

// run does the whole way. The caller has taken a slot for it; it is free again
// at the end.
func (a *attempt) run(hard context.Context) {
	a.started = time.Now()
	if err := a.hopeless(); err != nil {
		if a.claim() {
			a.settle(hard, nil, err, false)
		}
		return
	}
	if a.t.Attempt > 1 {
		a.t.LastError = a.lastError(hard)
	}
	ctx, cancel := context.WithTimeout(hard, a.rules.timeout)
	defer cancel()
	a.deadline.Store(time.Now().Add(a.rules.timeout).UnixNano())
	a.w.running.WithLabelValues(a.t.Service).Inc()
	var out []byte
	err := errGoexit
	defer func() { // runtime.Goexit in the service comes by here, too
		a.w.running.WithLabelValues(a.t.Service).Dec()
		if !a.claim() {
			a.w.log.Warn("service returned after it was given up", "service", a.t.Service, "run", a.t.Run)
			return
		}
		a.settle(hard, out, err, errors.Is(ctx.Err(), context.DeadlineExceeded))
	}()
	out, err = a.serve(ctx)
}

// hopeless says why a run is not even started.
func (a *attempt) hopeless() error {
	if a.rules.expired(a.t.Due, a.started) {
		return errExpired
	}
	if a.t.Attempt > a.rules.attempts+maxLost {
		return Permanent(fmt.Errorf("delivered %d times without an end: its workers died or were stopped", a.t.Attempt))
	}
	return nil
}

// serve calls the service, with a trigger of its own; a panic is an error.
func (a *attempt) serve(ctx context.Context) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			a.w.log.Error("service panicked", "service", a.t.Service, "run", a.t.Run,
				"panic", string(cut(fmt.Append(nil, p), maxError)), "stack", string(cut(debug.Stack(), maxStack)))
		}
	}()
	t := a.t
	return a.w.services[t.Service].Serve(ctx, &t)
}

// settle ends a claimed attempt: metrics, record, and what becomes of the
// message.
func (a *attempt) settle(hard context.Context, out []byte, err error, late bool) {
	a.deadline.Store(0)
	r := a.record(out, err)
	stopped := err != nil && hard.Err() != nil
	switch {
	case err == nil:
		r.Outcome = OutcomeOK
	case errors.Is(err, errExpired):
		r.Outcome, r.Started = OutcomeExpired, time.Time{}
		if a.t.LastError != "" {
			r.Error += "; before that: " + a.t.LastError
		}
	case stopped:
		r.Outcome, r.Error = OutcomeFailed, "worker stopped: "+r.Error
	case a.msg != nil && (IsPermanent(err) || a.t.Attempt >= a.rules.attempts):
		r.Outcome = OutcomeDead
		if stopped = !a.bury(hard, r.Error); stopped {
			r.Outcome, r.Error = OutcomeFailed, "dead letter not stored: "+r.Error
		}
	case late:
		r.Outcome = OutcomeTimeout
	default:
		r.Outcome = OutcomeFailed
	}
	if r.Outcome == OutcomeFailed || r.Outcome == OutcomeTimeout || r.Outcome == OutcomeExpired {
		a.w.log.Warn("attempt without success", "service", a.t.Service, "run", a.t.Run, "attempt", a.t.Attempt, "outcome", r.Outcome, "error", r.Error)
	}
	<-a.w.slots
	a.w.metrics.observe(&r)
	if a.w.o.OnRun != nil {
		a.w.o.OnRun(r)
	}
	e := ending{a, r, stopped}
	if a.answer != nil {
		a.answer(out, r.Outcome, err)
	}
	if a.answer != nil || r.Outcome == OutcomeDead || e.again() { // rare, or something to wait for
		e.send()
		return
	}
	select {
	case a.w.endings <- e:
	case <-hard.Done():
		e.send()
	}
}

// record makes the record but for its outcome.
func (a *attempt) record(out []byte, err error) Run {
	r := Run{
		Run: a.t.Run, Job: a.t.Job, Service: a.t.Service, Channel: a.t.Channel,
		Due: a.t.Due, Started: a.started.UTC(), Finished: time.Now().UTC(),
		Attempt: a.t.Attempt, Worker: a.w.o.Name, Trace: traceID(a.t.Header),
	}
	r.setOutput(out)
	r.setError(err)
	return r
}

// giveBack returns a message that was never started to the fleet.
func (a *attempt) giveBack() {
	a.held.remove(a, false)
	if err := a.msg.Nak(); err != nil {
		a.w.log.Warn("could not give a trigger back: it is redelivered", "service", a.t.Service, "run", a.t.Run, "error", err)
	}
	a.w.open.leave()
}

// bury stores the dead letter, and does not let go until it is stored or the
// worker must stop.
func (a *attempt) bury(hard context.Context, reason string) bool {
	letter := deadLetter(a.w.o.Namespace, &a.t, a.msg.Subject(), a.place, reason)
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		ctx, cancel := context.WithTimeout(hard, ioTimeout)
		err := bury(ctx, a.w.js, letter)
		cancel()
		if err == nil {
			a.w.log.Warn("run failed for good: see the dead letters", "service", a.t.Service, "run", a.t.Run, "attempts", a.t.Attempt, "error", reason)
			return true
		}
		a.w.log.Error("dead letter not stored yet", "service", a.t.Service, "run", a.t.Run, "error", err)
		if !pause(hard, wait) {
			return false
		}
	}
}

// lastError looks up how the attempt before ended: in the latest record of the
// run's subject, if that is this run's.
func (a *attempt) lastError(ctx context.Context) string {
	if a.rules.history == HistoryNone || a.msg == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	s, err := a.w.js.Stream(ctx, a.w.o.Namespace.RunsStream())
	if err != nil {
		return ""
	}
	m, err := s.GetLastMsgForSubject(ctx, a.w.o.Namespace.RunSubject(a.t.Job, a.t.Service))
	if err != nil {
		return ""
	}
	var r Run
	if json.Unmarshal(m.Data, &r) != nil || r.Run != a.t.Run {
		return ""
	}
	return r.Error
}
