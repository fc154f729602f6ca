package bench

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/process"
	"github.com/bellhop-run/bellhop/cmd/internal/services"
	"github.com/bellhop-run/bellhop/cmd/internal/telemetry"
	"github.com/bellhop-run/bellhop/cmd/internal/wiring"
	"github.com/bellhop-run/bellhop/workers"
	"golang.org/x/sync/errgroup"
)

// Service is the service that the jobs of benches ring.
const Service = "bench"

// schedulerPart is a scheduler, made and run as bellhop-scheduler does. It says
// Ready when it leads for the first time.
func schedulerPart(ctx context.Context, in *Inside) error {
	traces, err := telemetry.Start(ctx, "bellhop-scheduler", in.Logger)
	if err != nil {
		return err
	}
	defer traces.Stop()
	nc, _, err := in.Connect(ctx, true)
	if err != nil {
		return err
	}
	defer nc.Close()
	s, _, err := wiring.Scheduler(nc, in.Config, wiring.Options{Tracing: traces, Logger: in.Logger})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { wiring.Slim(ctx, s); return nil })
	group.Go(func() error { return s.Run(ctx) })
	group.Go(func() error {
		select {
		case <-s.Ready():
			return in.SayEvent(Ready)
		case <-ctx.Done():
			return nil
		}
	})
	return group.Wait()
}

// WorkerOptions are those of the part "worker".
type WorkerOptions struct {
	// Services are those that it runs; none is Service alone.
	Services []string `json:",omitempty"`
	// Concurrency is of each service; 0 is that of bellhop-worker.
	Concurrency int `json:",omitempty"`
}

// Lateness is what a worker, or a raw consumer, has received so far.
type Lateness struct {
	Count int64      `json:"count"`
	Late  *Histogram `json:"late"`
}

// The orders that a worker and a raw consumer take beside those of every part.
const (
	// LatenessOrder asks for Lateness.
	LatenessOrder = "lateness"
	// ForgetOrder begins anew; it is answered by Lateness, too.
	ForgetOrder = "forget"
)

// workerPart is a worker as bellhop-worker makes it, whose services do nothing
// but note how long after its due time each trigger has come.
func workerPart(ctx context.Context, in *Inside) error {
	var o WorkerOptions
	if err := in.Options(&o); err != nil {
		return err
	}
	nc, _, err := in.Connect(ctx, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer process.Headroom(process.WorkerHeadroom)()
	if len(o.Services) == 0 {
		o.Services = []string{Service}
	}
	each := cmp.Or(o.Concurrency, services.Concurrency)
	crew, err := services.NewCrew(nc, workers.Options{
		Namespace: in.Config.Namespace, Concurrency: each * len(o.Services), Logger: in.Logger,
	}, in.Logger)
	if err != nil {
		return err
	}
	var l ledger
	for _, name := range o.Services {
		crew.HandleWith(name, workers.ServiceFunc(func(_ context.Context, t *workers.Trigger) ([]byte, error) {
			l.note(time.Since(t.Due))
			return nil, nil
		}), workers.ServiceOptions{Concurrency: each})
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return crew.Run(ctx) })
	group.Go(func() error {
		if err := in.SayEvent(Ready); err != nil {
			return err
		}
		return l.answer(ctx, in)
	})
	return group.Wait()
}

// ledger counts what was received, by many goroutines.
type ledger struct {
	count atomic.Int64
	mu    sync.Mutex
	late  Histogram
}

func (l *ledger) note(late time.Duration) {
	l.count.Add(1)
	l.mu.Lock()
	l.late.Add(late)
	l.mu.Unlock()
}

// answer takes orders until ctx ends.
func (l *ledger) answer(ctx context.Context, in *Inside) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case order := <-in.Orders:
			l.mu.Lock()
			if order == ForgetOrder {
				l.late = Histogram{}
				l.count.Store(0)
			}
			err := in.Say(Lateness{Count: l.count.Load(), Late: &l.late})
			l.mu.Unlock()
			if err != nil {
				return err
			}
		}
	}
}
