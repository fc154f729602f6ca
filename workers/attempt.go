package workers

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ioTimeout bounds each request to NATS on a run's way.
const ioTimeout = 5 * time.Second

// attempt is one delivery of a trigger, or one direct call, on its way:
//
//	taken ─► admitted ─► slot ─► serve ─► claim ─► dead letter | chain ─► record ─► departed ─► ack | nak
//	   └────── heartbeats ───────────────┘
//
// Exactly one goroutine claims an attempt and settles it: the one that served
// it, or, where the service does not return, the one that gives up on it.
type attempt struct {
	w     *Worker
	of    *handler // its service
	share *share   // … and the share of that
	held  *held
	lane  *lane // nil for a direct call
	t     Trigger
	rules rules
	key   key
	tries tries

	msg    jetstream.Msg // nil for a direct call
	call   string        // … which has this name
	stored time.Time     // by the server's clock
	away   atomic.Bool   // the worker was; see held.stale
	reply  string        // where its end is told, if somebody waits for that

	contentType atomic.Pointer[string] // of the output
	trace       atomic.Pointer[string] // the run's own traceparent

	refusal error // of admit
	line    atomic.Pointer[line]
	crowded atomic.Bool // it makes room in its lane, if it waits
	tenures []*tenure
	turn    chan struct{} // see pool.await
	behind  *attempt      // the pool's

	started  time.Time
	deadline atomic.Int64 // Unix ns; 0 while nothing runs
	claimed  atomic.Bool
	ctx      runContext // of its service; here, so that it can be stopped
	given    Trigger    // … and its trigger, which is its own to change; here, for one allocation is half the price of two
	live     live
}

// place names an attempt's message by where it is stored, a direct call by itself.
func (a *attempt) place() string { return string(a.appendPlace(nil)) }

func (a *attempt) appendPlace(b []byte) []byte {
	if a.lane == nil {
		return append(b, a.call...)
	}
	return appendPlace(b, a.lane.stream, a.key.sequence)
}

// stop ends an attempt with a cause: its context, when its service runs, and if
// it does not run yet it is never started. The first cause counts.
func (a *attempt) stop(cause error) {
	a.ctx.stop(cause)
	if l := a.line.Load(); l != nil {
		l.poke()
	}
}

// stopped gives the cause of an attempt that was told to stop.
func (a *attempt) stopped() error { return a.ctx.stopped() }

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

// queue has an attempt run as soon as there is a slot.
func (w *Worker) queue(hard context.Context, a *attempt) {
	if w.pool.enter(a) {
		w.hands.start(hard, a)
	}
}

// run does the whole way. Somebody has taken a slot for it; next is the attempt
// that has it then.
func (a *attempt) run(hard context.Context) (next *attempt) {
	a.started = time.Now()
	if a.held.stale(a) {
		return a.forsake()
	}
	if a.tries.again() && a.refusal == nil && a.stopped() == nil {
		a.refusal = a.recall(hard)
		a.started = time.Now()
	}
	if err := a.hopeless(); err != nil {
		return a.refuse(hard, err)
	}
	deadline := a.started.Add(a.rules.timeout)
	a.ctx.begin(hard, deadline, a)
	defer a.ctx.end()
	a.deadline.Store(deadline.UnixNano())
	var out []byte
	err, returned := errGoexit, false
	a.of.figures.begin(a)
	defer func() { // runtime.Goexit in the service comes by here, too
		finished := time.Now()
		a.of.figures.end(finished.Sub(a.started))
		if !a.claim() {
			a.w.log.Warn("service returned after it was given up", "service", a.t.Service, "run", a.t.Run)
			return
		}
		late := err != nil && errors.Is(a.ctx.Err(), context.DeadlineExceeded)
		next = a.settle(hard, out, err, late, finished)
		if !returned { // nor does this
			a.w.hands.start(hard, next)
		}
	}()
	out, err = a.serve(&a.ctx)
	returned = true
	return nil
}

// forsake drops an attempt whose message is another worker's by now. It has a
// slot.
func (a *attempt) forsake() *attempt {
	if !a.claim() {
		return nil
	}
	a.w.log.Info("not started: the worker was away for so long that another has the run now", "service", a.t.Service, "run", a.t.Run)
	go a.letGo(false, nil) // see tally
	return a.w.pool.leave(a.share)
}

// refuse ends an attempt whose service was not called. It has a slot.
func (a *attempt) refuse(hard context.Context, err error) *attempt {
	if !a.claim() {
		return nil
	}
	return a.settle(hard, nil, err, false, time.Now())
}

// hopeless says why a run is not even started.
func (a *attempt) hopeless() error {
	if err := cmp.Or(a.refusal, a.stopped()); err != nil {
		return err
	}
	if a.rules.expired(a.t.Due, a.started) {
		return errExpired
	}
	if a.t.Depth > MaxDepth {
		return Permanent(tooLong(&a.t))
	}
	return nil
}

// serve calls the service, with what is around it and a trigger of its own.
func (a *attempt) serve(ctx context.Context) ([]byte, error) {
	a.given = a.t
	return a.of.Serve(ctx, &a.given)
}

// settle ends a claimed attempt: metrics, record, and what becomes of the
// message. It frees the slot; the attempt that has it then is to be run.
func (a *attempt) settle(hard context.Context, out []byte, err error, late bool, finished time.Time) *attempt {
	r := a.record(out, err, finished)
	stopped := err != nil && hard.Err() != nil
	told := a.stopped()
	switch {
	case err == nil:
		r.Outcome = OutcomeOK
	case errors.Is(err, errSkipped):
		r.Outcome, r.Started = OutcomeSkipped, time.Time{}
	case errors.Is(told, ErrCancelled) || errors.Is(told, ErrReplaced):
		r.Outcome, r.Error = OutcomeCancelled, told.Error()
		if a.deadline.Load() == 0 {
			r.Started = time.Time{}
		}
	case errors.Is(err, errExpired):
		r.Outcome, r.Started = OutcomeExpired, time.Time{}
		if a.t.LastError != "" {
			r.Error += "; before that: " + a.t.LastError
		}
	case stopped:
		r.Outcome, r.Error = OutcomeFailed, "worker stopped: "+r.Error
	case errors.Is(told, ErrLeaseLost):
		stopped = true
		r.Outcome, r.Error = OutcomeFailed, told.Error()
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
	a.deadline.Store(0)
	e := ending{attempt: a, run: r, wait: a.rules.wait(a.t.Attempt), stopped: stopped}
	if after, ok := retryAfter(err); ok {
		e.wait = after
	}
	if !e.again() && !a.chain(hard, &r, out) {
		e.stopped, e.run.Outcome, e.run.Error = true, OutcomeFailed, "what follows could not be rung"
		r = e.run
	}
	if r.Outcome == OutcomeFailed || r.Outcome == OutcomeTimeout || r.Outcome == OutcomeExpired {
		a.w.log.Warn("attempt without success", "service", a.t.Service, "run", a.t.Run, "attempt", a.t.Attempt, "outcome", r.Outcome, "error", r.Error)
	}
	a.of.figures.ended(&r)
	if a.w.o.OnRun != nil {
		a.w.o.OnRun(r)
	}
	if !e.again() {
		a.answers(out, &r, e.stopped, err)
	}
	next := a.w.pool.leave(a.share)
	if a.msg == nil || r.Outcome == OutcomeDead || e.again() || a.tries.again() || a.ordered() { // rare, or something to wait for
		a.w.hands.start(hard, next)
		e.send()
		return nil
	}
	select {
	case a.w.endings <- e: // to look at Done as well would cost more
		return next
	default:
	}
	select {
	case a.w.endings <- e:
	case <-hard.Done():
		e.send()
	}
	return next
}

// record makes the record but for its outcome.
func (a *attempt) record(out []byte, err error, finished time.Time) Run {
	r := Run{
		Run: a.t.Run, Job: a.t.Job, Service: a.t.Service, Channel: a.t.Channel, Parent: a.t.Parent,
		Due: a.t.Due, Started: a.started.UTC(), Finished: finished.UTC(),
		Attempt: a.t.Attempt, Worker: a.w.o.Name, Trace: traceID(a.traceparent()),
	}
	r.setOutput(out)
	r.setError(err)
	a.live.into(&r)
	return r
}

// giveBack returns a message that was never started to the fleet.
func (a *attempt) giveBack() { a.letGo(a.note(a.unbegun), a.msg.Nak) }

// giveBackFor returns it so that it does not come again for a while.
func (a *attempt) giveBackFor(d time.Duration) {
	a.letGo(a.note(a.unbegun), func() error { return a.msg.NakWithDelay(d) })
}

// dismiss acknowledges a message whose run has ended already.
func (a *attempt) dismiss() { a.letGo(true, a.msg.Ack) }

func (a *attempt) letGo(ours bool, reply func() error) {
	a.depart(true, 0)
	a.held.remove(a, false)
	if ours {
		if err := reply(); err != nil {
			a.w.log.Warn("could not let go of a trigger: it is redelivered", "service", a.t.Service, "run", a.t.Run, "error", err)
		}
	}
	a.w.open.leave()
}

// bury keeps a run that has failed for good among the dead letters; false when
// the worker must stop first.
func (a *attempt) bury(hard context.Context, reason string) bool {
	if !a.post(hard, deadLetter(a.w.o.Namespace, &a.t, a.msg.Subject(), a.place(), reason)) {
		return false
	}
	a.w.log.Warn("run failed for good: see the dead letters", "service", a.t.Service, "run", a.t.Run, "attempts", a.t.Attempt, "error", reason)
	return true
}

// post stores a letter, however long that takes; false when the worker must
// stop first.
func (a *attempt) post(hard context.Context, letter *nats.Msg) bool {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		ctx, cancel := context.WithTimeout(hard, ioTimeout)
		err := bury(ctx, a.w.js, letter)
		cancel()
		if err == nil {
			return true
		}
		a.w.log.Error("dead letter not stored yet", "service", a.t.Service, "run", a.t.Run, "error", err)
		if !pause(hard, wait) {
			return false
		}
	}
}
