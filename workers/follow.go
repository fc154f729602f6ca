package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What an Event tells.
const (
	EventLog      = "log"      // Line
	EventProgress = "progress" // Progress
	EventEnded    = "ended"    // an attempt has: Record
)

// Event is something that happens to a run while it goes on.
type Event struct {
	Type    string    `json:"type"`
	Time    time.Time `json:"time"`
	Run     string    `json:"run"`
	Attempt int       `json:"attempt,omitempty"`
	Worker  string    `json:"worker,omitempty"`
	// One of these is there, as Type says.
	Line     *LogLine  `json:"line,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	Record   *Run      `json:"record,omitempty"`
}

// Final tells whether the run has come to its end: no other attempt follows.
func (e *Event) Final() bool {
	return e.Record != nil && e.Record.Outcome != OutcomeFailed && e.Record.Outcome != OutcomeTimeout
}

// Follow gives what has happened to a run, from its records and from the worker
// that has it, and then what happens, until its end. Each line comes once and in
// its order; where the service logs faster than lines are published, N shows how
// many are missing. It waits for a run that nobody has heard of yet. The end of a
// run that leaves no record (Policy.History) is told only to who follows it then,
// and only if its service has told something: else ctx must end it.
func Follow(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, ns Namespace, run string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f := follower{nc: nc, ns: ns, run: run, seen: make(map[attemptName]int)}
		if err := f.follow(ctx, js, yield); err != nil {
			yield(Event{}, fmt.Errorf("follow run %s: %w", run, err))
		}
	}
}

// attemptName tells attempts apart: one that a stopping worker has given back has
// the number of the next.
type attemptName struct {
	attempt int
	worker  string
}

type follower struct {
	nc   *nats.Conn
	ns   Namespace
	run  string
	seen map[attemptName]int // the last line
	read uint64              // the place of the last record that past has given
}

// follow listens before it reads, so that nothing falls in between.
func (f *follower) follow(ctx context.Context, js jetstream.JetStream, yield func(Event, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	told := make(chan *nats.Msg, 1024)
	sub, err := f.nc.ChanSubscribe(f.ns.LiveSubject(f.run), told)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	history, err := OpenHistory(ctx, js, f.ns)
	if err != nil {
		return err
	}
	last, err := history.Last(ctx)
	if err != nil {
		return err
	}
	over, err := f.past(ctx, history, yield)
	if over || err != nil {
		return err
	}
	records, failed := make(chan *Run), make(chan error, 1)
	reading.Go(func() {
		failed <- history.Follow(ctx, RunFilter{Run: f.run}, last, func(r *Run) bool {
			select {
			case records <- r:
				return true
			case <-ctx.Done():
				return false
			}
		})
	})
	for {
		select {
		case m := <-told:
			var e Event
			switch {
			case json.Unmarshal(m.Data, &e) != nil: // somebody else's
			case e.Record != nil: // which is not kept
				if e, going := f.record(e.Record, yield); !going || e.Final() {
					return nil
				}
			case !f.live(e, yield):
				return nil
			}
		case r := <-records:
			if r.Place <= f.read { // it was stored after last was read, and before past has read
				continue
			}
			if e, going := f.record(r, yield); !going || e.Final() {
				return nil
			}
		case err := <-failed:
			return err
		}
	}
}

// past gives what has happened already; over when that is all.
func (f *follower) past(ctx context.Context, history *History, yield func(Event, error) bool) (over bool, err error) {
	var attempts []*Run
	for r, err := range history.Runs(ctx, RunFilter{Run: f.run}) {
		if err != nil {
			return false, err
		}
		attempts = append(attempts, r)
	}
	final := false
	for _, r := range slices.Backward(attempts) {
		e, going := f.record(r, yield)
		if !going {
			return true, nil
		}
		final, f.read = e.Final(), r.Place
	}
	active, _, err := Active(ctx, f.nc, f.ns, ActiveFilter{Run: f.run})
	if err != nil {
		return false, err
	}
	for _, a := range active {
		e := Event{Run: f.run, Attempt: a.Attempt, Worker: a.Worker}
		for i := range a.Logs {
			e.Type, e.Time, e.Line = EventLog, a.Logs[i].Time, &a.Logs[i]
			if !f.live(e, yield) {
				return true, nil
			}
		}
		if a.Progress != nil {
			e.Type, e.Time, e.Line, e.Progress = EventProgress, a.Progress.Time, nil, a.Progress
			if !f.live(e, yield) {
				return true, nil
			}
		}
	}
	return final && len(active) == 0, nil // else it was sent back from the dead letters
}

// live gives an event, unless it is known.
func (f *follower) live(e Event, yield func(Event, error) bool) bool {
	if e.Line != nil {
		name := attemptName{e.Attempt, e.Worker}
		if e.Line.N <= f.seen[name] {
			return true
		}
		f.seen[name] = e.Line.N
	}
	return yield(e, nil)
}

// record gives the lines of a record that were not given, and the attempt's end.
func (f *follower) record(r *Run, yield func(Event, error) bool) (end Event, going bool) {
	e := Event{Run: f.run, Attempt: r.Attempt, Worker: r.Worker}
	for i := range r.Logs {
		e.Type, e.Time, e.Line = EventLog, r.Logs[i].Time, &r.Logs[i]
		if !f.live(e, yield) {
			return e, false
		}
	}
	e.Type, e.Time, e.Line, e.Record = EventEnded, r.Finished, nil, r
	return e, yield(e, nil)
}
