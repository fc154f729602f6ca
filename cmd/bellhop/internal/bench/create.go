package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

// createBench: how fast jobs are taken.
var createBench = Bench{
	Name:  "create",
	About: "Jobs a second that the API takes and records, one by one from many clients and a thousand at a time; raw: the same values put into a bucket by compare-and-set, and as atomic batches",
	Quick: 15 * time.Second,
	Full:  2 * time.Minute,
	Run:   runCreate,
}

func runCreate(ctx context.Context, e *Env) error {
	single, bulk := e.Size(10_000, 50_000), e.Size(20_000, 100_000)
	if e.Mode == Durable { // a sync each
		single = e.Size(4_000, 20_000)
	}
	h, err := e.House(ctx)
	if err != nil {
		return err
	}
	s, err := h.startReady(ctx, "scheduler", nil)
	if err != nil {
		return err
	}
	if err := h.compareWrites(ctx, s, "one by one", single, WriteOptions{Connections: 4, Abreast: 64, Batch: 1}); err != nil {
		return err
	}
	return h.compareWrites(ctx, s, "in bulk", bulk, WriteOptions{Connections: 4, Abreast: 4, Batch: kv.MaxBatch})
}

// compareWrites has n jobs created, and as many values put into a bucket of the
// same settings.
func (h *House) compareWrites(ctx context.Context, s *Part, name string, n int, o WriteOptions) error {
	e := h.env
	clients, err := h.startReady(ctx, "clients", o)
	if err != nil {
		return err
	}
	o.Bucket = fmt.Sprintf("%s-raw-%d", h.Namespace, o.Batch)
	if err := kv.Create(ctx, h.JS, kv.Config{Bucket: o.Bucket, History: 5, Replicas: h.Replicas}); err != nil {
		return err
	}
	putters, err := h.startReady(ctx, "putters", o)
	if err != nil {
		return err
	}
	ours, theirs := h.meter(clients, s), h.meter(putters)
	row, err := e.Compare(ctx, fmt.Sprintf("%d jobs, %s", n, name), "jobs/s", func(ctx context.Context) (Figure, error) {
		return written(ctx, clients, n, ours, h.recorded)
	}, func(ctx context.Context) (Figure, error) { return written(ctx, putters, n, theirs, nil) })
	if err != nil {
		return err
	}
	row.Judge("≥ 0.6", row.Ratio >= 0.6)
	row.Note = row.cpuNote("scheduler and clients", "clients")
	e.Report(row)
	for _, p := range []*Part{clients, putters} {
		if err := p.Stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// recorded waits until the leader has recorded every change, which it does beside
// its work.
func (h *House) recorded(ctx context.Context) error {
	jobs, err := h.JS.Stream(ctx, "KV_"+h.Namespace.JobsBucket())
	if err != nil {
		return err
	}
	changes, err := h.JS.Stream(ctx, h.Namespace.ChangesStream())
	if err != nil {
		return err
	}
	for {
		j, err := jobs.Info(ctx)
		if err != nil {
			return err
		}
		c, err := changes.Info(ctx)
		if err != nil || c.State.LastSeq >= j.State.LastSeq {
			return err
		}
		if !pause(ctx, 5*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// written has a part write n values, waits for what is done beside that, if anything
// is, and says how many a second that were and what each has cost.
func written(ctx context.Context, by *Part, n int, cost *meter, beside func(context.Context) error) (f Figure, err error) {
	if err := cost.begin(ctx); err != nil {
		return f, err
	}
	var p published
	if err := by.Ask(ctx, fmt.Sprint(n), &p); err != nil {
		return f, err
	}
	if beside != nil {
		began := time.Now()
		if err := beside(ctx); err != nil {
			return f, err
		}
		p.Took += time.Since(began)
	}
	f.Value = float64(p.Count) / max(p.Took, time.Microsecond).Seconds()
	return f, cost.end(ctx, n, &f)
}
