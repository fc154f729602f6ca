// Package services is bellhop service: who is there to be rung, and ways to do
// it by hand.
package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/runs"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Commands are what can be typed after "bellhop service".
type Commands struct {
	List    List    `cmd:"" aliases:"ls" help:"List services: who is rung by jobs, who has workers, and what waits."`
	Trigger Trigger `cmd:"" help:"Ring a service, and print the run's id."`
	Call    Call    `cmd:"" help:"Call a service, and print its output at once."`
}

// List is bellhop service list.
type List struct {
	output.Flag
}

// Run lists.
func (c *List) Run(ctx context.Context, s *session.Session) error {
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	all, err := Survey(ctx, link)
	if err != nil {
		return err
	}
	p := output.New(s.Out, c.Output, kind)
	for _, service := range all {
		if err := p.Print(service); err != nil {
			return err
		}
	}
	return p.Close()
}

// Trigger is bellhop service trigger.
type Trigger struct {
	Service  string        `arg:"" complete:"service" help:"The service's name."`
	Payload  string        `arg:"" optional:"" placeholder:"TEXT|@FILE|-" help:"What it is given: a text, @FILE, or - for standard input."`
	ID       string        `name:"id" placeholder:"TEXT" help:"Name the ring: a second one of that name within ten minutes is the same."`
	Timeout  time.Duration `placeholder:"30s" help:"Bounds an attempt."`
	Attempts int           `placeholder:"N" help:"How often the run is tried in all."`
	Follow   bool          `help:"Wait for the run's end, print its output, and exit as it did."`
}

// Run rings.
func (c *Trigger) Run(ctx context.Context, s *session.Session) error {
	payload, err := s.Read(c.Payload)
	if err != nil {
		return err
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	d := workers.NewDispatcher(link.JS, link.Namespace)
	r := workers.Ring{Channel: workers.ChannelCLI, Service: c.Service, ID: c.ID, Payload: payload, Policy: policy(c.Timeout, c.Attempts)}
	return runs.Rung(ctx, s, link, c.Follow, func() (string, error) { return d.Ring(ctx, r) })
}

func policy(timeout time.Duration, attempts int) workers.Policy {
	var p workers.Policy
	if timeout > 0 {
		p.Timeout = timeout.String()
	}
	if attempts > 0 {
		p.Retry = &workers.Retry{Attempts: attempts}
	}
	return p
}

// Call is bellhop service call.
type Call struct {
	Service string        `arg:"" complete:"service" help:"The service's name."`
	Payload string        `arg:"" optional:"" placeholder:"TEXT|@FILE|-" help:"What it is given: a text, @FILE, or - for standard input."`
	Timeout time.Duration `default:"1m" placeholder:"30s" help:"How long to wait for the output (${default})."`
}

// answerMargin is how much longer than the service may take its answer is
// waited for.
const answerMargin = 2 * time.Second

// Run calls.
func (c *Call) Run(ctx context.Context, s *session.Session) error {
	payload, err := s.Read(c.Payload)
	if err != nil {
		return err
	}
	if err := workers.CheckService(c.Service); err != nil {
		return err
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	request := nats.NewMsg(link.Namespace.CallSubject(c.Service))
	request.Data = payload
	request.Header.Set(workers.HeaderPolicy, policy(c.Timeout, 0).Header())
	ctx, cancel := context.WithTimeout(ctx, c.Timeout+answerMargin)
	defer cancel()
	reply, err := link.NC.RequestMsgWithContext(ctx, request)
	if err != nil {
		return c.unanswered(err)
	}
	if reply.Header.Get(micro.ErrorCodeHeader) != "" {
		var e workers.CallError
		if json.Unmarshal(reply.Data, &e) != nil || e.Message == "" {
			e.Message = reply.Header.Get(micro.ErrorHeader)
		}
		return runs.Failed(workers.OutcomeFailed, e.Message)
	}
	_, err = s.Out.Write(reply.Data)
	return err
}

func (c *Call) unanswered(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return &session.Failure{
			Code: session.ExitUnavailable, Err: fmt.Errorf("no worker serves %s", c.Service),
			Hint: "start one, or see with bellhop service list who is served; bellhop service trigger rings for later",
		}
	case errors.Is(err, nats.ErrMaxPayload):
		return session.Usage("make it smaller, or raise the server's max_payload", "the payload is too large")
	case errors.Is(err, context.DeadlineExceeded):
		return &session.Failure{
			Code: session.ExitUnavailable, Err: fmt.Errorf("%s has not answered within %s", c.Service, c.Timeout),
			Hint: "--timeout waits longer; bellhop service trigger does not wait at all",
		}
	}
	return err
}
