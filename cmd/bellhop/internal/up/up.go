// Package up is bellhop up: a NATS server, a scheduler and a worker in one
// process, and every run a line on the screen.
//
//	           ┌──────────────── one process ────────────────┐
//	nats req ──┼─► NATS server ◄──► scheduler                │
//	           │     │  ▲                                    │
//	           │     ▼  │                                    │
//	           │   worker ──► log-input, echo ──► the screen │
//	           └─────────────────────────────────────────────┘
//
// Services that BELLHOP_SERVICES defines run beside log-input and echo, and the
// channels of BELLHOP_CHANNELS beside all of it.
// Where the configuration names a NATS server, none is embedded.
package up

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	httpchannel "github.com/bellhop-run/bellhop/channels/http"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/embedded"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/cmd/internal/bridge"
	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/connect"
	"github.com/bellhop-run/bellhop/cmd/internal/process"
	"github.com/bellhop-run/bellhop/cmd/internal/services"
	"github.com/bellhop-run/bellhop/cmd/internal/telemetry"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
	"github.com/bellhop-run/bellhop/cmd/internal/wiring"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/stock"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"
)

// Options of Run.
type Options struct {
	// Command is how this program is called, for the command to type next.
	Command string
	// Demo has a few jobs put.
	Demo bool
	// Out is the screen, for the greeting and the runs; Colour says whether it
	// shows colours.
	Out    io.Writer
	Colour bool
	// Logger gets everything else.
	Logger *slog.Logger
}

// Run blocks until ctx is done, or something fails; then it drains.
func Run(ctx context.Context, c config.Config, o Options) (err error) {
	definitions, err := services.Load(c.Services, stock.LogInput, stock.Echo)
	if err != nil {
		return err
	}
	taken := []string{stock.LogInput, stock.Echo}
	for _, d := range definitions {
		taken = append(taken, d.Name)
	}
	plan, err := bridge.Load(c.Channels, o.Logger, taken...)
	if err != nil {
		return err
	}
	u := &up{config: c, o: o, services: definitions, channels: plan, screen: screen.New(o.Out, o.Colour)}
	defer func() { err = errors.Join(err, u.close()) }()
	if err = u.open(ctx); err == nil {
		err = u.run(ctx)
	}
	if stopped := ctx.Err() != nil && errors.Is(err, context.Canceled); err != nil && !stopped {
		return err
	}
	u.screen.Say("bye: %s", u.screen.Total())
	return nil
}

// up is what is open while it runs.
type up struct {
	config   config.Config
	o        Options
	services []services.Definition
	channels *bridge.Plan
	screen   *screen.Screen

	http   *web.Front       // nil: no HTTP
	server *embedded.Server // nil: NATS is elsewhere
	// The scheduler has a connection of its own: what it publishes must not be
	// buffered, what a worker publishes should.
	schedulerConn, workerConn *nats.Conn
}

// open takes all that may be taken by somebody else, and connects.
func (u *up) open(ctx context.Context) (err error) {
	outside := u.config.NATS.Outside()
	if !outside {
		if err := u.config.NATS.CheckEmbedded(); err != nil {
			return err
		}
	}
	if u.http, err = web.Open(ctx, u.config); err != nil {
		return err
	}
	var inside nats.InProcessConnProvider
	if !outside {
		if u.server, err = embedded.Start(ctx, u.config, u.o.Logger); err != nil {
			return err
		}
		inside = u.server
	}
	u.schedulerConn, err = connect.Wait(ctx, u.config.NATS, connect.Options{
		Name: "bellhop-scheduler", Server: inside, Unbuffered: true, Logger: u.o.Logger,
	})
	if err != nil {
		return err
	}
	u.workerConn, err = connect.Wait(ctx, u.config.NATS, connect.Options{
		Name: "bellhop-worker", Server: inside, Logger: u.o.Logger,
	})
	return err
}

// close gives back what open took, in the opposite order.
func (u *up) close() error {
	for _, nc := range []*nats.Conn{u.workerConn, u.schedulerConn} {
		if nc != nil {
			nc.Close()
		}
	}
	var errs []error
	if u.server != nil {
		errs = append(errs, u.server.Stop())
	}
	if u.http != nil {
		errs = append(errs, u.http.Close())
	}
	return errors.Join(errs...)
}

func (u *up) run(ctx context.Context) error {
	traces, err := telemetry.Start(ctx, "bellhop", u.o.Logger)
	if err != nil {
		return err
	}
	defer traces.Stop()
	s, rings, err := wiring.Scheduler(u.schedulerConn, u.config, wiring.Options{
		Embedded: u.server != nil, Tracing: traces, Logger: u.o.Logger,
	})
	if err != nil {
		return err
	}
	o := workers.Options{
		Namespace: u.config.Namespace, Concurrency: services.Concurrency + u.channels.Concurrency(), Logger: u.o.Logger, OnRun: u.screen.Run,
	}
	crew, err := services.NewCrew(u.workerConn, o, u.o.Logger, u.services...)
	if err != nil {
		return err
	}
	defer process.Abandon(crew.Kill)()
	stock.Register(crew.Worker, u.o.Logger)
	u.channels.Register(crew)
	traces.Use(crew)

	channel := httpchannel.New(httpchannel.Options{Caller: web.Caller, Logger: u.o.Logger})
	checks := wiring.Checks(u.schedulerConn, s)
	if !u.channels.Empty() {
		checks["channels"] = u.channels.Check()
	}
	mux, err := web.Handler("bellhop up", checks, append(u.channels.Collectors(), s, rings, crew, channel.Meter())...)
	if err != nil {
		return err
	}

	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(running) })
	if u.http != nil {
		jobs, err := wiring.Jobs(u.workerConn, u.config.Namespace, u.http, u.o.Logger)
		if err != nil {
			return err
		}
		group.Go(func() error { return jobs.Run(running) })
		group.Go(func() error { return u.http.Serve(running, web.Site{Mux: mux, Rings: channel, Jobs: jobs}) })
		group.Go(func() error { return channel.Run(running, rings) })
		group.Go(func() error { return channels.Serve(running, u.workerConn, u.config.Namespace, channel.Meter()) })
	}
	group.Go(func() error {
		// The runs come after the greeting.
		if err := u.greet(running, s); err != nil {
			return err
		}
		return u.channels.Run(running, u.workerConn, u.config.Namespace, rings, crew.Run)
	})
	group.Go(func() error {
		<-running.Done()
		if ctx.Err() != nil {
			u.screen.Say("draining: what is under way may finish; Ctrl-C again leaves it")
		}
		return nil
	})
	return group.Wait()
}

// greet waits until the scheduler of an embedded server leads, puts the jobs
// of the demo, and says what runs where.
func (u *up) greet(ctx context.Context, s *scheduler.Scheduler) error {
	g := greeting{config: u.config, command: u.o.Command, services: []string{stock.LogInput, stock.Echo}, server: u.config.NATS.String()}
	for _, d := range u.services {
		g.services = append(g.services, d.Name)
	}
	g.services = append(g.services, u.channels.Services()...)
	if u.server != nil {
		g.server, g.dir = u.server.URL(), u.server.Dir()
		select {
		case <-s.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if u.http != nil {
		g.http, g.shut = u.http.URL(), u.http.Shut()
	}
	if u.o.Demo {
		g.demo = demoJobs(time.Now())
		if err := demo(ctx, scheduler.NewClient(u.workerConn, u.config.Namespace), g.demo); err != nil {
			return err
		}
	}
	u.screen.Say("%s\n", g)
	return nil
}
