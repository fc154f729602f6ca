package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/workers"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// Kind is the Ring.Channel of what comes from a broker.
const Kind = "amqp"

// InOptions say which queue rings what; zero fields mean the defaults.
type InOptions struct {
	// Queue is consumed from; required.
	Queue string
	// Service is rung for each message. Where it is empty, the message says which:
	// its header ServiceHeader, or else its routing key.
	Service       string
	ServiceHeader string
	// Strict refuses messages for a service that no worker has ever run.
	Strict bool
	// IDHeader is a header of the message that holds its id; else it is the
	// property message-id. See the package's story for messages that have none.
	IDHeader string
	// Prefetch is how many messages are under way at most: 512, up to 4,000.
	Prefetch int
	// Policy is how the runs are to be done.
	Policy workers.Policy
	// CallTimeout bounds a request that waits for its answer: 30 s.
	CallTimeout time.Duration
	// Topology is what is done about the queue. What follows is for Declare: the
	// name of exchange and queue of dead letters (the queue's name and ".dead"),
	// how often a message may be given back (100), and where the queue gets its
	// messages from.
	Topology      Topology
	DeadLetter    string
	DeliveryLimit int
	Bind          []Binding
	// Hold is how long a message that cannot be rung now is kept and tried again,
	// before it is given back to the queue: 30 s.
	Hold time.Duration
	// DrainTimeout is how long a channel that is stopped waits for what is under
	// way: 10 s.
	DrainTimeout time.Duration
	// Logger is told of connections that come and go, and of messages that are
	// refused, never a payload; required.
	Logger *slog.Logger
}

// maxPrefetch keeps what is under way below what a workers.Pipe takes.
const maxPrefetch = 4000

// maxCallTimeout is below the half hour after which a broker takes a consumer
// that acknowledges nothing for dead.
const maxCallTimeout = 15 * time.Minute

// Check says what is wrong with the options.
func (o *InOptions) Check() error {
	switch {
	case o.Queue == "" || len(o.Queue) > maxShort:
		return fmt.Errorf("%w: queue %.80q: name one, of at most %d bytes", ErrConfig, o.Queue, maxShort)
	case o.Service != "" && o.ServiceHeader != "":
		return fmt.Errorf("%w: queue %s: service and service header are both there: keep one of the two", ErrConfig, o.Queue)
	case o.Prefetch < 0 || o.Prefetch > maxPrefetch:
		return fmt.Errorf("%w: queue %s: prefetch %d: use 1 to %d", ErrConfig, o.Queue, o.Prefetch, maxPrefetch)
	case o.CallTimeout < 0 || o.CallTimeout > maxCallTimeout:
		return fmt.Errorf("%w: queue %s: call timeout %s: use up to %s", ErrConfig, o.Queue, o.CallTimeout, maxCallTimeout)
	case o.Hold < 0 || o.Hold > maxCallTimeout:
		return fmt.Errorf("%w: queue %s: hold %s: use up to %s", ErrConfig, o.Queue, o.Hold, maxCallTimeout)
	case o.DeliveryLimit < 0 || o.DeliveryLimit > 1e6:
		return fmt.Errorf("%w: queue %s: delivery limit %d: use 1 to 1000000", ErrConfig, o.Queue, o.DeliveryLimit)
	case len(o.DeadLetter) > maxShort || o.DeadLetter == "" && o.Topology == Declare && len(o.Queue)+len(".dead") > maxShort:
		return fmt.Errorf("%w: queue %s: the dead letters need a name of at most %d bytes", ErrConfig, o.Queue, maxShort)
	case o.Topology != Declare && (o.DeadLetter != "" || o.DeliveryLimit != 0 || o.Bind != nil):
		return fmt.Errorf("%w: queue %s: dead letter, delivery limit and bindings are for topology declare", ErrConfig, o.Queue)
	}
	if o.Service != "" {
		if err := workers.CheckService(o.Service); err != nil {
			return fmt.Errorf("%w: queue %s: %w", ErrConfig, o.Queue, err)
		}
	}
	return o.Topology.check()
}

func (o InOptions) withDefaults() InOptions {
	o.Prefetch = cmp.Or(o.Prefetch, 512)
	o.CallTimeout = cmp.Or(o.CallTimeout, 30*time.Second)
	o.Hold = cmp.Or(o.Hold, 30*time.Second)
	o.DrainTimeout = cmp.Or(o.DrainTimeout, 10*time.Second)
	return o
}

// In is the channel that rings services for the messages of one queue.
type In struct {
	broker    Broker
	o         InOptions
	source    string
	meter     *channels.Meter
	log       *slog.Logger
	directory channels.Directory
}

var _ channels.Channel = (*In)(nil)

// NewIn makes the channel; nothing is connected before Run.
func NewIn(b Broker, o InOptions) (*In, error) {
	if err := errors.Join(b.Check(), o.Check()); err != nil {
		return nil, err
	}
	return &In{
		broker: b, o: o.withDefaults(), source: channels.Bound(b.Name + "/" + o.Queue),
		meter: channels.NewMeter(Kind, b.Name+"/"+o.Queue),
		log:   o.Logger.With("channel", Kind, "broker", b.Name, "queue", o.Queue),
	}, nil
}

// Meter is how the channel fares.
func (c *In) Meter() *channels.Meter { return c.meter }

// Run consumes until ctx is done; it comes back by itself after whatever trouble,
// of the broker or of NATS.
func (c *In) Run(ctx context.Context, d *workers.Dispatcher) error {
	var backoff channels.Backoff
	said := ""
	for failed := 0; ; failed++ {
		healthy := false
		err := c.session(ctx, d, failed, func() { healthy = true })
		if ctx.Err() != nil {
			c.meter.Down(nil)
			return nil
		}
		c.meter.Down(err)
		if healthy {
			backoff.Reset()
			said = ""
		}
		if err.Error() != said {
			said = err.Error()
			c.log.Warn("not consuming: it is tried again", "error", err)
		}
		if !backoff.Wait(ctx) {
			c.meter.Down(nil)
			return nil
		}
	}
}

// ring makes the ring of a delivery; an error is a permanent refusal.
func (c *In) ring(d *amqp091.Delivery) (workers.Ring, error) {
	r := workers.Ring{
		Channel: Kind, Service: c.o.Service, Source: c.source, Payload: d.Body, Policy: c.o.Policy,
		ID: channels.Bound(d.MessageId),
	}
	if c.o.IDHeader != "" {
		r.ID = channels.Bound(text(d.Headers[c.o.IDHeader]))
	}
	switch {
	case r.Service != "":
	case c.o.ServiceHeader != "":
		r.Service = text(d.Headers[c.o.ServiceHeader])
	default:
		r.Service = d.RoutingKey
	}
	if err := workers.CheckService(r.Service); err != nil {
		return r, fmt.Errorf("%w: %w", workers.ErrRefused, err)
	}
	if limit := 64 << 20; len(d.Body) > limit { // NATS takes no more, however it is set
		return r, fmt.Errorf("%w: %w: %d bytes", workers.ErrRefused, workers.ErrTooLarge, len(d.Body))
	}
	var err error
	r.Header, err = header(d)
	return r, err
}

// text is a value of a table as an id or a name.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case int8, int16, int32, int64, uint8, uint16, uint32:
		return fmt.Sprint(v)
	}
	return ""
}

// request says whether somebody waits for the answer to a delivery.
func request(d *amqp091.Delivery) bool { return d.ReplyTo != "" && d.CorrelationId != "" }

// wellTime bounds the look at NATS before a queue is consumed from.
const wellTime = 5 * time.Second

// well says why nothing can be rung now: messages would only be taken to be given
// back, and each time counts for a queue with a delivery limit.
func (c *In) well(ctx context.Context, d *workers.Dispatcher) error {
	ctx, cancel := context.WithTimeout(ctx, wellTime)
	defer cancel()
	if err := d.Ready(ctx); err != nil {
		return fmt.Errorf("nothing can be rung: %w", err)
	}
	return nil
}
