package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// clerk writes down what follows from the log, after the log has it: that a
// job has ended and why, where the grid of one put by hand begins, what was
// missed. Everything it writes is true whoever writes it, and checked against
// the revision it was decided on; what it does not get done, the next leader's
// clerk does.
type clerk struct {
	book   *book
	jobs   *follower
	js     jetstream.JetStream
	ns     workers.Namespace
	name   string // the scheduler's
	logger *slog.Logger
	wake   chan struct{}
}

// clerkEvery is how soon the clerk tries again what failed.
const clerkEvery = time.Second

// clerkWriters is how many single writes the clerk has under way.
const clerkWriters = 16

// clerkBatch is how many definitions it writes as one batch.
const clerkBatch = 500

func (c *clerk) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends.
func (c *clerk) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		}
		if err := c.work(ctx); err != nil && ctx.Err() == nil {
			c.logger.Warn("the clerk will try again", "error", err)
			pause(ctx, clerkEvery)
			c.poke()
		}
	}
}

// work writes everything that there is to write. A missed stretch is done with
// only after the ends that it brought about are written: they are read from it.
func (c *clerk) work(ctx context.Context) error {
	stretches, es := c.book.work()
	for _, s := range stretches {
		if err := c.record(ctx, s); err != nil {
			return fmt.Errorf("record what was missed: %w", err)
		}
	}
	for edits := range slices.Chunk(es, clerkBatch) {
		if err := c.write(ctx, edits); err != nil {
			return fmt.Errorf("write down what has become of jobs: %w", err)
		}
	}
	c.book.noteRecorded(stretches)
	return nil
}

// settle notes that the log is acknowledged up to seq, and tells whether there
// may be something for the clerk.
func (b *book) settle(seq uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settled = seq
	return len(b.ended) > 0 || len(b.unstamped) > 0 || len(b.missed) > len(b.recorded)
}

// work gives the missed stretches that have no records yet, their decision
// being in the log, and the definitions to be written, both as of one moment:
// every end that one of these stretches has brought about is among them.
func (b *book) work() ([]stretch, []edit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.missed), func(s stretch) bool {
		return b.recorded[s] || b.decided > b.settled
	}), b.edits()
}

func (b *book) noteRecorded(stretches []stretch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range stretches {
		if slices.Contains(b.missed, s) {
			b.recorded[s] = true
		}
	}
}

// edit is a change to a stored definition that the clerk is to make.
type edit struct {
	key      string
	revision uint64
	def      []byte
	verb     string
}

// edits gives the definitions to be written: those of jobs that have ended for
// certain, and those that lack their anchor. The caller holds mu.
func (b *book) edits() []edit {
	var es []edit
	for key, e := range b.ended {
		if j := b.jobs.get(key); e.seq <= b.settled && j != nil {
			es = append(es, edit{key, j.revision, j.with(object{
				{name: "active", value: []byte("false")},
				{name: "reason", value: appendText(nil, e.reason)},
			}), e.reason})
		}
	}
	for key := range b.unstamped {
		if j := b.jobs.get(key); j != nil && b.ended[key] == (ending{}) {
			es = append(es, edit{key, j.revision, j.stamped(), ChangeAnchored})
		}
	}
	return es
}

// stamped gives the stored definition with the fields that one put by hand
// lacks.
func (j *job) stamped() []byte {
	at := appendText(nil, stamp(j.activated).String())
	fields := object{{name: "activated", value: at}, {name: "reason"}}
	if !j.kind.anchored {
		fields = append(fields, field{name: "anchor", value: at})
	}
	return j.with(fields)
}

// with gives the stored definition with some fields set; all else stays as it
// was written.
func (j *job) with(fields object) []byte {
	def := j.definition()
	o, err := parseObject(def)
	if err != nil { // it was read before
		return def
	}
	return o.with(fields...).bytes()
}

// write stores the definitions. One that somebody has changed meanwhile is
// left alone: it comes back by the watch.
func (c *clerk) write(ctx context.Context, es []edit) error {
	if len(es) > 1 {
		changes := make([]kv.Change[[]byte], len(es))
		for i, e := range es {
			changes[i] = c.change(e)
		}
		_, err := c.jobs.apply(ctx, changes)
		if err == nil {
			for _, e := range es {
				c.book.written(e)
			}
			return nil
		}
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
	}
	var g errgroup.Group
	g.SetLimit(clerkWriters)
	for _, e := range es {
		g.Go(func() error {
			_, err := c.jobs.bucket.Write(ctx, c.change(e))
			if err != nil && !errors.Is(err, kv.ErrConflict) {
				return err
			}
			c.book.written(e)
			return nil
		})
	}
	return g.Wait()
}

// change is the edit as it is written.
func (c *clerk) change(e edit) kv.Change[[]byte] {
	note := Change{Verb: e.verb, Via: workers.ChannelScheduler, By: c.name, Was: e.revision}.note()
	return kv.Change[[]byte]{Key: e.key, Value: e.def, Revision: e.revision, Note: note}
}

// written takes a job off the clerk's list; the watch brings what it is now.
func (b *book) written(e edit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if j := b.jobs.get(e.key); j != nil && j.revision == e.revision {
		delete(b.ended, e.key)
		delete(b.unstamped, e.key)
	}
}

// missedCount is how many missed occurrences of one job a record counts; of
// more it says that there are at least as many.
const missedCount = 10_000

// record leaves a record for every job that has missed something in the
// stretch. A job's record has the same id however often it is written.
func (c *clerk) record(ctx context.Context, s stretch) error {
	var g errgroup.Group
	g.SetLimit(clerkWriters)
	for _, key := range c.book.order() {
		missed, ok := c.book.missedRun(key, s)
		if !ok {
			continue
		}
		r := missed // which is on the heap then, but not for each job that has missed nothing
		g.Go(func() error {
			m := nats.NewMsg(c.ns.RunSubject(r.Job, r.Service))
			m.Header.Set(jetstream.MsgIDHeader, r.Run+":missed:"+s.To.String())
			var err error
			if m.Data, err = json.Marshal(r); err != nil {
				return err
			}
			_, err = c.js.PublishMsg(ctx, m)
			return err
		})
	}
	return g.Wait()
}

// missedRun is the record of what one job has missed in the stretch.
func (b *book) missedRun(key string, s stretch) (workers.Run, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs.get(key)
	if j == nil || !j.kind.active || j.count != nil && j.count.runs >= j.count.max {
		return workers.Run{}, false
	}
	from, plan := j.within(s), j.plan()
	switch j.kind.missed {
	case 'o': // the first one fires for all of them
		first := plan.Next(key, from-1)
		if first >= int64(s.To) {
			return workers.Run{}, false
		}
		from = first + 1
	case 'a':
		last, ok := b.limits[limit{key, s.From}]
		if !ok {
			return workers.Run{}, false
		}
		from = last + 1
	}
	n, first, last, more := plan.Between(key, from, int64(s.To), missedCount)
	if n == 0 {
		return workers.Run{}, false
	}
	return workers.Run{
		Run: occurrence{key, first}.runID(), Job: key, Service: j.kind.service, Channel: workers.ChannelScheduler,
		Due: stamp(first).Time(), Finished: s.To.Time(), Outcome: workers.OutcomeMissed,
		Missed: &workers.Missed{From: stamp(first).Time(), To: stamp(last).Time(), Count: n, More: more},
	}, true
}
