package amqp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/workers"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// The headers of an answer that tells of a failure; its body is a
// workers.CallError in JSON.
const (
	headerErrorCode = "Bellhop-Error-Code"
	headerError     = "Bellhop-Error"
)

// call runs a service at once, answers, and then acknowledges. refusal is why the
// service cannot be called at all.
func (s *session) call(d *amqp091.Delivery, r workers.Ring, refusal error) {
	ctx, cancel := context.WithTimeout(s.hard, s.in.patience(d))
	defer cancel()
	err := refusal
	if err == nil && s.in.o.Strict {
		err = s.in.directory.Check(ctx, s.d, r.Service)
	}
	var answer *workers.Answer
	if err == nil {
		answer, err = s.d.Call(ctx, r)
	}
	if s.hard.Err() != nil {
		return // it is given back
	}
	m := reply(d, answer, err)
	if failure := s.answer(d.ReplyTo, m); failure != nil {
		if s.hard.Err() == nil {
			s.refuse(d, r.Service, failure)
		}
		return
	}
	if !s.window.settle(d.DeliveryTag, stateAck) {
		return
	}
	if _, served := errors.AsType[*workers.CallError](err); err == nil || served {
		s.in.meter.Answered()
		return
	}
	s.in.meter.Refused(err)
	s.in.log.Warn("request answered with an error", "service", r.Service, "correlation_id", d.CorrelationId, "error", err)
}

// patience is how long a request is waited for: no longer than whoever asks.
func (c *In) patience(d *amqp091.Delivery) time.Duration {
	if ms, err := strconv.ParseUint(d.Expiration, 10, 31); err == nil && ms > 0 {
		return min(c.o.CallTimeout, time.Duration(ms)*time.Millisecond)
	}
	return c.o.CallTimeout
}

// errCaller means that an answer breaks the connection whenever it is sent.
var errCaller = errors.New("the answer cannot be sent: the broker ends the connection over its reply-to")

// maxAlone is how often an answer is tried by itself, before it is taken to be
// what ends the connection.
const maxAlone = 3

// answer sends a reply. One for a queue that has gone, with whoever asked, is
// dropped by the broker. But over a reply-to of a certain kind (a direct one that
// no broker has made) it ends the whole connection: what has failed is tried again
// by itself, lest it takes the answers to others with it, and then no more.
func (s *session) answer(to string, m amqp091.Publishing) error {
	p := s.replier()
	s.alone.RLock()
	err := p.publish(s.hard, "", to, false, m)
	s.alone.RUnlock()
	var backoff channels.Backoff
	for range maxAlone {
		if err == nil {
			return nil
		}
		s.in.log.Warn("answer not sent yet", "correlation_id", m.CorrelationId, "error", err)
		if !backoff.Wait(s.hard) {
			return s.hard.Err()
		}
		s.alone.Lock()
		err = p.publish(s.hard, "", to, false, m)
		s.alone.Unlock()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errCaller, err)
	}
	return nil
}

// replier gives the connection for answers, which is made for the first of them:
// a broker that is short of memory blocks whoever publishes, and acknowledgements
// must go on.
func (s *session) replier() *publisher {
	s.once.Do(func() {
		m := channels.NewMeter(Kind, "replies") // nobody's to see: the channel's own shows what waits
		s.replies = newPublisher(&s.in.broker, "replies "+s.in.o.Queue, nil, m, s.in.log)
		s.begin(func() { s.replies.run(s.hard) })
	})
	return s.replies
}

// reply makes the answer of a service's output, or of why there is none.
func reply(d *amqp091.Delivery, answer *workers.Answer, err error) amqp091.Publishing {
	m := amqp091.Publishing{CorrelationId: d.CorrelationId, Timestamp: time.Now().UTC(), DeliveryMode: amqp091.Transient}
	if err == nil {
		m.Body = answer.Output
		if len(answer.ContentType) <= maxShort {
			m.ContentType = answer.ContentType
		}
		return m
	}
	failure := failed(err)
	m.ContentType = "application/json"
	m.Headers = amqp091.Table{headerErrorCode: int32(failure.Code), headerError: failure.Message} //nolint:gosec // like an HTTP status
	m.Body, _ = json.Marshal(failure)                                                             // an int and a string
	return m
}

// failed is an error as a caller gets it; codes are as in workers.CallError.
func failed(err error) *workers.CallError {
	if failure, ok := errors.AsType[*workers.CallError](err); ok {
		return &workers.CallError{Code: cmp.Or(failure.Code, 500), Message: failure.Message}
	}
	code := 503
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		code = 504
	case errors.Is(err, workers.ErrTooLarge):
		code = 413
	case errors.Is(err, channels.ErrUnknownService):
		code = 404
	case errors.Is(err, workers.ErrRefused):
		code = 400
	}
	return &workers.CallError{Code: code, Message: err.Error()}
}
