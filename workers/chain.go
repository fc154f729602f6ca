package workers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// MaxDepth is how many runs may be before another in a chain. One that is still
// deeper is not run but becomes a dead letter: jobs that name one another as
// what is to follow would ring for ever.
const MaxDepth = 16

// The waits between attempts to ring what follows.
const (
	leastChainWait = 200 * time.Millisecond
	mostChainWait  = 30 * time.Second
)

// chain rings what is to follow on a run that has ended for good, and does not
// let go until that is stored or the worker must stop (false): heartbeats keep
// the message meanwhile. out is the service's whole output.
//
// When the worker dies after the ring and before the acknowledgement, the run
// comes again and rings again, with the same id: within ten minutes that is the
// same ring, and what was rung first counts.
//
// Nothing follows on a direct call. Its caller has the output in hand, and
// there is no message whose redelivery would make good for a ring that is lost.
func (a *attempt) chain(hard context.Context, r *Run, out []byte) bool {
	if a.t.Policy.OnSuccess == "" && a.t.Policy.OnFailure == "" { // mostly
		return true
	}
	s, follows := a.successor(r, out)
	if !follows {
		return true
	}
	for wait := leastChainWait; ; wait = min(2*wait, mostChainWait) {
		last := hard.Err() != nil
		err := a.follow(hard, &s)
		switch {
		case err == nil:
			return true
		case errors.Is(err, ErrRefused):
			return a.refused(hard, s, err)
		case wait == leastChainWait:
			a.w.log.Warn("what follows on a run is not rung yet", "service", a.t.Service, "run", a.t.Run, "target", s.target, "error", err)
		}
		if last {
			return false
		}
		pause(hard, wait)
	}
}

// follow rings once. The work is done: a worker that must stop tries for
// settleTime all the same.
func (a *attempt) follow(hard context.Context, s *successor) error {
	ctx, cancel := context.WithTimeout(hard, s.patience())
	if hard.Err() != nil {
		cancel()
		ctx, cancel = context.WithTimeout(context.WithoutCancel(hard), settleTime)
	}
	defer cancel()
	_, err := s.send(ctx, NewDispatcher(a.w.js, a.w.o.Namespace))
	return err
}

// successor says what follows on a run that ended so, if anything does.
func (a *attempt) successor(r *Run, out []byte) (s successor, follows bool) {
	which := ""
	switch {
	case a.msg == nil || a.t.Depth > MaxDepth: // the end of a chain that is too long is its end
	case r.Outcome == OutcomeOK:
		which, s.target, s.ring.Payload = "success", a.t.Policy.OnSuccess, out
	case r.Outcome == OutcomeDead:
		which, s.target, s.ring.Payload = "failure", a.t.Policy.OnFailure, []byte(r.Error)
		s.ring.Reason, s.ring.Attempts = r.Error, a.t.Attempt
	}
	if s.target == "" {
		return s, false
	}
	s.ring.Channel, s.ring.Source, s.ring.ID = ChannelChain, a.source(), chainID(a.t.Run, a.place(), which)
	s.ring.Parent, s.ring.Depth, s.ring.Header = a.t.Run, a.t.Depth+1, a.passedOn(r)
	return s, true
}

// chainID is the same for every delivery of a message, and another one for a
// run that was sent back to work from the dead letters.
func chainID(run, place, which string) string {
	sum := sha256.Sum256([]byte(run + "\x00" + place + "\x00" + which))
	return hex.EncodeToString(sum[:8])
}

// source names who rings in a chain, for people: the job, or the service.
func (a *attempt) source() string {
	if name, err := Unescape(a.t.Job); err == nil && len(name) <= maxIDLen {
		return name
	}
	return a.t.Service
}

// passedOn are the headers that what follows is given: of what type the output
// is, and which trace it belongs to.
func (a *attempt) passedOn(r *Run) nats.Header {
	h := make(nats.Header)
	if p := a.contentType.Load(); p != nil && r.Outcome == OutcomeOK {
		h.Set(headerContentType, *p)
	}
	for _, name := range []string{"traceparent", "tracestate"} {
		if v := a.t.Header[name]; len(v) > 0 && len(v[0]) <= maxReason && cleanValue(v[0]) {
			h[name] = v[:1]
		}
	}
	return h
}

// refused keeps among the dead letters what was to follow and never can.
func (a *attempt) refused(hard context.Context, s successor, err error) bool {
	letter := s.letter(a.w.o.Namespace, &a.t, fmt.Sprintf("not rung after %s: %v", a.t.Run, err))
	if !a.post(hard, letter) {
		return false
	}
	a.w.log.Warn("what was to follow on a run was refused: see the dead letters", "service", a.t.Service, "run", a.t.Run, "target", s.target, "error", err)
	return true
}

// tooLong says why a run is the end of its chain.
func tooLong(t *Trigger) error {
	name := t.Service
	if t.Job != "" {
		name = t.Job
	}
	circle := name + " leads back to itself"
	if parts := strings.Split(t.Run, ":"); len(parts) == 3 && parts[1] != name {
		circle = parts[1] + " and " + name + " lead back to each other"
	}
	return fmt.Errorf("the chain is too long: %d runs before this one, at most %d; rung by %s; it may be that %s", t.Depth, MaxDepth, t.Parent, circle)
}
