// Package wiring makes of the configuration a scheduler, for the programs that
// run one.
package wiring

import (
	"errors"
	"log/slog"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats.go"
)

// Scheduler makes a scheduler as c says. The connection must be unbuffered;
// embedded says that its server lives in this process.
func Scheduler(nc *nats.Conn, c config.Config, embedded bool, log *slog.Logger) (*scheduler.Scheduler, error) {
	return scheduler.New(nc, scheduler.Options{
		Namespace: c.Namespace,
		Replicas:  c.Replicas,
		Grace:     c.Grace,
		Keep:      c.Keep,
		KeepBytes: int64(c.KeepBytes),
		Embedded:  embedded,
		Logger:    log,
	})
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
