package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// steadyBench: how late triggers are at a rate.
var steadyBench = Bench{
	Name:  "steady",
	About: "How long after its due time a worker gets a trigger, at a steady rate with many jobs; raw: publish to receive",
	Quick: 30 * time.Second,
	Full:  4 * time.Minute,
	Run:   runSteady,
}

func runSteady(ctx context.Context, e *Env) error {
	for _, rate := range []int{1_000, 10_000} {
		if err := runSteadyAt(ctx, e, rate); err != nil {
			return err
		}
	}
	return nil
}

// runSteadyAt has jobs due in the first half of each period, one by one; in the
// second half raw messages are published at the same rate.
func runSteadyAt(ctx context.Context, e *Env, rate int) error {
	half := max(time.Duration(e.Size(1200, 5000)), 500) * time.Millisecond
	rate = max(10, int(float64(rate)*e.scale))
	due := int(float64(rate) * half.Seconds())
	n := max(e.Size(100_000, 1_000_000), due)
	h, err := e.House(ctx)
	if err != nil {
		return err
	}
	g := grid{2 * half}
	anchor := g.anchor()
	if _, err := h.Load(ctx, n, func(i int) Job {
		if i >= due {
			return Job{Every: farAway, Anchor: anchor, Size: 300}
		}
		return Job{Every: g.period, Anchor: anchor.Add(half * time.Duration(i) / time.Duration(due)), Payload: payload}
	}); err != nil {
		return err
	}
	raw, err := h.startRaw(ctx, 1)
	if err != nil {
		return err
	}
	s, w, err := h.startBoth(ctx, 1, WorkerOptions{})
	if err != nil {
		return err
	}
	ours, theirs := h.meter(append(slices.Clone(w), s)...), h.meter(append(slices.Clone(raw.consumers), raw.publisher)...)
	name := fmt.Sprintf("%d/s of %d jobs", rate, n)
	row, err := e.Compare(ctx, name, "ms", func(ctx context.Context) (Figure, error) {
		at := g.next(200 * time.Millisecond)
		if !pause(ctx, time.Until(at)-50*time.Millisecond) {
			return Figure{}, ctx.Err()
		}
		return late(ctx, w, ours, due, func() error { return nil })
	}, func(ctx context.Context) (Figure, error) {
		m := due * 3 / 4 // to be over before the next period
		return g.between(ctx, half*3/4, func(ctx context.Context) (Figure, error) {
			return late(ctx, raw.consumers, theirs, m, func() error {
				var p published
				return raw.publisher.Ask(ctx, fmt.Sprint(m, " ", rate), &p)
			})
		})
	})
	if err != nil {
		return err
	}
	row.Judge("p50 ≤ raw + 0.6 ms, p99 ≤ raw + 2.5 ms", row.Bellhop.P50 <= row.Raw.P50+0.6 && row.Bellhop.P99 <= row.Raw.P99+2.5)
	row.Note = row.cpuNote("scheduler and worker", "publisher and consumer")
	e.Report(row)
	return h.Close(ctx)
}

// late is how late n messages come to receivers, and what each costs.
func late(ctx context.Context, receivers []*Part, cost *meter, n int, begin func() error) (Figure, error) {
	if _, err := lateness(ctx, receivers, ForgetOrder); err != nil {
		return Figure{}, err
	}
	if err := cost.begin(ctx); err != nil {
		return Figure{}, err
	}
	if err := begin(); err != nil {
		return Figure{}, err
	}
	l, err := received(ctx, receivers, n)
	if err != nil {
		return Figure{}, err
	}
	f := l.Late.Figure()
	return f, cost.end(ctx, n, &f)
}

// startBoth starts a scheduler and so many workers, and waits until it leads.
func (h *House) startBoth(ctx context.Context, n int, o WorkerOptions) (s *Part, all []*Part, err error) {
	for range n {
		w, err := h.StartWorker(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, w)
	}
	if s, err = h.StartScheduler(ctx); err != nil {
		return nil, nil, err
	}
	return s, all, s.Await(ctx, Ready)
}
