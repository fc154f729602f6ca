// Package services runs what the configuration calls services, beside those
// that are built in: programs and HTTP endpoints.
//
// One worker runs all of them. It has a slot for every run that the services may
// have under way together, so a stuck one takes no other's place.
package services

import (
	"cmp"
	"log/slog"
	"os"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/command"
	"github.com/nats-io/nats.go"
)

// Concurrency is how many runs of a service go on at the same time where its
// definition does not say.
const Concurrency = 8

// Crew is the worker of a process, and the programs that it starts. Others may
// be added with Handle before it is Run.
type Crew struct {
	*workers.Worker
	programs []*command.Program
}

// NewCrew makes a worker of the definitions. Programs inherit the environment.
// o.Concurrency is how many runs go on beside those of the definitions: what is
// added later has these slots, and 0 is none.
func NewCrew(nc *nats.Conn, o workers.Options, log *slog.Logger, definitions ...Definition) (*Crew, error) {
	r := runtime{env: os.Environ(), maxOutput: int(nc.MaxPayload()), log: log}
	all := make([]workers.Service, len(definitions))
	c := &Crew{}
	for i, d := range definitions {
		s, err := d.service(r)
		if err != nil {
			return nil, err
		}
		if p, ok := s.(*command.Program); ok {
			c.programs = append(c.programs, p)
		}
		all[i] = s
		o.Concurrency += cmp.Or(d.Concurrency, Concurrency)
	}
	c.Worker = workers.New(nc, o)
	for i, d := range definitions {
		d.Concurrency = cmp.Or(d.Concurrency, Concurrency)
		c.HandleWith(d.Name, all[i], d.ServiceOptions)
	}
	return c, nil
}

// Kill ends every program that runs, at once. A process that leaves without
// draining calls it, for nobody else will.
func (c *Crew) Kill() {
	for _, p := range c.programs {
		p.Kill()
	}
}
