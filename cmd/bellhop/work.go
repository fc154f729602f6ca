package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/connect"
	"github.com/bellhop-run/bellhop/cmd/internal/process"
	"github.com/bellhop-run/bellhop/cmd/internal/services"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
	"github.com/bellhop-run/bellhop/workers"
	"golang.org/x/sync/errgroup"
)

type workCommand struct {
	Service     string        `arg:"" complete:"service" help:"Name of the service."`
	Command     []string      `arg:"" name:"cmd" passthrough:"" help:"The program and its arguments, after --."`
	Concurrency int           `placeholder:"N" default:"8" help:"How many runs go on at the same time (8)."`
	Fleet       int           `placeholder:"N" help:"How many go on at the same time in all workers of the service together; say the same to each."`
	Rate        string        `placeholder:"N/s" help:"How many runs are started in a second, such as 10/s; or in a minute, an hour, a day: N/m, N/h, N/d."`
	Timeout     time.Duration `placeholder:"D" help:"How long a run may take where its job does not say (5m)."`
	Attempts    int           `placeholder:"N" help:"How often a run is tried where its job does not say (3)."`
	Name        string        `placeholder:"NAME" help:"What run records call this worker."`
}

// Help is what --help says below the summary.
func (workCommand) Help() string {
	return `The payload is the program's standard input, what the trigger says is in
TRIGGER_* variables (RUN, JOB, JOB_KEY, SERVICE, CHANNEL, DUE, ATTEMPT, LAST_ERROR),
standard output is the output, standard error the log. Exit status 0 is success, 65
a failure that no repetition can heal, any other one is tried again.

  bellhop work greet -- sh -c 'echo "$TRIGGER_JOB says $(cat)"'`
}

// definition is the service that the command line asks for.
func (w *workCommand) definition() (services.Definition, error) {
	// kong hands the -- on where it ends the flags.
	if len(w.Command) > 0 && w.Command[0] == "--" {
		w.Command = w.Command[1:]
	}
	d := services.Definition{Name: w.Service, Command: w.Command, ServiceOptions: workers.ServiceOptions{
		Concurrency: w.Concurrency, Fleet: w.Fleet, Timeout: w.Timeout, Attempts: w.Attempts,
	}}
	refuse := func(what string, value any, want string) (services.Definition, error) {
		return d, &config.Error{Variable: what, Value: fmt.Sprint(value), Want: want}
	}
	switch {
	case w.Concurrency < 1:
		return refuse("--concurrency", w.Concurrency, "use a whole number above zero")
	case w.Fleet < 0:
		return refuse("--fleet", w.Fleet, "use a whole number above zero")
	case w.Timeout < 0:
		return refuse("--timeout", w.Timeout, "use a duration above zero, such as 30s or 5m")
	case w.Attempts < 0:
		return refuse("--attempts", w.Attempts, "use a whole number above zero")
	case len(w.Command) == 0:
		return refuse("CMD", "", "say what to run: bellhop work "+w.Service+" -- CMD ARGS")
	}
	if w.Rate != "" {
		var err error
		if d.Rate, err = services.ParseRate(w.Rate); err != nil {
			return refuse("--rate", w.Rate, err.Error())
		}
	}
	if err := d.Check(); errors.Is(err, workers.ErrName) {
		return refuse("SERVICE", w.Service, err.Error())
	} else if err != nil {
		return refuse("CMD", w.Command[0], err.Error())
	}
	return d, nil
}

// Run runs the program for each trigger until a signal comes; then it drains.
func (w workCommand) Run(ctx context.Context, s *session.Session) error {
	d, err := w.definition()
	if err != nil {
		return err
	}
	c, err := s.Config("")
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{ReplaceAttr: shortTime}))
	shown := screen.New(s.Out, screen.Colourful(s.Out))
	err = w.work(ctx, c, d, shown, log)
	if stopped := ctx.Err() != nil && errors.Is(err, context.Canceled); err != nil && !stopped {
		return err
	}
	shown.Say("bye: %s", shown.Total())
	return nil
}

func (w workCommand) work(ctx context.Context, c config.Config, d services.Definition, shown *screen.Screen, log *slog.Logger) error {
	nc, err := connect.Wait(ctx, c.NATS, connect.Options{Name: "bellhop-work", Logger: log})
	if err != nil {
		return err
	}
	defer nc.Close()
	o := workers.Options{Namespace: c.Namespace, Name: w.Name, Logger: log, OnRun: shown.Run}
	crew, err := services.NewCrew(nc, o, log, d)
	if err != nil {
		return err
	}
	defer process.Abandon(crew.Kill)()
	shown.Say("%s is run by %s, %d at a time, on %s. Ctrl-C stops.", d.Name, strings.Join(d.Command, " "), d.Concurrency, c.NATS)

	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return crew.Run(running) })
	group.Go(func() error {
		return web.Run(running, c.HTTPAddr, "bellhop work", log, map[string]web.Check{"nats": web.Connected(nc)}, crew)
	})
	group.Go(func() error {
		<-running.Done()
		if ctx.Err() != nil {
			shown.Say("draining: what is under way may finish; Ctrl-C again ends it")
		}
		return nil
	})
	return group.Wait()
}
