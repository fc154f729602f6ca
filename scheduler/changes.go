package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
)

// ChangeFilter says which changes are wanted; the zero value is all of them.
type ChangeFilter struct {
	// Job is the name of a job.
	Job string
	// By is who has asked.
	By string
	// Since and Until bound the time of the change.
	Since time.Time
	Until time.Time
	// Before wants only older ones than the change that is stored there; it is
	// what Changes.List gives beside each.
	Before uint64
}

func (f *ChangeFilter) matches(c *Change) bool {
	return (f.Job == "" || f.Job == c.Job) && (f.By == "" || f.By == c.By) &&
		(f.Since.IsZero() || !c.Time.Before(f.Since)) && (f.Until.IsZero() || !c.Time.After(f.Until))
}

func (f *ChangeFilter) subject(ns workers.Namespace) string {
	if f.Job == "" {
		return ns.ChangeSubject(">")
	}
	return ns.ChangeSubject(workers.Escape(f.Job))
}

// Changes reads the records of changes. A change is recorded some milliseconds
// after it was made.
type Changes struct {
	stream jetstream.Stream
	ns     workers.Namespace
}

// OpenChanges binds to the records of a namespace; jetstream.ErrStreamNotFound
// if nothing was set up there.
func OpenChanges(ctx context.Context, js jetstream.JetStream, ns workers.Namespace) (*Changes, error) {
	s, err := js.Stream(ctx, ns.ChangesStream())
	if err != nil {
		return nil, fmt.Errorf("find stream %s: %w", ns.ChangesStream(), err)
	}
	return &Changes{s, ns}, nil
}

// The stream is read backwards in pieces, each longer than the one before.
const (
	firstPiece = 256
	maxPiece   = 8 << 10
)

// List gives the changes that the filter wants, the newest first, each with its
// place in the stream. It ends when fn or the stream says so, or at an error.
func (c *Changes) List(ctx context.Context, f ChangeFilter) iter.Seq2[Placed, error] {
	return func(yield func(Placed, error) bool) {
		info, err := c.stream.Info(ctx)
		if err != nil {
			yield(Placed{}, fmt.Errorf("read stream %s: %w", c.ns.ChangesStream(), err))
			return
		}
		to, first := info.State.LastSeq, info.State.FirstSeq
		if f.Before > 0 {
			to = min(to, f.Before-1)
		}
		for size := uint64(firstPiece); to >= first && to > 0; size = min(2*size, maxPiece) {
			from := max(first, to-min(size, to)+1)
			if f.Job != "" {
				from = first // a job has few
			}
			piece, oldest, err := c.piece(ctx, f, from, to)
			if err != nil {
				yield(Placed{}, err)
				return
			}
			for _, p := range slices.Backward(piece) {
				if f.matches(&p.Change) && !yield(p, nil) {
					return
				}
			}
			if from == first || !f.Since.IsZero() && !oldest.IsZero() && oldest.Before(f.Since) {
				return
			}
			to = from - 1
		}
	}
}

// Placed is a change and where it is stored.
type Placed struct {
	Change
	// Place is its sequence in the stream: see ChangeFilter.Before.
	Place uint64 `json:"-"`
}

// piece reads the changes from one place to another, and when the first of them
// was made.
func (c *Changes) piece(ctx context.Context, f ChangeFilter, from, to uint64) (all []Placed, oldest time.Time, err error) {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{f.subject(c.ns)}, OptStartSeq: from}
	err = kv.ReadStream(ctx, c.stream, cfg, false, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		if meta.Sequence.Stream > to {
			return false
		}
		p := Placed{Place: meta.Sequence.Stream}
		if json.Unmarshal(m.Data(), &p.Change) == nil && p.Revision > 0 { // else a stranger's
			all = append(all, p)
			if oldest.IsZero() {
				oldest = p.Time
			}
		}
		return meta.Sequence.Stream < to
	})
	return all, oldest, err
}

// Last gives the place of the latest record, after which Follow may begin.
func (c *Changes) Last(ctx context.Context) (uint64, error) {
	info, err := c.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read stream %s: %w", c.ns.ChangesStream(), err)
	}
	return info.State.LastSeq, nil
}

// Follow gives the changes that are recorded after a place, as they come, to fn
// until it says false or ctx is done, after whatever happens to NATS meanwhile.
func (c *Changes) Follow(ctx context.Context, f ChangeFilter, after uint64, fn func(Placed) bool) error {
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{f.subject(c.ns)}, OptStartSeq: after + 1}
	return kv.ReadStream(ctx, c.stream, cfg, true, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		p := Placed{Place: meta.Sequence.Stream}
		return json.Unmarshal(m.Data(), &p.Change) != nil || p.Revision == 0 || !f.matches(&p.Change) || fn(p)
	})
}
