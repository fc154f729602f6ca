package workers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// CallError is the body of the answer to a direct call that failed; the same
// stands in the headers Nats-Service-Error-Code and Nats-Service-Error.
type CallError struct {
	// Code is like an HTTP status: 409 skipped, 410 expired or cancelled, 413 the
	// output is too large, 422 permanent, 500 any other error, 503 the worker
	// stops, 504 timeout.
	Code int `json:"code"`
	// Message is the service's error, bounded.
	Message string `json:"message"`
}

// Error gives the message.
func (e *CallError) Error() string { return e.Message }

// answering are the subscriptions with which a worker answers: to calls of its
// services, and to questions about them.
type answering []*nats.Subscription

// stop takes no more of either.
func (s answering) stop() {
	for _, sub := range s {
		_ = sub.Drain() // fails when the connection is closed, and then it is stopped
	}
}

// answer serves direct calls of every service: the same handlers, answered at
// once, under the same limit of concurrency. The fleet shares the calls.
func (w *Worker) answer(ctx, hard context.Context) (answering, error) {
	var all answering
	for _, name := range w.names() {
		s, err := w.nc.QueueSubscribe(w.o.Namespace.CallSubject(name), callQueue, func(m *nats.Msg) { w.call(ctx, hard, name, m) })
		if err != nil {
			return all, fmt.Errorf("service %s: %w", name, err)
		}
		all = append(all, s)
	}
	active, err := w.nc.Subscribe(w.o.Namespace.ActiveSubject(), w.tellActive)
	if err != nil {
		return all, err
	}
	all = append(all, active)
	subs, err := newDirectory(w).subscribe()
	return append(all, subs...), err
}

// call takes one request. It blocks while no slot is free, so that requests
// wait in their order; the work has its own goroutine, and the calls of another
// service their own subscription.
func (w *Worker) call(ctx, hard context.Context, service string, m *nats.Msg) {
	if ctx.Err() != nil || !w.open.enter() {
		w.turnAway(service, m.Reply)
		return
	}
	s := w.services[service]
	a := &attempt{w: w, of: s, share: s.share, held: &w.calls, call: "call:" + rand.Text(), key: key{sequence: w.called.Add(1)}}
	t, err := parseTrigger(service, m.Header, m.Data, a.call)
	if err != nil {
		w.log.Warn("headers ignored", "service", service, "error", err)
	}
	if t.Channel == "" {
		t.Channel = ChannelCall
	}
	a.t, a.rules = t, s.rules(&t)
	a.reply = m.Reply
	if !a.simple() {
		a.refusal = a.admit(ctx)
	}
	if ctx.Err() != nil || !s.pace.wait(ctx) || !w.pool.await(ctx, a) {
		a.depart(false, 0)
		w.open.leave()
		w.turnAway(service, m.Reply)
		return
	}
	w.calls.add(a)
	w.hands.start(hard, a)
}

// turnAway answers a call that came too late.
func (w *Worker) turnAway(service, reply string) {
	failure := w.respond(reply, nil, "", &CallError{503, "the worker is stopping"})
	w.services[service].figures.calls.add(0, failure)
}

// callError makes an answer of how an attempt has ended without success.
func callError(outcome string, stopped bool, err error) *CallError {
	code := 500
	switch {
	case outcome == OutcomeTimeout:
		code = 504
	case outcome == OutcomeExpired || outcome == OutcomeCancelled:
		code = 410
	case outcome == OutcomeSkipped:
		code = 409
	case stopped:
		code = 503
	case IsPermanent(err):
		code = 422
	}
	return &CallError{code, string(cut([]byte(err.Error()), maxError))}
}

// respond answers a call, if anybody waits for an answer, and gives the failure
// that it told, if any.
func (w *Worker) respond(reply string, out []byte, contentType string, failure *CallError) *CallError {
	if limit := int(w.nc.MaxPayload()) - headroom; failure == nil && len(out) > limit {
		failure = &CallError{413, fmt.Sprintf("the output has %d bytes, at most %d can be sent", len(out), limit)}
	}
	if reply == "" {
		return failure
	}
	m := nats.NewMsg(reply)
	m.Data = out
	if contentType != "" {
		m.Header.Set(headerContentType, contentType)
	}
	if failure != nil {
		m.Header.Set(micro.ErrorCodeHeader, fmt.Sprint(failure.Code))
		m.Header.Set(micro.ErrorHeader, oneLine(failure.Message, maxReason))
		m.Data, _ = json.Marshal(failure) // an int and a string
	}
	if err := w.nc.PublishMsg(m); err != nil {
		w.log.Warn("call not answered", "error", err)
	}
	return failure
}
