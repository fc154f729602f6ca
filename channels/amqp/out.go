package amqp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/workers"
)

// OutOptions say where an Out publishes to.
type OutOptions struct {
	// Name is the service's, for figures and logs; required.
	Name string
	// Exchange and RoutingKey are where to. An empty exchange is the default one,
	// of which the routing key is the queue's name; one of them is required.
	Exchange   string
	RoutingKey string
	// Topology is what is done about them; ExchangeType ("direct") is declared.
	Topology     Topology
	ExchangeType string
	// Logger is told of connections that come and go; required.
	Logger *slog.Logger
}

// Out is a service that publishes each trigger's payload to a broker: a run is ok
// when the broker has confirmed that a queue has it. Run keeps its connection.
type Out struct {
	o     OutOptions
	p     *publisher
	meter *channels.Meter
}

var _ workers.Service = (*Out)(nil)

// NewOut makes the service; nothing is connected before Run.
func NewOut(b Broker, o OutOptions) (*Out, error) {
	if err := errors.Join(b.Check(), o.Check()); err != nil {
		return nil, err
	}
	m := channels.NewMeter(Kind, b.Name+"/out/"+o.Name)
	log := o.Logger.With("channel", Kind, "broker", b.Name, "service", o.Name)
	return &Out{o, newPublisher(&b, "out "+o.Name, o.exchange, m, log), m}, nil
}

// Check says what is wrong with the options.
func (o *OutOptions) Check() error {
	if err := workers.CheckService(o.Name); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if o.Exchange == "" && o.RoutingKey == "" {
		return fmt.Errorf("%w: say where to: an exchange, or a queue's name as routing key", ErrConfig)
	}
	if len(o.Exchange) > maxShort || len(o.RoutingKey) > maxShort || len(o.ExchangeType) > maxShort {
		return fmt.Errorf("%w: exchange or routing key of more than %d bytes", ErrConfig, maxShort)
	}
	return o.Topology.check()
}

// Meter is how the service fares.
func (s *Out) Meter() *channels.Meter { return s.meter }

// Run keeps the connection to the broker until ctx is done; end it after the
// worker that serves.
func (s *Out) Run(ctx context.Context) error {
	s.p.run(ctx)
	return nil
}

// Serve publishes. While the broker is away or takes nothing it waits, as long
// as the run may take. What cannot be a message is a permanent failure.
func (s *Out) Serve(ctx context.Context, t *workers.Trigger) ([]byte, error) {
	s.meter.Received()
	m, err := publishing(t)
	if err != nil {
		s.meter.Refused(err)
		return nil, workers.Permanent(err)
	}
	if err := s.p.publish(ctx, s.o.Exchange, s.o.RoutingKey, true, m); err != nil {
		s.meter.Requeued(err)
		return nil, err
	}
	s.meter.Rung()
	return nil, nil
}
