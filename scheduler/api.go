package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

const (
	// apiRequests is how many requests are worked on at once; others wait.
	apiRequests = 1024
	// apiWait bounds a request: reading, writing, and the log's confirmation.
	apiWait = 10 * time.Second
)

// api serves the management verbs while this scheduler leads.
type api struct {
	s      *Scheduler
	svc    micro.Service
	cancel context.CancelFunc
	crew   *crew

	mu      sync.Mutex
	closing bool // whoever asks is sent away
	wg      sync.WaitGroup
	drained chan struct{} // not nil once drain was called; closed when nothing is under way
}

// verb carries out one request and gives the reply's JSON.
type verb func(ctx context.Context, data []byte) ([]byte, error)

// start begins to answer; it does nothing when the service runs already.
func (a *api) start(ctx context.Context) error {
	a.s.promises.lead(true)
	if a.svc != nil {
		return nil
	}
	svc, err := micro.AddService(a.s.nc, micro.Config{
		Name:        a.s.ns.String(),
		Version:     workers.Version,
		Description: "Bellhop's jobs: create, put, update, get, list, delete, apply, activate, deactivate, run, next, history, restore; its runs; and its dead letters",
		Metadata:    map[string]string{"scheduler": a.s.name},
	})
	if err != nil {
		return fmt.Errorf("serve the management API: %w", err)
	}
	a.svc, a.crew = svc, newCrew(apiRequests)
	a.mu.Lock()
	a.closing = false
	a.mu.Unlock()
	ctx, a.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, e := range a.endpoints() {
		err := svc.AddEndpoint(e.name, a.handler(ctx, e.do), micro.WithEndpointSubject(e.subject))
		if err != nil {
			return fmt.Errorf("serve the management API: %s: %w", e.name, err)
		}
	}
	_ = a.s.nc.FlushTimeout(time.Second) // should it fail, the connection tells the server later
	return nil
}

// endpoint is one verb, and where it is asked.
type endpoint struct {
	name    string
	subject string
	do      verb
}

func (a *api) endpoints() []endpoint {
	ns, v, l := a.s.ns, verbs{s: a.s, ring: a.s.opts.Dispatcher, batches: make(chan struct{}, applyAbreast)}, letterVerbs{a.s}
	job := func(name string, do verb) endpoint { return endpoint{name, ns.JobsSubject(name), do} }
	run := func(name string, do verb) endpoint { return endpoint{"runs-" + name, ns.RunsSubject(name), do} }
	letter := func(name string, do verb) endpoint { return endpoint{"letters-" + name, ns.LettersSubject(name), do} }
	return []endpoint{
		job("create", v.create), job("put", v.put), job("update", v.update), job("get", v.get), job("list", v.list), job("delete", v.remove),
		job("apply", v.apply),
		job("activate", v.activate), job("deactivate", v.deactivate), job("run", v.run), job("next", v.next),
		job("history", v.history), job("restore", v.restore),
		letter("list", l.list), letter("get", l.get), letter("count", l.count), letter("redrive", l.redrive), letter("drop", l.drop),
		run("cancel", runVerbs{a.s}.cancel),
	}
}

// stop ends the service: callers that wait for the log are told that it was
// lost.
func (a *api) stop() {
	a.s.promises.lead(false)
	if a.svc == nil {
		return
	}
	<-a.drain()
	a.cancel()
	a.crew.wait()
	a.svc, a.drained = nil, nil
}

// drain begins no more requests; what it gives is closed when those under way
// are answered.
func (a *api) drain() <-chan struct{} {
	if a.drained == nil {
		a.drained = make(chan struct{})
		go func() {
			defer close(a.drained)
			a.mu.Lock()
			a.closing = true
			a.mu.Unlock()
			_ = a.svc.Stop() // fails only with the connection, as the flush does
			_ = a.s.nc.FlushTimeout(time.Second)
			a.wg.Wait()
		}()
	}
	return a.drained
}

// enter tells whether a request may begin; wg is told of its end.
func (a *api) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closing {
		return false
	}
	a.wg.Add(1)
	return true
}

// handler carries out each request on a goroutine of its own: one that waits
// for the log must not hold up the others.
func (a *api) handler(ctx context.Context, do verb) micro.HandlerFunc {
	return func(r micro.Request) {
		if !a.enter() {
			a.sendAway(r)
			return
		}
		a.crew.do(ctx, func() {
			defer a.wg.Done()
			ctx, cancel := context.WithTimeout(ctx, apiWait)
			defer cancel()
			reply, err := a.carryOut(ctx, r, do)
			if limit := int(a.s.nc.MaxPayload()); len(reply) > limit { // only of what was put into the bucket by hand
				err = &Error{Code: 413, Message: fmt.Sprintf("the reply has %d bytes: at most %d", len(reply), limit), Hint: "read it with nats kv get"}
			}
			if err != nil {
				a.refuse(r, err)
				return
			}
			a.answer(r, &nats.Msg{Data: reply})
		})
	}
}

// carryOut does what a request asks, on its terms.
func (a *api) carryOut(ctx context.Context, r micro.Request, do verb) ([]byte, error) {
	t, err := readTerms(nats.Header(r.Headers()))
	if err != nil {
		return nil, err
	}
	return do(context.WithValue(ctx, termsKey{}, t), r.Data())
}

// sendAway answers as the server does where nobody listens: nothing was done,
// and the next leader is there in a moment.
func (a *api) sendAway(r micro.Request) {
	a.answer(r, &nats.Msg{Header: nats.Header{"Status": {"503"}}})
}

// refuse answers with an error.
func (a *api) refuse(r micro.Request, err error) {
	e := apiError(err)
	if e.Code >= 500 {
		a.s.logger.Warn("a request has failed", "subject", r.Subject(), "error", err)
	}
	body, err := json.Marshal(e)
	if err != nil { // texts and numbers always marshal
		panic(err)
	}
	a.answer(r, &nats.Msg{Data: body, Header: nats.Header{
		micro.ErrorHeader:     {oneLine(e.Error())},
		micro.ErrorCodeHeader: {strconv.Itoa(e.Code)},
	}})
}

// answer replies, if somebody waits: `nats pub` is a request, too. The request
// has methods for that, but not for use on another goroutine.
func (a *api) answer(r micro.Request, m *nats.Msg) {
	if m.Subject = r.Reply(); m.Subject == "" {
		return
	}
	if err := a.s.nc.PublishMsg(m); err != nil {
		a.s.logger.Warn("cannot answer a request", "subject", r.Subject(), "error", err)
	}
}

// oneLine makes of a text one that may stand in a header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// maxText bounds each text of a refusal, in bytes: it may hold what was sent.
const maxText = 600

// brief cuts what is too long for a reply.
func (e *Error) brief() *Error {
	c := *e
	for _, s := range []*string{&c.Field, &c.Message, &c.Hint} {
		if len(*s) > maxText {
			*s = strings.ToValidUTF8((*s)[:maxText], "") + "…"
		}
	}
	return &c
}

// apiError maps any error to what the caller is told.
func apiError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.brief()
	}
	switch {
	case errors.Is(err, workers.ErrTooLarge):
		return &Error{Code: 413, Field: "payload", Message: "too large for a trigger", Hint: "make the payload smaller, or raise the server's max_payload"}
	case errors.Is(err, workers.ErrRefused):
		return (&Error{Code: 400, Message: err.Error()}).brief()
	case errors.Is(err, kv.ErrConflict):
		return &Error{Code: 409, Message: "somebody else is changing this job", Hint: "read it and try again"}
	case errors.Is(err, errLost), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		elsewhere(err), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrDisconnected), errors.Is(err, nats.ErrReconnectBufExceeded):
		return &Error{Code: 503, Message: "not confirmed: " + err.Error(), Hint: "read the job and try again"}
	}
	return (&Error{Code: 500, Message: err.Error(), Hint: "the scheduler's log may say more"}).brief()
}
