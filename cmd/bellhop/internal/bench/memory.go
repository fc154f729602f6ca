package bench

import (
	"context"
	"fmt"
	"time"
)

// memoryBench: what a job takes of the scheduler's memory.
var memoryBench = Bench{
	Name:  "memory",
	About: "What a scheduler's resident memory grows by with each job of 300 bytes; raw: the definition itself",
	Quick: 12 * time.Second,
	Full:  3 * time.Minute,
	Run:   runMemory,
}

// definitionSize is how long definitions are where that counts.
const definitionSize = 300

func runMemory(ctx context.Context, e *Env) error {
	sizes := []int{e.Size(100_000, 100_000)}
	if e.Full {
		sizes = append(sizes, e.Size(1_000_000, 1_000_000))
	}
	none, err := e.House(ctx)
	if err != nil {
		return err
	}
	for _, n := range sizes {
		h, err := e.House(ctx)
		if err != nil {
			return err
		}
		size, err := h.loadIdle(ctx, n, Job{Every: farAway})
		if err != nil {
			return err
		}
		var full, empty took
		row, err := e.Compare(ctx, fmt.Sprintf("%d jobs", n), "B/job", func(ctx context.Context) (f Figure, err error) {
			if empty, err = none.settled(ctx); err != nil {
				return f, err
			}
			if full, err = h.settled(ctx); err != nil {
				return f, err
			}
			f.Value = float64(full.now.RSS-empty.now.RSS) / float64(n)
			return f, nil
		}, func(context.Context) (Figure, error) {
			return Figure{Value: float64(size) / float64(n)}, nil
		})
		if err != nil {
			return err
		}
		each := func(full, empty uint64) float64 { return (float64(full) - float64(empty)) / float64(n) }
		row.Note = fmt.Sprintf("RSS %.1f MB, without jobs %.1f MB; heap in use %.0f B/job; after a collection RSS %.0f and heap %.0f B/job",
			float64(full.now.RSS)/1e6, float64(empty.now.RSS)/1e6, each(full.now.Heap, empty.now.Heap),
			each(uint64(full.collected.RSS), uint64(empty.collected.RSS)), each(full.collected.Heap, empty.collected.Heap))
		if full.now.RSS == 0 {
			row.Bellhop, row.Ratio, row.Note = Figure{}, 0, "this system does not tell a process's memory"
		} else {
			row.Judge("≤ definitions + 100 B", row.Bellhop.Value <= row.Raw.Value+100)
		}
		e.Report(row)
		if err := h.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// took is what a scheduler has of the memory, as it is and after a collection.
type took struct{ now, collected Usage }

// settled starts a scheduler, lets it come to rest, and gives what it has taken.
func (h *House) settled(ctx context.Context) (t took, err error) {
	s, err := h.StartScheduler(ctx)
	if err != nil {
		return t, err
	}
	if err := s.Await(ctx, Ready); err != nil {
		return t, err
	}
	if !pause(ctx, time.Second) {
		return t, ctx.Err()
	}
	if t.now, err = s.Usage(ctx); err != nil {
		return t, err
	}
	if t.collected, err = s.Collected(ctx); err != nil {
		return t, err
	}
	return t, s.Stop(ctx)
}

// loadIdle loads n jobs of definitionSize, the first of them as it says and the
// others due in no bench.
func (h *House) loadIdle(ctx context.Context, n int, first Job) (size int64, err error) {
	anchor := time.Now().Truncate(time.Second)
	return h.Load(ctx, n, func(i int) Job {
		j := Job{Every: farAway}
		if i == 0 {
			j = first
		}
		j.Anchor, j.Size = anchor, definitionSize
		return j
	})
}
