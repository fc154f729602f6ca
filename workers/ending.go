package workers

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

// ending is a settled attempt whose record and acknowledgement are to be sent.
//
// The record goes first, on the same connection, and is not waited for unless
// another attempt follows: a worker that dies in between leaves a record of a
// run that happened, and the run comes again. The other way round runs would be
// missing from the history.
//
// One goroutine sends the endings of a worker. When each run sends its own, all
// of them queue at the connection's lock, which then is handed from one to the
// next by the Go scheduler, at half the speed.
type ending struct {
	*attempt
	run     Run
	wait    time.Duration // before another attempt
	stopped bool          // not the service's fault: again at once
}

// again says whether another attempt follows.
func (e *ending) again() bool {
	return e.msg != nil && (e.run.Outcome == OutcomeFailed || e.run.Outcome == OutcomeTimeout)
}

// sendEndings sends until ctx is done and nothing is left.
func (w *Worker) sendEndings(ctx context.Context) {
	for {
		select {
		case e := <-w.endings:
			if len(w.endings) == 0 {
				// Runs that are about to end come along: what is sent together
				// costs one system call here, and one at the server.
				runtime.Gosched()
			}
			e.send()
			w.sendMore()
		case <-ctx.Done():
			w.sendMore()
			return
		}
	}
}

// sendMore sends the endings that are there.
func (w *Worker) sendMore() {
	for {
		select {
		case e := <-w.endings:
			e.send()
		default:
			return
		}
	}
}

func (e *ending) send() {
	again, ours := e.again(), true
	if e.rules.records(e.run.Outcome) {
		e.w.records.put(&e.run, e.attempt)
	} else if d := e.live.told.Load(); d != nil { // somebody may follow it
		run := e.run // a copy, so that no other ending has to be on the heap
		d.publish(Event{Type: EventEnded, Time: run.Finished, Record: &run})
	}
	if again {
		ours = !errors.Is(e.attempt.stopped(), ErrLeaseLost) && e.note(e.remember)
	}
	e.depart(again, e.wait)
	e.held.remove(e.attempt, !again && e.msg != nil)
	if e.msg != nil {
		if ours {
			e.reply()
		}
		if !again && e.tries.revision > 0 {
			e.note(e.forget)
		}
		e.lane.settled(e.run.Duration())
	}
	e.w.open.leave()
}

// note keeps what the trigger's next attempt is to know. It is not waited for too
// long, for to fail does no great harm. It says whether the message is still this
// worker's: while one was frozen, or cut off, it may have been given to another,
// whose attempt goes on.
func (a *attempt) note(do func(context.Context) error) (ours bool) {
	ctx, cancel := context.WithTimeout(context.Background(), ioTimeout)
	defer cancel()
	err := do(ctx)
	if errors.Is(err, kv.ErrConflict) {
		a.w.log.Info("another worker has the run now", "service", a.t.Service, "run", a.t.Run)
		return false
	}
	if err != nil {
		a.w.log.Warn("run's attempts not written: the count may be one off", "service", a.t.Service, "run", a.t.Run, "error", err)
	}
	return true
}

// reply tells the server what becomes of the message. An acknowledgement that
// is lost costs a second run, which at least once allows, so only the one after
// a dead letter is waited for.
func (e *ending) reply() {
	var err error
	switch e.run.Outcome {
	case OutcomeFailed, OutcomeTimeout:
		if e.stopped {
			err = e.msg.Nak()
		} else {
			err = e.msg.NakWithDelay(e.wait)
		}
	case OutcomeDead:
		ctx, cancel := context.WithTimeout(context.Background(), ioTimeout)
		defer cancel()
		err = e.msg.DoubleAck(ctx)
	default:
		err = e.msg.Ack()
	}
	if err != nil {
		e.w.log.Warn("acknowledgement not sent: the run comes again", "service", e.t.Service, "run", e.t.Run, "outcome", e.run.Outcome, "error", err)
	}
}
