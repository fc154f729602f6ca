// Package doctor is bellhop doctor: it looks at everything that a Bellhop
// stands on, from the connection to what waits, and says of each what to do.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/screen"
	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/nats-io/nats.go"
)

// Command is bellhop doctor.
type Command struct {
	Output string `short:"o" enum:"text,json" default:"text" help:"text, or json (one object per line)."`
}

// The levels of a finding.
const (
	ok   = "ok"
	warn = "warn" // it works, and might not tomorrow
	fail = "fail" // something does not work
)

// finding is a line of the report.
type finding struct {
	Level string `json:"level"`
	What  string `json:"what"`
	Found string `json:"found"`
	// Do says what to do about it.
	Do string `json:"do,omitempty"`
}

// doctor looks, and reports as it goes.
type doctor struct {
	s      *session.Session
	link   *session.Link
	report func(finding)

	mu     sync.Mutex
	denied []string                // permissions that the server has refused
	give   context.CancelCauseFunc // ends the question that is being asked
}

// asking bounds each question.
const asking = 2 * time.Second

var errDenied = errors.New("it may not be asked")

// question gives a context for asking one thing. It ends when that is refused:
// a denied question is never answered.
func (d *doctor) question(ctx context.Context, within time.Duration) (context.Context, context.CancelFunc) {
	ctx, give := context.WithCancelCause(ctx)
	d.mu.Lock()
	d.give = give
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, within)
	return ctx, func() { cancel(); give(nil) }
}

// Run looks at everything; anything that fails makes it exit with 1.
func (c *Command) Run(ctx context.Context, s *session.Session) error {
	failed := 0
	d := &doctor{s: s, report: func(f finding) {
		if f.Level == fail {
			failed++
		}
		c.print(s, f)
	}}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		f, known := errors.AsType[*session.Failure](err)
		if !known {
			return err
		}
		d.report(finding{fail, "connection", f.Error(), f.Hint})
	} else {
		defer link.Close()
		d.link = link
		link.NC.SetErrorHandler(d.note)
		for _, look := range []func(context.Context){d.server, d.jetstream, d.streams, d.schedulers, d.jobs, d.services, d.permissions} {
			look(ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	if failed > 0 {
		return &session.Failure{Code: session.ExitFailed, Err: fmt.Errorf("%d of what was looked at does not work", failed)}
	}
	return nil
}

func (c *Command) print(s *session.Session, f finding) {
	if c.Output == "json" {
		b, err := json.Marshal(f)
		if err == nil { // texts always marshal
			fmt.Fprintf(s.Out, "%s\n", b)
		}
		return
	}
	fmt.Fprintf(s.Out, "%-4s  %-13s %s\n", f.Level, f.What, screen.OneLine(f.Found))
	if f.Do != "" {
		fmt.Fprintf(s.Out, "      %-13s → %s\n", "", screen.OneLine(f.Do))
	}
}

// note remembers what the server does not allow. It is called by the client
// library.
func (d *doctor) note(_ *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	text := err.Error()
	if i := strings.Index(text, "Permissions Violation for "); i >= 0 {
		text = text[i+len("Permissions Violation for "):]
	}
	d.denied = append(d.denied, text)
	if d.give != nil {
		d.give(errDenied)
	}
}

// permissions tells which of the questions were not allowed.
func (d *doctor) permissions(context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.denied) == 0 {
		d.report(finding{ok, "permissions", "nothing that was asked here is forbidden", ""})
		return
	}
	const most = 5
	shown := d.denied[:min(most, len(d.denied))]
	d.report(finding{warn, "permissions", fmt.Sprintf("%d times forbidden: %s", len(d.denied), strings.Join(shown, "; ")),
		"what is above this line and depends on it is not known; allow it, or ask as somebody who may"})
}

// unknown reports a question that was not answered.
func (d *doctor) unknown(ctx context.Context, what string, err error) {
	if errors.Is(context.Cause(ctx), errDenied) {
		d.report(finding{fail, what, "not known: " + errDenied.Error(), "allow it, or ask as somebody who may: see permissions, below"})
		return
	}
	d.report(finding{fail, what, "not known: " + err.Error(), "ask again in a moment: a cluster may be electing a leader"})
}
