package workers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The headers of a dead letter, beside those of the trigger that it was.
const (
	// HeaderReason is the last error, on one line. What follows on a failure in
	// a chain has it and HeaderAttempts, too, of its parent.
	HeaderReason = "Bellhop-Reason"
	// HeaderAttempts is how often the run was tried.
	HeaderAttempts = "Bellhop-Attempts"
	// HeaderOrigin is the subject on which the trigger came.
	HeaderOrigin = "Bellhop-Origin"
	// HeaderPlace is where the trigger is kept, "<stream>:<sequence>".
	HeaderPlace = "Bellhop-Place"
	// HeaderOmitted is the size of a payload that was too large for the letter,
	// in bytes. It may still be at HeaderPlace.
	HeaderOmitted = "Bellhop-Omitted"
	// HeaderTarget is what could not be rung in a chain, where that is not the
	// letter's service: "job:" and the key of a job.
	HeaderTarget = "Bellhop-Target"
)

// maxReason bounds HeaderReason, in bytes.
const maxReason = 512

// deadLetter makes the letter of a message that has failed for good. Its
// message id names the trigger's place and not the run, so that a letter that
// was sent back to work and fails again is kept again.
func deadLetter(ns Namespace, t *Trigger, origin, place, reason string) *nats.Msg {
	m := nats.NewMsg(ns.DeadSubject(t.Service))
	m.Data = t.Payload
	for name, values := range t.Header {
		if passes(name) {
			m.Header[name] = values
		}
	}
	set := func(name, value string) {
		if value != "" {
			m.Header[name] = []string{value}
		}
	}
	set(nats.MsgIdHdr, "dead:"+place)
	set(HeaderRun, t.Run)
	set(HeaderJob, t.Job)
	set(HeaderChannel, t.Channel)
	set(HeaderPolicy, t.Policy.Header())
	set(HeaderParent, t.Parent)
	set(HeaderDepth, number(t.Depth))
	if !t.Due.IsZero() {
		set(HeaderDue, t.Due.Format(DueLayout))
	}
	set(HeaderReason, oneLine(reason, maxReason))
	set(HeaderAttempts, strconv.Itoa(t.Attempt))
	set(HeaderOrigin, origin)
	set(HeaderPlace, place)
	return m
}

// bury stores a dead letter. One that is too large with our headers goes
// without its payload: HeaderPlace says where that is still to be found.
func bury(ctx context.Context, js jetstream.JetStream, m *nats.Msg) error {
	_, err := js.PublishMsg(ctx, m)
	if refusal := refused(err); !errors.Is(refusal, ErrTooLarge) {
		return err
	}
	small := nats.NewMsg(m.Subject)
	for name, values := range m.Header {
		if strings.HasPrefix(name, "Bellhop-") || name == nats.MsgIdHdr {
			small.Header[name] = values
		}
	}
	note := fmt.Sprintf(" (payload of %d bytes left out)", len(m.Data))
	small.Header.Set(HeaderReason, m.Header.Get(HeaderReason)+note)
	small.Header.Set(HeaderOmitted, strconv.Itoa(len(m.Data)))
	_, err = js.PublishMsg(ctx, small)
	return err
}

// oneLine makes a header's value of any text.
func oneLine(s string, limit int) string {
	s = string(cut([]byte(s), limit))
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)), " ")
}
