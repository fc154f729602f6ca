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
// Services that BELLHOP_SERVICES defines run beside log-input and echo.
// Where the configuration names a NATS server, none is embedded.
package up

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/embedded"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/connect"
	"github.com/bellhop-run/bellhop/cmd/internal/process"
	"github.com/bellhop-run/bellhop/cmd/internal/services"
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
	u := &up{config: c, o: o, services: definitions, screen: screen.New(o.Out, o.Colour)}
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
	screen   *screen.Screen

	http   net.Listener     // nil: no HTTP
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
	if u.config.HTTPAddr != "" {
		if u.http, err = web.Listen(ctx, u.config.HTTPAddr); err != nil {
			return err
		}
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
		if err := u.http.Close(); !errors.Is(err, net.ErrClosed) { // who served has closed it
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (u *up) run(ctx context.Context) error {
	s, err := wiring.Scheduler(u.schedulerConn, u.config, u.server != nil, u.o.Logger)
	if err != nil {
		return err
	}
	o := workers.Options{Namespace: u.config.Namespace, Logger: u.o.Logger, OnRun: u.screen.Run}
	crew, err := services.NewCrew(u.workerConn, o, u.o.Logger, u.services...)
	if err != nil {
		return err
	}
	defer process.Abandon(crew.Kill)()
	w := workers.New(u.workerConn, o)
	stock.Register(w, u.o.Logger)
	crew.Add(w)

	mux, err := web.Handler("bellhop up", wiring.Checks(u.schedulerConn, s), s, crew)
	if err != nil {
		return err
	}

	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(running) })
	if u.http != nil {
		group.Go(func() error { return web.Serve(running, u.http, mux) })
	}
	group.Go(func() error {
		// The runs come after the greeting.
		if err := u.greet(running, s); err != nil {
			return err
		}
		return crew.Run(running)
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
	if u.server != nil {
		g.server, g.dir = u.server.URL(), u.server.Dir()
		select {
		case <-s.Ready():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if u.http != nil {
		g.http = u.http.Addr().String()
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
