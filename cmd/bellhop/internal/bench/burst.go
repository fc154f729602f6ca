package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// burstBench: how long it takes until what was due at once is done.
var burstBench = Bench{
	Name:  "burst",
	About: "Time from one instant at which many jobs are due until workers have acknowledged all; raw: publish, consume and acknowledge",
	Quick: 30 * time.Second,
	Full:  15 * time.Minute,
	Run:   runBurst,
}

// burstWorkers is how many processes share the work, and burstConcurrency how
// many runs each has under way.
const (
	burstWorkers     = 2
	burstConcurrency = 64
)

func runBurst(ctx context.Context, e *Env) error {
	sizes := []int{e.Size(100_000, 100_000)}
	if e.Mode == Durable {
		sizes = []int{e.Size(20_000, 20_000)}
	}
	if e.Full {
		sizes = append(sizes, 10*sizes[0])
	}
	for _, n := range sizes {
		if err := runBurstOf(ctx, e, n, "no records", `"history":"none"`); err != nil {
			return err
		}
		if e.Full {
			if err := runBurstOf(ctx, e, n, "each run recorded", ""); err != nil {
				return err
			}
		}
	}
	return nil
}

func runBurstOf(ctx context.Context, e *Env, n int, what, policy string) error {
	h, err := e.House(ctx)
	if err != nil {
		return err
	}
	g := e.gridFor(n)
	anchor := g.anchor()
	if _, err := h.Load(ctx, n, func(int) Job {
		return Job{Every: g.period, Anchor: anchor, Payload: payload, Policy: policy}
	}); err != nil {
		return err
	}
	raw, err := h.startRaw(ctx, burstWorkers)
	if err != nil {
		return err
	}
	s, all, err := h.startBoth(ctx, burstWorkers, WorkerOptions{Concurrency: burstConcurrency})
	if err != nil {
		return err
	}
	consumer, err := h.consumer(ctx)
	if err != nil {
		return err
	}
	ours, theirs := h.meter(append(all, s)...), h.meter(append(slices.Clone(raw.consumers), raw.publisher)...)
	row, err := e.Compare(ctx, fmt.Sprintf("%d jobs, %s", n, what), "s", func(ctx context.Context) (Figure, error) {
		due := g.next(300 * time.Millisecond)
		if !pause(ctx, time.Until(due)-50*time.Millisecond) {
			return Figure{}, ctx.Err()
		}
		return drained(ctx, consumer, ours, n, func() (time.Time, error) { return due, nil })
	}, func(ctx context.Context) (Figure, error) {
		return g.between(ctx, time.Duration(n)*time.Second/50_000, func(ctx context.Context) (Figure, error) {
			return drained(ctx, raw.consumer, theirs, n, func() (time.Time, error) {
				start := time.Now()
				var p published
				return start, raw.publisher.Ask(ctx, fmt.Sprint(n), &p)
			})
		})
	})
	if err != nil {
		return err
	}
	if policy == "" {
		row.Note = "raw consumers record nothing; "
	} else {
		row.Judge("≤ 1.15", row.Ratio <= 1.15)
	}
	row.Note += row.cpuNote("scheduler and workers", "publisher and consumers")
	e.Report(row)
	return h.Close(ctx)
}

// consumer finds that of the service's workers.
func (h *House) consumer(ctx context.Context) (jetstream.Consumer, error) {
	stream, err := h.JS.Stream(ctx, h.Namespace.TriggersStream())
	if err != nil {
		return nil, err
	}
	all := stream.ListConsumers(ctx)
	for info := range all.Info() {
		if info.Config.FilterSubject == h.Namespace.TriggerSubject(Service) || slices.Contains(info.Config.FilterSubjects, h.Namespace.TriggerSubject(Service)) {
			return stream.Consumer(ctx, info.Name)
		}
	}
	return nil, errors.Join(errors.New("the service has no consumer"), all.Err())
}

// drained is how long it takes, from when begin says, until the consumer has
// acknowledgements for n more.
func drained(ctx context.Context, c jetstream.Consumer, cost *meter, n int, begin func() (time.Time, error)) (Figure, error) {
	info, err := c.Info(ctx)
	if err != nil {
		return Figure{}, err
	}
	want := info.AckFloor.Consumer + uint64(n)
	if err := cost.begin(ctx); err != nil {
		return Figure{}, err
	}
	start, err := begin()
	if err != nil {
		return Figure{}, err
	}
	for info.AckFloor.Consumer < want {
		if !pause(ctx, 10*time.Millisecond) {
			return Figure{}, ctx.Err()
		}
		if info, err = c.Info(ctx); err != nil {
			return Figure{}, err
		}
	}
	f := Figure{Value: time.Since(start).Seconds()}
	return f, cost.end(ctx, n, &f)
}
