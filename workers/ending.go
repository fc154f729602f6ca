package workers

import (
	"context"
	"time"
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
	stopped bool // not the service's fault: again at once
}

// again says whether another attempt follows.
func (e ending) again() bool {
	return e.msg != nil && (e.run.Outcome == OutcomeFailed || e.run.Outcome == OutcomeTimeout)
}

// sendEndings sends until ctx is done and nothing is left.
func (w *Worker) sendEndings(ctx context.Context) {
	for {
		select {
		case e := <-w.endings:
			e.send()
		case <-ctx.Done():
			for {
				select {
				case e := <-w.endings:
					e.send()
				default:
					return
				}
			}
		}
	}
}

func (e ending) send() {
	again := e.again()
	if e.rules.records(e.run.Outcome) {
		if answer := e.w.records.put(&e.run, e.place); again && answer != nil {
			select { // the next attempt reads its last error there
			case <-answer.Ok():
			case <-answer.Err(): //nolint:errcheck // the recorder tells of it
			case <-time.After(settleTime):
			}
		}
	}
	e.held.remove(e.attempt, !again && e.msg != nil)
	if e.msg != nil {
		e.reply()
		e.lane.settled(e.run.Duration())
	}
	e.w.open.leave()
}

// reply tells the server what becomes of the message. An acknowledgement that
// is lost costs a second run, which at least once allows, so only the one after
// a dead letter is waited for.
func (e ending) reply() {
	var err error
	switch e.run.Outcome {
	case OutcomeFailed, OutcomeTimeout:
		if e.stopped {
			err = e.msg.Nak()
		} else {
			err = e.msg.NakWithDelay(e.rules.wait(e.t.Attempt))
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
