package bridge

import (
	"context"
	"errors"
	"fmt"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/cmd/internal/web"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// Empty says whether the plan has no channel at all.
func (p *Plan) Empty() bool { return len(p.ins)+len(p.outs) == 0 }

// Concurrency is how many runs the services of the plan may have under way.
func (p *Plan) Concurrency() int {
	n := 0
	for _, o := range p.outs {
		n += o.options.Concurrency
	}
	return n
}

// Register has a worker run the services of the plan; it needs Concurrency slots
// for them.
func (p *Plan) Register(w interface {
	HandleWith(service string, s workers.Service, o workers.ServiceOptions)
}) {
	for _, o := range p.outs {
		w.HandleWith(o.name, o.Out, o.options)
	}
}

func (p *Plan) meters() []*channels.Meter {
	var all []*channels.Meter
	for _, c := range p.ins {
		all = append(all, c.meter)
	}
	for _, o := range p.outs {
		all = append(all, o.Meter())
	}
	return all
}

// Collectors are the channels' figures.
func (p *Plan) Collectors() []prometheus.Collector {
	var all []prometheus.Collector
	for _, m := range p.meters() {
		all = append(all, m)
	}
	return all
}

// Check is the part of /healthz that shows the channels: each has its connection.
func (p *Plan) Check() web.Check {
	return func() (any, error) {
		all := []channels.Status{}
		var away []error
		for _, m := range p.meters() {
			s := m.Status()
			all = append(all, s)
			if !s.Connected {
				away = append(away, fmt.Errorf("%s %s is not connected: %s", s.Kind, s.Name, s.LastError))
			}
		}
		return all, errors.Join(away...)
	}
}

// Run runs the channels until ctx is done, and work beside them, which is to run
// the worker that Register was given, if any: its services keep their connections
// until work has returned.
func (p *Plan) Run(ctx context.Context, nc *nats.Conn, ns workers.Namespace, d *workers.Dispatcher, work func(context.Context) error) error {
	connected, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	var outs errgroup.Group
	for _, o := range p.outs {
		outs.Go(func() error { return o.Out.Run(connected) })
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range p.ins {
		group.Go(func() error { return c.Run(ctx, d) })
	}
	if !p.Empty() {
		group.Go(func() error { return channels.Serve(ctx, nc, ns, p.meters()...) })
	}
	group.Go(func() error { return work(ctx) })
	err := group.Wait()
	leave()
	return errors.Join(err, outs.Wait())
}
