package workers

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// jobTarget begins the name of a job where a service could stand.
const jobTarget = "job:"

// leaderTimeout bounds a request to the leading scheduler: a little more than
// it takes at most itself.
const leaderTimeout = 12 * time.Second

// successor is what is rung after a run, or from a dead letter.
type successor struct {
	target string // a service, or "job:" and the name of a job
	ring   Ring   // but for its service
}

// patience is how long one attempt to ring may take.
func (s *successor) patience() time.Duration {
	if strings.HasPrefix(s.target, jobTarget) {
		return leaderTimeout
	}
	return ioTimeout
}

// send rings, and returns the run's id when that is stored. ErrRefused is for
// good, any other error passing.
func (s *successor) send(ctx context.Context, d *Dispatcher) (run string, err error) {
	if name, ok := strings.CutPrefix(s.target, jobTarget); ok {
		return d.runJob(ctx, name, &s.ring)
	}
	r := s.ring
	r.Service = s.target
	return d.Ring(ctx, r)
}

// letter is the dead letter of what can never be rung: of the service, or, where
// a job was to be rung or the service's name is no name, of the one that the run
// before it was of.
func (s *successor) letter(ns Namespace, parent *Trigger, reason string) *nats.Msg {
	t := Trigger{
		Run: s.ring.run(), Service: s.target, Channel: s.ring.Channel, Payload: s.ring.Payload,
		Parent: s.ring.Parent, Depth: s.ring.Depth, Header: s.ring.Header,
	}
	origin := ns.JobsSubject("run")
	if CheckService(t.Service) != nil {
		t.Service, t.Job = parent.Service, parent.Job
	} else {
		origin = ns.RingSubject(s.ring.Channel, t.Service)
	}
	m := deadLetter(ns, &t, origin, "", reason)
	m.Header.Set(nats.MsgIdHdr, "dead:"+s.ring.messageID())
	if t.Service != s.target {
		m.Header.Set(HeaderTarget, s.header())
	}
	return m
}

// header is the target as HeaderTarget.
func (s *successor) header() string {
	if name, ok := strings.CutPrefix(s.target, jobTarget); ok {
		return jobTarget + Escape(name)
	}
	return Escape(s.target)
}

// parseTarget is the inverse of header.
func parseTarget(s string) (string, error) {
	key, isJob := strings.CutPrefix(s, jobTarget)
	name, err := Unescape(key)
	if isJob {
		name = jobTarget + name
	}
	return name, err
}

// jobRun asks for a run of a job: what the verb "run" of the management API
// takes, which see.
type jobRun struct {
	Name          string      `json:"name"`
	Payload       *string     `json:"payload,omitempty"`
	PayloadBase64 string      `json:"payload_base64,omitempty"`
	ID            string      `json:"id"`
	Source        string      `json:"source,omitempty"`
	Parent        string      `json:"parent"`
	Depth         int         `json:"depth,omitempty"`
	Reason        string      `json:"reason,omitempty"`
	Attempts      int         `json:"attempts,omitempty"`
	Headers       nats.Header `json:"headers,omitempty"`
}

// runJob asks the leading scheduler to ring a job's service: only it knows the
// job's policies.
func (d *Dispatcher) runJob(ctx context.Context, name string, r *Ring) (run string, err error) {
	body, err := r.jobRun(name).encode()
	if err != nil {
		return "", fmt.Errorf("run job %q: %w: %w", name, ErrRefused, err)
	}
	m, err := d.js.Conn().RequestWithContext(ctx, d.ns.JobsSubject("run"), body)
	if err != nil {
		return "", fmt.Errorf("run job %q: %w", name, refused(err))
	}
	answer, err := readAnswer(m)
	if failure, ok := errors.AsType[*CallError](err); ok && failure.Code < 500 {
		return "", fmt.Errorf("run job %q: %w: %w", name, ErrRefused, err)
	}
	if err != nil {
		return "", fmt.Errorf("run job %q: %w", name, err)
	}
	var reply struct {
		Run string `json:"run"`
	}
	if err := json.Unmarshal(answer.Output, &reply); err != nil {
		return "", fmt.Errorf("run job %q: read reply: %w", name, err)
	}
	return reply.Run, nil
}

// jobRun is the ring as a request. The payload is always there: without one, the
// job's own would be taken.
func (r *Ring) jobRun(name string) *jobRun {
	q := &jobRun{
		Name: name, ID: r.ID, Source: r.Source, Parent: r.Parent, Depth: r.Depth,
		Reason: oneLine(r.Reason, maxReason), Attempts: r.Attempts, Headers: r.Header,
	}
	if text := string(r.Payload); utf8.ValidString(text) {
		q.Payload = &text
	} else {
		q.PayloadBase64 = base64.StdEncoding.EncodeToString(r.Payload)
	}
	return q
}

// encode gives JSON without the escapes that only HTML needs: they would make
// six bytes of one.
func (q *jobRun) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(q)
	return b.Bytes(), err
}
