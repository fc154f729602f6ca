package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// headerContentType says what an answer or a payload is, as in HTTP.
const headerContentType = "Content-Type"

// ErrNoWorker means that no worker runs the service that was called.
var ErrNoWorker = errors.New("no worker runs the service")

// Answer is a service's output, as a caller gets it.
type Answer struct {
	// Output is whole, as the service gave it.
	Output []byte
	// ContentType is what the service said that it is (SetContentType), or empty.
	ContentType string
}

// Call runs a service and waits for its output: nothing is stored, and when
// caller or worker dies meanwhile, nobody tries again. Of the ring, Job and
// Source play no part, and the run's id is made of Channel and ID as Ring does.
// A service that failed is a *CallError, one that nobody runs ErrNoWorker; no
// answer before ctx is done is its error, and the service may still be running.
func (d *Dispatcher) Call(ctx context.Context, r Ring) (*Answer, error) {
	m, _, err := d.message(ctx, &r)
	if err != nil {
		return nil, err
	}
	delete(m.Header, nats.MsgIdHdr)
	m.Subject = d.ns.CallSubject(r.Service)
	reply, err := d.js.Conn().RequestMsgWithContext(ctx, m)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fmt.Errorf("call %s: %w", r.Service, ErrNoWorker)
	}
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", r.Service, err)
	}
	return readAnswer(reply)
}

// RingWait is Ring, and waits for the run's end for a while. The answer is nil
// when the run had not ended by then: it goes on, as every ring does. A run that
// ended without output is a *CallError beside the run's id; any other error
// means that nothing was rung. A ring that was rung before (its ID) and has
// ended already is not answered again.
func (d *Dispatcher) RingWait(ctx context.Context, r Ring, wait time.Duration) (run string, answer *Answer, err error) {
	m, run, err := d.message(ctx, &r)
	if err != nil {
		return "", nil, err
	}
	nc := d.js.Conn()
	token := strings.ReplaceAll(nc.NewInbox(), ".", "_")
	m.Header.Set(HeaderReply, token)
	sub, err := nc.SubscribeSync(d.ns.ReplySubject(token))
	if err != nil {
		return "", nil, fmt.Errorf("ring %s: %w", r.Service, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails when the connection is closed, and then it is gone
	if err := d.publish(ctx, &r, m); err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	reply, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return run, nil, nil //nolint:nilerr // it is rung, and that is what counts
	}
	answer, err = readAnswer(reply)
	return run, answer, err
}

// readAnswer reads what respond wrote.
func readAnswer(m *nats.Msg) (*Answer, error) {
	if m.Header.Get(micro.ErrorCodeHeader) == "" {
		return &Answer{Output: m.Data, ContentType: m.Header.Get(headerContentType)}, nil
	}
	failure := new(CallError)
	if json.Unmarshal(m.Data, failure) != nil || failure.Code == 0 {
		return nil, &CallError{500, m.Header.Get(micro.ErrorHeader)}
	}
	return nil, failure
}

type attemptKey struct{}

// SetContentType says what the output of the run whose context it is will be,
// as in HTTP ("text/csv"). Whoever waits for the output is told. It does nothing
// outside of a run, and ignores what cannot be a header.
func SetContentType(ctx context.Context, contentType string) {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok && cleanValue(contentType) && len(contentType) <= maxIDLen {
		a.contentType.Store(&contentType)
	}
}

// answers tells whoever waits for the end of a run, and counts direct calls.
func (a *attempt) answers(out []byte, r *Run, stopped bool, err error) {
	if a.msg == nil {
		failure := a.tell(out, r, stopped, err)
		a.of.figures.calls.add(r.Duration(), failure)
		return
	}
	if a.reply != "" {
		_ = a.tell(out, r, stopped, err) // who rang has it
	}
}

// tell answers with the output or the failure, which it gives.
func (a *attempt) tell(out []byte, r *Run, stopped bool, err error) *CallError {
	if r.Outcome != OutcomeOK {
		if err == nil {
			err = errors.New(r.Error)
		}
		return a.w.respond(a.reply, nil, "", callError(r.Outcome, stopped, err))
	}
	contentType := ""
	if p := a.contentType.Load(); p != nil {
		contentType = *p
	}
	return a.w.respond(a.reply, out, contentType, nil)
}
