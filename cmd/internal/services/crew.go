// Package services runs what the configuration calls services, beside those
// that are built in: programs and HTTP endpoints.
//
// Each of them has a worker of its own, so that its concurrency, its timeout and
// its attempts are its own, too, and a stuck one takes no other's place.
package services

import (
	"context"
	"log/slog"
	"os"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/command"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Crew is the workers of a process. It is a prometheus.Collector of all their
// figures.
type Crew struct {
	workers  []*workers.Worker
	programs []*command.Program
}

// NewCrew makes a worker for each definition. Programs inherit the environment.
func NewCrew(nc *nats.Conn, o workers.Options, log *slog.Logger, definitions ...Definition) (*Crew, error) {
	r := runtime{env: os.Environ(), maxOutput: int(nc.MaxPayload()), log: log}
	c := &Crew{}
	for _, d := range definitions {
		s, err := d.service(r)
		if err != nil {
			return nil, err
		}
		if p, ok := s.(*command.Program); ok {
			c.programs = append(c.programs, p)
		}
		w := workers.New(nc, d.options(o))
		w.Handle(d.Name, s)
		c.Add(w)
	}
	return c, nil
}

// Add has the crew run another worker, of other services.
func (c *Crew) Add(w *workers.Worker) { c.workers = append(c.workers, w) }

// Run runs every worker until ctx is done and all of them have drained, or one
// of them fails.
func (c *Crew) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range c.workers {
		group.Go(func() error { return w.Run(ctx) })
	}
	return group.Wait()
}

// Kill ends every program that runs, at once. A process that leaves without
// draining calls it, for nobody else will.
func (c *Crew) Kill() {
	for _, p := range c.programs {
		p.Kill()
	}
}

// Describe is part of prometheus.Collector: all workers have the same figures,
// of different services.
func (c *Crew) Describe(ch chan<- *prometheus.Desc) {
	for _, w := range c.workers[:min(1, len(c.workers))] {
		w.Describe(ch)
	}
}

// Collect is part of prometheus.Collector.
func (c *Crew) Collect(ch chan<- prometheus.Metric) {
	for _, w := range c.workers {
		w.Collect(ch)
	}
}
