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
	"github.com/bellhop-run/bellhop/cmd/internal/telemetry"
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
	front, err := web.Open(ctx, c)
	if err != nil {
		return err
	}
	traces, err := telemetry.Start(ctx, name, log)
	if err != nil {
		return err
	}
	defer traces.Stop()
	nc, err := connect.Wait(ctx, c.NATS, connect.Options{Name: name, Unbuffered: true, Logger: log})
	if err != nil {
		return err
	}
	defer nc.Close()
	s, rings, err := wiring.Scheduler(nc, c, wiring.Options{Tracing: traces, Logger: log})
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	if front != nil {
		mux, err := web.Handler(name, wiring.Checks(nc, s), s, rings)
		if err != nil {
			return err
		}
		jobs, err := wiring.Jobs(nc, c.Namespace, front, log)
		if err != nil {
			return err
		}
		log.Info("serving HTTP", "url", front.URL())
		if front.Shut() {
			log.Warn("no jobs are shown over HTTP: anybody could come", "hint", web.ShutHint)
		}
		group.Go(func() error { return jobs.Run(ctx) })
		group.Go(func() error { return front.Serve(ctx, web.Site{Mux: mux, Jobs: jobs}) })
	}
	group.Go(func() error { wiring.Slim(ctx, s); return nil })
	group.Go(func() error { return s.Run(ctx) })
	return group.Wait()
}
