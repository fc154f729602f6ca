package index

import (
	"context"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
)

// What is read of the runs that were before the start.
const (
	maxAge     = 24 * time.Hour
	maxRecords = 100_000
)

// followRuns reads what is there, backwards, and then what comes after the first
// record that it has read, which is the newest.
func (x *Index) followRuns(ctx context.Context, js jetstream.JetStream) error {
	select {
	case <-x.loaded.ch: // marks are kept of jobs that are known
	case <-ctx.Done():
		return ctx.Err()
	}
	history, err := workers.OpenHistory(ctx, js, x.ns)
	if err != nil {
		return err
	}
	last, err := history.Last(ctx)
	if err != nil {
		return err
	}
	p, n := past{marks: map[string][]mark{}}, 0
	for r, err := range history.Runs(ctx, workers.RunFilter{Since: time.Now().Add(-maxAge)}) {
		if err != nil {
			return err
		}
		last = max(last, r.Place)
		p.add(r)
		if n++; n == maxRecords {
			break
		}
	}
	x.replay(&p)
	x.recent.give()
	return history.Follow(ctx, workers.RunFilter{}, last, func(r *workers.Run) bool {
		x.record(r)
		return true
	})
}

// past is what is made of the records that are read at the start.
type past struct {
	marks map[string][]mark
	tape  tape
}

func (p *past) add(r *workers.Run) {
	p.tape.add(r, time.Now())
	if m, ok := newMark(r); ok && r.Job != "" {
		p.marks[r.Job] = insert(p.marks[r.Job], m)
	}
}

// replay puts the past in the place of all that was known of runs.
func (x *Index) replay(p *past) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tape = p.tape
	clear(x.strays)
	for key, e := range x.jobs {
		e.adopt(p.marks[key])
		delete(p.marks, key)
	}
	for key, marks := range p.marks {
		x.stray(key, marks)
	}
	x.tell(Event{Runs: true})
}

// record takes one record as it comes.
func (x *Index) record(r *workers.Run) {
	m, ok := newMark(r)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tape.add(r, time.Now())
	if ok && r.Job != "" {
		marks := insert(x.marksOf(r.Job), m)
		if e := x.jobs[r.Job]; e != nil {
			e.adopt(marks)
		} else {
			x.stray(r.Job, marks)
		}
	}
	x.tell(Event{Runs: true})
}
