// Command bellhop-worker runs the stock services on a NATS server, until it
// gets SIGTERM; then it finishes what is under way.
package main

import (
	"context"
	"log/slog"
	"os"

	_ "time/tzdata" // zones on machines that have none

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/connect"
	"github.com/bellhop-run/bellhop/cmd/internal/process"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/stock"
	"golang.org/x/sync/errgroup"
)

const name = "bellhop-worker"

func main() {
	os.Exit(process.Daemon{
		Name:  name,
		About: "runs the stock services log-input and echo",
		Run:   run,
	}.Main(os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, c config.Config, log *slog.Logger) error {
	nc, err := connect.Wait(ctx, c.NATS, connect.Options{Name: name, Logger: log})
	if err != nil {
		return err
	}
	defer nc.Close()
	w := workers.New(nc, workers.Options{Namespace: c.Namespace, Logger: log})
	stock.Register(w, log)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return w.Run(ctx) })
	group.Go(func() error {
		return web.Run(ctx, c.HTTPAddr, name, log, map[string]web.Check{"nats": web.Connected(nc)}, w)
	})
	return group.Wait()
}
