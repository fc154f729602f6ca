// Command bellhop-bridge runs channels between Bellhop and the outside, as the
// file BELLHOP_CHANNELS says, until it gets SIGTERM; then it takes nothing new and
// finishes what is under way.
package main

import (
	"context"
	"log/slog"
	"os"

	_ "time/tzdata" // zones on machines that have none

	"github.com/bellhop-run/bellhop/channels"
	httpchannel "github.com/bellhop-run/bellhop/channels/http"
	"github.com/bellhop-run/bellhop/cmd/internal/bridge"
	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/connect"
	"github.com/bellhop-run/bellhop/cmd/internal/process"
	"github.com/bellhop-run/bellhop/cmd/internal/telemetry"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

const name = "bellhop-bridge"

func main() {
	os.Exit(process.Daemon{
		Name:  name,
		About: "runs the channels of BELLHOP_CHANNELS, queues that ring services and services that publish, and rings over HTTP",
		Run:   run,
	}.Main(os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, c config.Config, log *slog.Logger) error {
	plan, err := bridge.Load(c.Channels, log)
	if err != nil {
		return err
	}
	if plan.Empty() && c.HTTPAddr == "" {
		return &config.Error{Variable: "BELLHOP_CHANNELS", Value: c.Channels, Want: "name a YAML file that defines a channel, or set BELLHOP_HTTP_ADDR: there is none to run"}
	}
	front, err := web.Open(ctx, c)
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
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	d := workers.NewDispatcher(js, c.Namespace)
	traces.Carry(d)
	collectors := append([]prometheus.Collector{d}, plan.Collectors()...)
	work := func(ctx context.Context) error { // nothing to run
		<-ctx.Done()
		return nil
	}
	if n := plan.Concurrency(); n > 0 {
		w := workers.New(nc, workers.Options{Namespace: c.Namespace, Concurrency: n, Logger: log})
		plan.Register(w)
		traces.Use(w)
		collectors = append(collectors, w)
		work = w.Run
	}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return plan.Run(ctx, nc, c.Namespace, d, work) })
	if front != nil {
		channel := httpchannel.New(httpchannel.Options{Caller: web.Caller, Logger: log})
		checks := map[string]web.Check{"nats": web.Connected(nc), "channels": plan.Check()}
		mux, err := web.Handler(name, checks, append(collectors, channel.Meter())...)
		if err != nil {
			return err
		}
		log.Info("serving HTTP", "url", front.URL())
		if front.Shut() {
			log.Warn("services are not rung over HTTP: anybody could come", "hint", web.ShutHint)
		}
		group.Go(func() error { return front.Serve(ctx, web.Site{Mux: mux, Rings: channel}) })
		group.Go(func() error { return channel.Run(ctx, d) })
		group.Go(func() error { return channels.Serve(ctx, nc, c.Namespace, channel.Meter()) })
	}
	return group.Wait()
}
