// Package wiring makes of the configuration a scheduler, for the programs that
// run one.
package wiring

import (
	"errors"
	"log/slog"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/telemetry"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options are what a scheduler is told beside the configuration.
type Options struct {
	// Embedded says that the connection's server lives in this process.
	Embedded bool
	Tracing  *telemetry.Tracing
	Logger   *slog.Logger
}

// Scheduler makes a scheduler as c says, and the dispatcher that it rings with.
// The connection must be unbuffered.
func Scheduler(nc *nats.Conn, c config.Config, o Options) (*scheduler.Scheduler, *workers.Dispatcher, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, err
	}
	d := workers.NewDispatcher(js, c.Namespace)
	o.Tracing.Carry(d)
	s, err := scheduler.New(nc, scheduler.Options{
		Namespace:  c.Namespace,
		Replicas:   c.Replicas,
		Grace:      c.Grace,
		Keep:       c.Keep,
		KeepBytes:  int64(c.KeepBytes),
		History:    int64(c.History),
		HistoryAge: time.Duration(c.HistoryAge),
		Embedded:   o.Embedded,
		Dispatcher: d,
		Trace:      o.Tracing.Trigger(),
		Logger:     o.Logger,
	})
	return s, d, err
}

// Checks are a scheduler's part of /healthz: it has its server, and it leads or
// knows who does.
func Checks(nc *nats.Conn, s *scheduler.Scheduler) map[string]web.Check {
	return map[string]web.Check{
		"nats": web.Connected(nc),
		"scheduler": func() (any, error) {
			status := s.Status()
			if status.Leader == "" {
				return status, errors.New("no scheduler leads yet")
			}
			return status, nil
		},
	}
}
