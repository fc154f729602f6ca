package workers

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// Letter is a dead letter: a run that has failed for good, and all that is
// needed to run it again.
type Letter struct {
	// ID is its sequence in the stream of dead letters, and Time when it was
	// stored, in UTC.
	ID   uint64    `json:"id"`
	Time time.Time `json:"time"`
	// Run, Job, Service, Channel, Due, Parent, Depth and Policy are those of the
	// Trigger that it was.
	Run     string    `json:"run"`
	Job     string    `json:"job,omitempty"`
	Service string    `json:"service"`
	Channel string    `json:"channel,omitempty"`
	Due     time.Time `json:"due,omitzero"`
	Parent  string    `json:"parent,omitempty"`
	Depth   int       `json:"depth,omitempty"`
	Policy  Policy    `json:"policy,omitzero"`
	// Reason is the last error, on one line, and Attempts how often the run was
	// tried: 0 where it could not even be rung (see Policy.OnSuccess).
	Reason   string `json:"reason"`
	Attempts int    `json:"attempts"`
	// Target is the job that could not be rung in a chain, as in a Policy.
	Target string `json:"target,omitempty"`
	// Origin is the subject on which it came, Place where it is still to be found
	// as long as its stream keeps it.
	Origin string `json:"origin,omitempty"`
	Place  string `json:"place,omitempty"`
	// Header holds all other headers.
	Header nats.Header `json:"headers,omitempty"`
	// Size is that of the payload in bytes. The payload itself is in Payload, or
	// in PayloadBase64 if it is not text; Letters.List leaves it out.
	Size          int    `json:"size"`
	Payload       string `json:"payload,omitempty"`
	PayloadBase64 []byte `json:"payload_base64,omitempty"`
	// Omitted says why the payload is not here, where it should be.
	Omitted string `json:"omitted,omitempty"`
}

// Bytes gives the payload, as far as it is here.
func (l *Letter) Bytes() []byte {
	if len(l.PayloadBase64) > 0 {
		return l.PayloadBase64
	}
	return []byte(l.Payload)
}

// Without gives a copy that says why it has no payload.
func (l *Letter) Without(why string) *Letter {
	c := *l
	c.Payload, c.PayloadBase64, c.Omitted = "", nil, why
	return &c
}

// readLetter reads a letter, whoever wrote it, but for the payload.
func readLetter(ns Namespace, subject string, id uint64, at time.Time, h nats.Header) *Letter {
	// What does not make sense is left out: a letter must be readable.
	t, _ := parseTrigger(strings.TrimPrefix(subject, ns.DeadSubject("")), h, nil, place(ns.DeadStream(), id))
	l := &Letter{
		ID: id, Time: at.UTC(), Run: t.Run, Job: t.Job, Service: t.Service, Channel: t.Channel, Due: t.Due,
		Parent: t.Parent, Depth: t.Depth, Policy: t.Policy,
		Reason: oneLine(h.Get(HeaderReason), 2*maxReason), Origin: h.Get(HeaderOrigin), Place: h.Get(HeaderPlace),
	}
	l.Attempts, _ = strconv.Atoi(h.Get(HeaderAttempts))
	l.Target, _ = parseTarget(h.Get(HeaderTarget))
	for name, values := range t.Header {
		if passes(name) {
			if l.Header == nil {
				l.Header = make(nats.Header)
			}
			l.Header[name] = values
		}
	}
	if n, err := strconv.Atoi(h.Get(HeaderOmitted)); err == nil && n >= 0 {
		l.Size, l.Omitted = n, "too large to be kept in a letter"
		if l.Place != "" {
			l.Omitted = fmt.Sprintf("too large to be kept in a letter: it may still be at %s", l.Place)
		}
	}
	return l
}

func (l *Letter) setPayload(data []byte) {
	if l.Omitted != "" {
		return
	}
	if l.Size = len(data); utf8.Valid(data) {
		l.Payload = string(data)
	} else {
		l.PayloadBase64 = data
	}
}

// LetterFilter says which dead letters are wanted; the zero value is all of them.
type LetterFilter struct {
	// Service is that of the letter, Job the key of its job.
	Service string
	Job     string
	// Since and Until bound the time at which the letter was stored.
	Since time.Time
	Until time.Time
	// Reason is a text that the reason holds, in whatever case.
	Reason string
	// Before is an ID: letters with lower ones are wanted. 0 means no bound.
	Before uint64
}

// Matches tells whether the filter wants the letter.
func (f *LetterFilter) Matches(l *Letter) bool {
	return (f.Service == "" || f.Service == l.Service) && (f.Job == "" || f.Job == l.Job) &&
		(f.Since.IsZero() || !l.Time.Before(f.Since)) && (f.Until.IsZero() || !l.Time.After(f.Until)) &&
		(f.Before == 0 || l.ID < f.Before) &&
		strings.Contains(strings.ToLower(l.Reason), strings.ToLower(f.Reason))
}

// subject is where the wanted letters are.
func (f *LetterFilter) subject(ns Namespace) string {
	if CheckService(f.Service) != nil {
		return ns.DeadSubject(">")
	}
	return ns.DeadSubject(f.Service)
}
