package amqp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/workers"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// behindTime is how long an acknowledgement waits for those of older deliveries.
const behindTime = 20 * time.Millisecond

var (
	errDeliveries = errors.New("the broker has ended the consumer: the queue was deleted, or its node has gone")
	errStopped    = errors.New("the channel was stopped before this was settled")
)

// session is one connection's life of an In.
//
//	broker ─► take ─┬─► pipe ──────────► stored ─┬─► window ─► acks ─► broker
//	                ├─► call ─► worker ─► reply ─┤
//	                └─► refused ─────────────────┘
//
// Nothing in it outlives it: what is under way when it ends is given back, and
// counts as such.
type session struct {
	in      *In
	d       *workers.Dispatcher
	pipe    *workers.Pipe
	link    *link
	ch      *amqp091.Channel
	window  *window
	once    sync.Once
	replies *publisher   // made for the first request
	alone   sync.RWMutex // write-locked for an answer that nobody else's may accompany

	// hard ends what is under way; it outlives the Run's context for a while.
	hard  context.Context //nolint:containedctx // the session's own life, of which its callbacks must know
	fail  context.CancelCauseFunc
	mu    sync.Mutex
	over  bool
	tasks sync.WaitGroup
	acked chan struct{} // closed when acknowledge has ended; nil without a consumer
}

// begin does something beside, unless the session is at its end.
func (s *session) begin(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.tasks.Go(f)
	}
}

// session consumes until ctx is done or something breaks, and gives what that is.
func (c *In) session(ctx context.Context, d *workers.Dispatcher, failed int, up func()) error {
	if err := c.well(ctx, d); err != nil {
		return err
	}
	l, err := c.broker.dial(ctx, "in "+c.o.Queue, failed)
	if err != nil {
		return err
	}
	defer l.close()
	pipe, err := d.NewPipe()
	if err != nil {
		return err
	}
	s := &session{in: c, d: d, pipe: pipe, link: l, window: newWindow(c.o.Prefetch)}
	s.hard, s.fail = context.WithCancelCause(context.WithoutCancel(ctx))
	defer s.end()
	deliveries, lost, err := s.open()
	if err != nil {
		return err
	}
	up()
	c.meter.Up()
	c.log.Info("consuming", "url", l.url)
	err = s.consume(ctx, deliveries, lost)
	if ctx.Err() != nil {
		s.drain()
	}
	return err
}

// open makes the channel and its consumer.
func (s *session) open() (<-chan amqp091.Delivery, <-chan *amqp091.Error, error) {
	var err error
	if s.ch, err = s.link.Channel(); err != nil {
		return nil, nil, fmt.Errorf("open channel: %w", err)
	}
	if err := s.in.o.queue(s.ch); err != nil {
		return nil, nil, err
	}
	if err := s.ch.Qos(s.in.o.Prefetch, 0, false); err != nil {
		return nil, nil, fmt.Errorf("set prefetch: %w", err)
	}
	lost := s.ch.NotifyClose(make(chan *amqp091.Error, 1))
	deliveries, err := s.ch.Consume(s.in.o.Queue, consumerTag, false, false, false, false, nil)
	if err != nil {
		return nil, nil, explain(err, "consume from queue "+s.in.o.Queue)
	}
	s.acked = make(chan struct{})
	go func() {
		defer close(s.acked)
		s.acknowledge(s.hard)
	}()
	return deliveries, lost, nil
}

const consumerTag = "bellhop"

// consume takes deliveries until ctx is done or the session is broken.
func (s *session) consume(ctx context.Context, deliveries <-chan amqp091.Delivery, lost <-chan *amqp091.Error) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.hard.Done():
			return context.Cause(s.hard)
		case d, ok := <-deliveries:
			if !ok {
				return s.lost(lost)
			}
			if err := s.take(&d); err != nil {
				return err
			}
		}
	}
}

// lost says why there are no more deliveries.
func (s *session) lost(lost <-chan *amqp091.Error) error {
	if !s.ch.IsClosed() {
		return errDeliveries
	}
	select {
	case e := <-s.link.lost:
		if e != nil {
			return e
		}
	default:
	}
	return cause(<-lost, "the connection has ended")
}

// take begins with one delivery.
func (s *session) take(d *amqp091.Delivery) error {
	if !s.window.add(d.DeliveryTag) {
		return fmt.Errorf("the broker sends delivery %d out of order", d.DeliveryTag)
	}
	s.in.meter.Received()
	r, err := s.in.ring(d)
	if err == nil && r.ID == "" {
		// The same for as long as this process has it: see the package's story.
		r.ID = rand.Text()
	}
	switch {
	case request(d):
		s.begin(func() { s.call(d, r, err) })
		return nil
	case err != nil:
		s.refuse(d, r.Service, err)
		return nil
	case s.in.o.Strict:
		if err := s.in.directory.Check(s.hard, s.d, r.Service); err != nil {
			s.settle(d, r, err)
			return nil
		}
	}
	s.pipe.Ring(s.hard, r, func(_ string, err error) { s.settle(d, r, err) })
	return nil
}

// settle does what has to be done when a ring is stored, or is not.
func (s *session) settle(d *amqp091.Delivery, r workers.Ring, err error) {
	switch {
	case err == nil:
		if s.window.settle(d.DeliveryTag, stateAck) {
			s.in.meter.Rung()
		}
	case channels.Permanent(err):
		s.refuse(d, r.Service, err)
	case s.hard.Err() == nil:
		s.begin(func() { s.again(d, r, err) })
	}
}

// refuse rejects a delivery for good: the queue's dead-letter exchange gets it,
// if there is one.
func (s *session) refuse(d *amqp091.Delivery, service string, err error) {
	if s.window.settle(d.DeliveryTag, stateReject) {
		s.in.meter.Refused(err)
		s.in.log.Warn("message refused", "service", service, "message_id", d.MessageId, "error", err)
	}
}

// again tries what has failed in passing, under the same id, after waits that
// grow; in the end everything is given back to the queue.
func (s *session) again(d *amqp091.Delivery, r workers.Ring, err error) {
	backoff := channels.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}
	for deadline := time.Now().Add(s.in.o.Hold); time.Now().Before(deadline); {
		if !backoff.Wait(s.hard) {
			return
		}
		if s.in.o.Strict {
			err = s.in.directory.Check(s.hard, s.d, r.Service)
		}
		if !s.in.o.Strict || err == nil {
			try, cancel := context.WithTimeout(s.hard, wellTime)
			_, err = s.d.Ring(try, r)
			cancel()
		}
		if err == nil || channels.Permanent(err) {
			s.settle(d, r, err)
			return
		}
	}
	s.fail(fmt.Errorf("what cannot be rung is given back: %w", err))
}

// acknowledge tells the broker what is settled until ctx is done.
func (s *session) acknowledge(ctx context.Context) {
	tick := time.NewTicker(behindTime)
	defer tick.Stop()
	for {
		behind := false
		select {
		case <-s.window.wake:
		case <-tick.C:
			behind = true
		case <-ctx.Done():
			return
		}
		if err := s.tell(s.window.collect(behind)); err != nil {
			s.fail(fmt.Errorf("acknowledge: %w", err))
			return
		}
	}
}

func (s *session) tell(v verdicts) error {
	for _, tag := range v.rejects {
		if err := s.ch.Reject(tag, false); err != nil {
			return err
		}
	}
	if v.multiple > 0 {
		if err := s.ch.Ack(v.multiple, true); err != nil {
			return err
		}
	}
	for _, tag := range v.singles {
		if err := s.ch.Ack(tag, false); err != nil {
			return err
		}
	}
	return nil
}

// drain takes nothing new, and waits for what is under way.
func (s *session) drain() {
	hung := time.AfterFunc(closeTime, func() { _ = s.link.net.Close() })
	_ = s.ch.Cancel(consumerTag, false) // if it fails, what comes goes back with the channel
	hung.Stop()
	t := time.NewTimer(s.in.o.DrainTimeout)
	defer t.Stop()
	select {
	case <-s.window.close():
	case <-s.hard.Done(): // broken meanwhile
	case <-t.C:
		s.in.log.Warn("what is under way is given back to the queue")
	}
}

// end gives back what is under way, and waits for all that the session has begun.
func (s *session) end() {
	s.fail(errStopped)
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	for range s.window.abandon() {
		s.in.meter.Requeued(nil)
	}
	// What hangs in a write to a broker that reads nothing ends with the socket.
	hung := time.AfterFunc(closeTime, func() { _ = s.link.net.Close() })
	if s.acked != nil {
		<-s.acked
	}
	if s.ch != nil && !s.ch.IsClosed() {
		// The last acknowledgements; the rest goes back with the channel.
		_ = s.tell(s.window.collect(true)) // then they come again
		_ = s.ch.Close()                   // waits until the broker has read them
	}
	hung.Stop()
	s.pipe.Close()
	s.tasks.Wait()
}
