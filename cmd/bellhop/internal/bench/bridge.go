package bench

import (
	"context"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/bridge"
	"github.com/bellhop-run/bellhop/cmd/internal/process"
	"github.com/bellhop-run/bellhop/workers"
	"golang.org/x/sync/errgroup"
)

// BridgeOptions are those of the part "bridge".
type BridgeOptions struct {
	// File defines the channels, as BELLHOP_CHANNELS does.
	File string
}

// goOrder has a part begin that has said that it is Ready, so that its start is
// not measured. It says began when it has connected to whatever it needs.
const (
	goOrder = "go"
	began   = "began"
)

// told waits for goOrder; false when the part is to end.
func (in *Inside) told(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-in.Orders:
		return true
	}
}

// bridgePart is a bridge, made and run as bellhop-bridge does, once it is told.
// It has begun when all its channels have their connections.
func bridgePart(ctx context.Context, in *Inside) error {
	var o BridgeOptions
	if err := in.Options(&o); err != nil {
		return err
	}
	plan, err := bridge.Load(o.File, in.Logger)
	if err != nil {
		return err
	}
	nc, js, err := in.Connect(ctx, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer process.Headroom(process.WorkerHeadroom)()
	d := workers.NewDispatcher(js, in.Config.Namespace)
	work := func(ctx context.Context) error { // nothing to run
		<-ctx.Done()
		return nil
	}
	if n := plan.Concurrency(); n > 0 {
		w := workers.New(nc, workers.Options{Namespace: in.Config.Namespace, Concurrency: n, Logger: in.Logger})
		plan.Register(w)
		work = w.Run
	}
	if err := in.SayEvent(Ready); err != nil || !in.told(ctx) {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return plan.Run(ctx, nc, in.Config.Namespace, d, work) })
	group.Go(func() error {
		for check := plan.Check(); ; {
			if _, err := check(); err == nil {
				return in.SayEvent(began)
			}
			if !pause(ctx, 20*time.Millisecond) {
				return nil
			}
		}
	})
	return group.Wait()
}
