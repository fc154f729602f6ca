package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats.go/jetstream"
)

// RunFilter says which run records are wanted; the zero value is all of them.
type RunFilter struct {
	// Job is the key of a job.
	Job string
	// Run is the id of a run, of which there may be many attempts.
	Run string
	// Service and Outcome are those of the record.
	Service string
	Outcome string
	// Jobless wants only runs without a job. With Service they are found at once.
	Jobless bool
	// Since and Until bound the time at which the attempt had finished.
	Since time.Time
	Until time.Time
	// Before wants only records that stand before this place (Run.Place); 0 is
	// the end.
	Before uint64
}

// Matches tells whether the filter wants the record.
func (f *RunFilter) Matches(r *Run) bool {
	return (!f.Jobless || r.Job == "") && (f.Job == "" || f.Job == r.Job) && (f.Run == "" || f.Run == r.Run) &&
		(f.Service == "" || f.Service == r.Service) && (f.Outcome == "" || f.Outcome == r.Outcome) &&
		(f.Since.IsZero() || !r.Finished.Before(f.Since)) && (f.Until.IsZero() || !r.Finished.After(f.Until))
}

// subject is where the wanted records are. The run of a job names its job.
func (f *RunFilter) subject(ns Namespace) string {
	if f.Jobless && CheckService(f.Service) == nil {
		return ns.RunSubject("", f.Service)
	}
	key := f.Job
	if before, _, ok := strings.Cut(f.Run, "@"); ok && key == "" {
		key = before
	}
	if _, err := Unescape(key); key == "" || err != nil {
		return allRuns(ns)
	}
	return ns.RunSubject(key, "")
}

func allRuns(ns Namespace) string { return ns.String() + ".run.>" }

// History reads the records of runs.
type History struct {
	stream jetstream.Stream
	ns     Namespace
}

// OpenHistory binds to the records of a namespace; jetstream.ErrStreamNotFound
// if nothing was set up there.
func OpenHistory(ctx context.Context, js jetstream.JetStream, ns Namespace) (*History, error) {
	s, err := js.Stream(ctx, ns.RunsStream())
	if err != nil {
		return nil, fmt.Errorf("find stream %s: %w", ns.RunsStream(), err)
	}
	return &History{s, ns}, nil
}

// Last gives the place of the latest record, after which Follow may begin.
func (h *History) Last(ctx context.Context) (uint64, error) {
	info, err := h.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read stream %s: %w", h.ns.RunsStream(), err)
	}
	return info.State.LastSeq, nil
}

// The stream is read backwards in pieces, each longer than the one before: who
// wants ten records should not wait for ten thousand.
const (
	firstPiece = 256
	maxPiece   = 16 << 10
)

// Runs gives the records that the filter wants, the newest first. It ends at
// the first error.
func (h *History) Runs(ctx context.Context, f RunFilter) iter.Seq2[*Run, error] {
	return func(yield func(*Run, error) bool) {
		info, err := h.stream.Info(ctx)
		if err != nil {
			yield(nil, fmt.Errorf("read stream %s: %w", h.ns.RunsStream(), err))
			return
		}
		size := uint64(firstPiece)
		last := info.State.LastSeq
		if f.Before > 0 {
			last = min(last, f.Before-1)
		}
		for to := last; to >= info.State.FirstSeq && to > 0; size = min(2*size, maxPiece) {
			from := max(info.State.FirstSeq, to-min(size, to)+1)
			if f.subject(h.ns) != allRuns(h.ns) {
				from = info.State.FirstSeq // a job has few records
			}
			runs, oldest, err := h.piece(ctx, f, from, to)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, r := range slices.Backward(runs) {
				if f.Matches(r) && !yield(r, nil) {
					return
				}
			}
			if from == info.State.FirstSeq || !f.Since.IsZero() && !oldest.IsZero() && oldest.Before(f.Since) {
				return // a record is stored after its attempt has finished
			}
			to = from - 1
		}
	}
}

// piece reads the records from one place to another, and when the first of
// them was stored.
func (h *History) piece(ctx context.Context, f RunFilter, from, to uint64) (runs []*Run, oldest time.Time, err error) {
	err = h.read(ctx, f.subject(h.ns), from, false, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		if meta.Sequence.Stream > to {
			return false
		}
		if oldest.IsZero() {
			oldest = meta.Timestamp
		}
		if r := readRun(m); r != nil {
			r.Place = meta.Sequence.Stream
			runs = append(runs, r)
		}
		return meta.Sequence.Stream < to
	})
	return runs, oldest, err
}

// Follow gives the records that come after a place, as they come, to fn until
// it says false or ctx is done.
func (h *History) Follow(ctx context.Context, f RunFilter, after uint64, fn func(*Run) bool) error {
	return h.read(ctx, f.subject(h.ns), after+1, true, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		r := readRun(m)
		if r == nil || !f.Matches(r) {
			return true
		}
		r.Place = meta.Sequence.Stream
		return fn(r)
	})
}

// readRun gives nil for what somebody else has put among the records.
func readRun(m jetstream.Msg) *Run {
	r := new(Run)
	if json.Unmarshal(m.Data(), r) != nil {
		return nil
	}
	return r
}

// read gives records to fn as kv.ReadStream does.
func (h *History) read(ctx context.Context, subject string, from uint64, more bool, fn func(jetstream.Msg, *jetstream.MsgMetadata) bool) error {
	c := jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}, OptStartSeq: from}
	return kv.ReadStream(ctx, h.stream, c, more, fn)
}
