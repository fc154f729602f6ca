package workers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// CallError is the body of the answer to a direct call that failed; the same
// stands in the headers Nats-Service-Error-Code and Nats-Service-Error.
type CallError struct {
	// Code is like an HTTP status: 410 expired, 413 the output is too large,
	// 422 permanent, 500 any other error, 503 the worker stops, 504 timeout.
	Code int `json:"code"`
	// Message is the service's error, bounded.
	Message string `json:"message"`
}

// Error gives the message.
func (e *CallError) Error() string { return e.Message }

// answering is the micro service of a worker.
type answering struct{ service micro.Service }

// stop takes no more calls.
func (s answering) stop() {
	if s.service != nil {
		_ = s.service.Stop() // fails when the connection is closed, and then it is stopped
	}
}

// answer serves direct calls of every service: the same handlers, answered at
// once, under the same limit of concurrency. The fleet shares the calls.
func (w *Worker) answer(ctx, hard context.Context) (answering, error) {
	s, err := micro.AddService(w.nc, micro.Config{
		Name:        w.o.Namespace.String() + "-worker",
		Version:     Version,
		Description: "Bellhop worker: direct calls of its services",
		Metadata:    map[string]string{"worker": w.o.Name},
	})
	if err != nil {
		return answering{}, err
	}
	for _, name := range w.names() {
		err := s.AddEndpoint(strings.ReplaceAll(name, ".", "_"),
			micro.HandlerFunc(func(req micro.Request) { w.call(ctx, hard, name, req) }),
			micro.WithEndpointSubject(w.o.Namespace.CallSubject(name)),
			micro.WithEndpointQueueGroup("workers"),
			micro.WithEndpointMetadata(map[string]string{"service": name}))
		if err != nil {
			answering{s}.stop()
			return answering{}, fmt.Errorf("endpoint %s: %w", name, err)
		}
	}
	return answering{s}, nil
}

// call takes one request. It blocks while no slot is free, so that requests
// wait in their order; the work has its own goroutine. The answer is published
// and not given to the micro request, which is not safe for use after this
// returns.
func (w *Worker) call(ctx, hard context.Context, service string, req micro.Request) {
	reply := req.Reply()
	if ctx.Err() != nil || !w.open.enter() {
		w.respond(reply, nil, &CallError{503, "the worker is stopping"})
		return
	}
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		w.open.leave()
		w.respond(reply, nil, &CallError{503, "the worker is stopping"})
		return
	}
	h := maps.Clone(nats.Header(req.Headers()))
	t, err := parseTrigger(service, h, req.Data(), "")
	if err != nil {
		w.log.Warn("headers ignored", "service", service, "error", err)
	}
	a := &attempt{w: w, held: &w.calls, place: "call:" + rand.Text(), key: key{sequence: w.called.Add(1)}}
	if t.Run == "" {
		t.Run = a.place
	}
	if t.Channel == "" {
		t.Channel = ChannelCall
	}
	a.t, a.rules = t, w.o.rules(&t.Policy)
	a.answer = func(out []byte, outcome string, err error) {
		if err != nil {
			w.respond(reply, nil, callError(outcome, err))
		} else {
			w.respond(reply, out, nil)
		}
	}
	w.calls.add(a)
	go a.run(hard)
}

func callError(outcome string, err error) *CallError {
	code := 500
	switch {
	case outcome == OutcomeTimeout:
		code = 504
	case outcome == OutcomeExpired:
		code = 410
	case IsPermanent(err):
		code = 422
	}
	return &CallError{code, string(cut([]byte(err.Error()), maxError))}
}

// respond answers a call, if anybody waits for an answer.
func (w *Worker) respond(reply string, out []byte, failure *CallError) {
	if reply == "" {
		return
	}
	if limit := int(w.nc.MaxPayload()) - headroom; failure == nil && len(out) > limit {
		failure = &CallError{413, fmt.Sprintf("the output has %d bytes, at most %d can be sent", len(out), limit)}
	}
	m := nats.NewMsg(reply)
	m.Data = out
	if failure != nil {
		m.Header.Set(micro.ErrorCodeHeader, fmt.Sprint(failure.Code))
		m.Header.Set(micro.ErrorHeader, oneLine(failure.Message, maxReason))
		m.Data, _ = json.Marshal(failure) // an int and a string
	}
	if err := w.nc.PublishMsg(m); err != nil {
		w.log.Warn("call not answered", "error", err)
	}
}
