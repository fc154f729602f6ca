// Command bellhop-worker runs the stock services, and those that a file defines,
// on a NATS server, until it gets SIGTERM; then it finishes what is under way.
package main

import (
	"context"
	"log/slog"
	"os"

	_ "time/tzdata" // zones on machines that have none

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/connect"
	"github.com/bellhop-run/bellhop/cmd/internal/process"
	"github.com/bellhop-run/bellhop/cmd/internal/services"
	"github.com/bellhop-run/bellhop/cmd/internal/telemetry"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/stock"
	"golang.org/x/sync/errgroup"
)

const name = "bellhop-worker"

func main() {
	os.Exit(process.Daemon{
		Name:  name,
		About: "runs the stock services log-input and echo, and those of BELLHOP_SERVICES",
		Run:   run,
	}.Main(os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, c config.Config, log *slog.Logger) error {
	definitions, err := services.Load(c.Services, stock.LogInput, stock.Echo)
	if err != nil {
		return err
	}
	defer process.Headroom(process.WorkerHeadroom)()
	traces, err := telemetry.Start(ctx, name, log)
	if err != nil {
		return err
	}
	defer traces.Stop()
	nc, err := connect.Wait(ctx, c.NATS, connect.Options{Name: name, Logger: log})
	if err != nil {
		return err
	}
	defer nc.Close()
	o := workers.Options{Namespace: c.Namespace, Concurrency: services.Concurrency, Logger: log}
	crew, err := services.NewCrew(nc, o, log, definitions...)
	if err != nil {
		return err
	}
	defer process.Abandon(crew.Kill)()
	stock.Register(crew.Worker, log)
	traces.Use(crew)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return crew.Run(ctx) })
	group.Go(func() error {
		return web.Run(ctx, c.HTTPAddr, name, log, map[string]web.Check{"nats": web.Connected(nc)}, crew)
	})
	return group.Wait()
}
