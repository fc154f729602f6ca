// Command bellhop-scheduler keeps the jobs and rings their services on time, or
// stands by while another one does, until it gets SIGTERM; then it hands over.
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
	"github.com/bellhop-run/bellhop/cmd/internal/wiring"
	"golang.org/x/sync/errgroup"
)

const name = "bellhop-scheduler"

func main() {
	os.Exit(process.Daemon{
		Name:  name,
		About: "rings services on time, or stands by while another scheduler does",
		Run:   run,
	}.Main(os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, c config.Config, log *slog.Logger) error {
	nc, err := connect.Wait(ctx, c.NATS, connect.Options{Name: name, Unbuffered: true, Logger: log})
	if err != nil {
		return err
	}
	defer nc.Close()
	s, err := wiring.Scheduler(nc, c, false, log)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx) })
	group.Go(func() error { return web.Run(ctx, c.HTTPAddr, name, log, wiring.Checks(nc, s), s) })
	return group.Wait()
}
