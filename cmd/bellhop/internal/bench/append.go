package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// appendBench: how fast a scheduler writes its log.
var appendBench = Bench{
	Name:  "append",
	About: "Triggers a second into the log, with many jobs due at once and nobody consuming; raw: asynchronous publish, in batches where each write is synced",
	Quick: 15 * time.Second,
	Full:  3 * time.Minute,
	Run:   runAppend,
}

// payload is how many bytes a trigger carries where a bench does not say.
const payload = 128

func runAppend(ctx context.Context, e *Env) error {
	n := e.Size(50_000, 500_000)
	if e.Mode == Durable {
		n = e.Size(20_000, 200_000)
	}
	h, err := e.House(ctx)
	if err != nil {
		return err
	}
	g := e.gridFor(n)
	anchor := g.anchor()
	if _, err := h.Load(ctx, n, func(int) Job { return Job{Every: g.period, Anchor: anchor, Payload: payload} }); err != nil {
		return err
	}
	raw, err := h.startRaw(ctx, 0)
	if err != nil {
		return err
	}
	name := raw.stream.CachedInfo().Config.Name
	s, err := h.StartScheduler(ctx)
	if err != nil {
		return err
	}
	if err := s.Await(ctx, Ready); err != nil {
		return err
	}
	ours := &storing{house: h, stream: h.Namespace.TriggersStream(), subject: h.Namespace.TriggerSubject(Service), meter: h.meter(s)}
	theirs := &storing{house: h, stream: name, subject: name + "." + Service, meter: h.meter(raw.publisher)}
	row, err := e.Compare(ctx, fmt.Sprintf("%d jobs", n), "triggers/s", func(ctx context.Context) (Figure, error) {
		due := g.next(300 * time.Millisecond)
		if !pause(ctx, time.Until(due)-100*time.Millisecond) {
			return Figure{}, ctx.Err()
		}
		return ours.rate(ctx, n, func() error { return nil })
	}, func(ctx context.Context) (Figure, error) {
		return g.between(ctx, time.Duration(n)*time.Second/40_000, func(ctx context.Context) (Figure, error) {
			return theirs.rate(ctx, n, func() error {
				var p published
				return raw.publisher.Ask(ctx, fmt.Sprint(n), &p)
			})
		})
	})
	if err != nil {
		return err
	}
	row.Judge("≥ 0.9", row.Ratio >= 0.9)
	row.Note = row.cpuNote("scheduler", "publisher")
	e.Report(row)
	return nil
}

// storing measures how fast messages come into a stream, by the server's own
// times of the first and the last.
type storing struct {
	house           *House
	stream, subject string
	meter           *meter
}

// rate waits until n more are stored than when it was called, after begin has
// begun it.
func (s *storing) rate(ctx context.Context, n int, begin func() error) (Figure, error) {
	stream, err := s.house.JS.Stream(ctx, s.stream)
	if err != nil {
		return Figure{}, err
	}
	before, err := s.state(ctx, stream)
	if err != nil {
		return Figure{}, err
	}
	if err := s.meter.begin(ctx); err != nil {
		return Figure{}, err
	}
	if err := begin(); err != nil {
		return Figure{}, err
	}
	now := before
	for now.count < before.count+uint64(n) {
		if !pause(ctx, 20*time.Millisecond) {
			return Figure{}, ctx.Err()
		}
		if now, err = s.state(ctx, stream); err != nil {
			return Figure{}, err
		}
	}
	var f Figure
	if err := s.meter.end(ctx, n, &f); err != nil {
		return Figure{}, err
	}
	first, err := stream.GetMsg(ctx, before.last+1, jetstream.WithGetMsgSubject(s.subject))
	if err != nil {
		return Figure{}, err
	}
	last, err := stream.GetLastMsgForSubject(ctx, s.subject)
	if err != nil {
		return Figure{}, err
	}
	at, err := s.together(ctx, stream, first, last)
	if err != nil {
		return Figure{}, err
	}
	f.Value = float64(max(n-at, 1)) / max(last.Time.Sub(first.Time), time.Microsecond).Seconds()
	return f, nil
}

// together is how many messages were stored at the first one's time, as those of an
// atomic batch are: how long these took is not known.
func (s *storing) together(ctx context.Context, stream jetstream.Stream, first, last *jetstream.RawStreamMsg) (int, error) {
	low, high := first.Sequence, last.Sequence
	for low < high {
		mid := (low + high + 1) / 2
		m, err := stream.GetMsg(ctx, mid, jetstream.WithGetMsgSubject(s.subject))
		if err != nil {
			return 0, err
		}
		if m.Time.Equal(first.Time) {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return int(low-first.Sequence) + 1, nil
}

// stored is how much of a subject a stream holds.
type stored struct{ count, last uint64 }

func (s *storing) state(ctx context.Context, stream jetstream.Stream) (stored, error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(s.subject))
	if err != nil {
		return stored{}, err
	}
	return stored{info.State.Subjects[s.subject], info.State.LastSeq}, nil
}
