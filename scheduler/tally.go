package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/bellhop-run/bellhop/kv"
	"golang.org/x/sync/errgroup"
)

// tally is a count of max_runs as it is stored: what the log held of the job,
// since it was activated, at Seq. It is true of the log for ever, whoever
// writes it, so an old leader's late write does no harm.
type tally struct {
	Runs      int64  `json:"runs"`
	Seq       uint64 `json:"seq"`
	Activated stamp  `json:"activated"`
	revision  uint64 // in the state bucket; 0 if it was never stored
	gone      bool
}

// tallyPrefix begins the keys of tallies in the state bucket.
const tallyPrefix = "count."

// learnState takes revisions of the state bucket.
func (b *book) learnState(es ...kv.Entry[[]byte]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range es {
		b.takeTally(&es[i])
	}
}

func (b *book) takeTally(e *kv.Entry[[]byte]) {
	b.seenState = max(b.seenState, e.Revision)
	key, ok := strings.CutPrefix(e.Key, tallyPrefix)
	if !ok || b.tallies[key].revision >= e.Revision {
		return
	}
	t := tally{gone: e.Deleted}
	if !e.Deleted && json.Unmarshal(e.Value, &t) != nil {
		return // not of our making: a count goes on without it
	}
	t.revision = e.Revision
	b.tallies[key] = t
}

// viewState is how far the view of the state bucket has come.
func (b *book) viewState() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seenState
}

// counted gives the runs that are stored for the job as it is activated now.
func (t tally) counted(j *job) (runs int64, seq uint64) {
	if t.revision == 0 || t.gone || int64(t.Activated) != j.activated {
		return 0, 0
	}
	return t.Runs, t.Seq
}

// keyedTally is a tally to be stored.
type keyedTally struct {
	key string
	tally
}

// takeTallies gives the counts that have changed since they were last taken,
// true once the log is acknowledged up to seq. The caller holds mu.
func (b *book) takeTallies(seq uint64) []keyedTally {
	if len(b.dirty) == 0 {
		return nil
	}
	ts := make([]keyedTally, 0, len(b.dirty))
	for j := range b.dirty {
		ts = append(ts, keyedTally{j.key(), tally{
			Runs: j.count.runs, Seq: seq, Activated: stamp(j.activated), revision: b.tallies[j.key()].revision,
		}})
	}
	clear(b.dirty)
	return ts
}

// saveTallies stores the counts and gives the last revision of the state
// bucket that it made. A conflict means that somebody else has led meanwhile;
// what is stored then is read and only overtaken.
func saveTallies(ctx context.Context, state *kv.Bucket[[]byte], ts []keyedTally) (uint64, error) {
	var last uint64
	for len(ts) > 0 {
		n := min(len(ts), kv.MaxBatch)
		first, err := saveBatch(ctx, state, ts[:n])
		if err != nil {
			return 0, err
		}
		last = max(last, first)
		ts = ts[n:]
	}
	return last, nil
}

// tallyWorkers is how many tallies are stored at once where a batch was
// refused.
const tallyWorkers = 16

func saveBatch(ctx context.Context, state *kv.Bucket[[]byte], ts []keyedTally) (uint64, error) {
	if len(ts) > 1 {
		changes := make([]kv.Change[[]byte], len(ts))
		for i, t := range ts {
			changes[i] = kv.Change[[]byte]{Key: tallyPrefix + t.key, Value: t.bytes(), Revision: t.revision}
		}
		first, err := state.Apply(ctx, changes)
		if err == nil {
			return first + uint64(len(ts)) - 1, nil
		}
		if !errors.Is(err, kv.ErrConflict) {
			return 0, fmt.Errorf("store counts: %w", err)
		}
	}
	revs := make([]uint64, len(ts))
	var g errgroup.Group
	g.SetLimit(tallyWorkers)
	for i, t := range ts {
		g.Go(func() (err error) {
			revs[i], err = saveTally(ctx, state, t)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, fmt.Errorf("store counts: %w", err)
	}
	last := uint64(0)
	for _, r := range revs {
		last = max(last, r)
	}
	return last, nil
}

func saveTally(ctx context.Context, state *kv.Bucket[[]byte], t keyedTally) (uint64, error) {
	for {
		rev, err := state.Update(ctx, tallyPrefix+t.key, t.bytes(), t.revision)
		if !errors.Is(err, kv.ErrConflict) {
			return rev, err
		}
		e, err := state.Get(ctx, tallyPrefix+t.key)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return 0, err
		}
		var have tally
		if err == nil && json.Unmarshal(e.Value, &have) == nil && have.Seq >= t.Seq {
			return e.Revision, nil
		}
		t.revision = e.Revision
	}
}

func (t tally) bytes() []byte {
	b, err := json.Marshal(t)
	if err != nil { // numbers and a time always marshal
		panic(err)
	}
	return b
}
