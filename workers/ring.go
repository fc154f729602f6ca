package workers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// headroom is what a message's headers may take of the server's max_payload.
const headroom = 4 << 10

// maxIDLen bounds Ring.ID and Ring.Source, in bytes.
const maxIDLen = 255

var (
	// ErrRefused is what every refusal of a ring wraps that no retry can heal.
	// Any other error of Ring is passing trouble: ring again with the same ID.
	ErrRefused = errors.New("ring refused")
	// ErrTooLarge means that payload and headers are more than the server's
	// max_payload less 4 KiB. It comes with ErrRefused.
	ErrTooLarge = errors.New("too large")
)

// Ring asks a service to run.
type Ring struct {
	// Channel and Service are required; see CheckChannel and CheckService.
	Channel string
	Service string
	// ID names the ring, at most 255 bytes: a second one with the same channel,
	// source and id within ten minutes is the same ring. Empty means a new one.
	ID string
	// Source is where on the channel the id is unique (a queue, a path, a
	// caller), at most 255 bytes; it may be empty.
	Source string
	// Job is the key of the job that this run belongs to, if any.
	Job string
	// Payload is delivered as it is.
	Payload []byte
	// Policy says how to run; the zero value is every default.
	Policy Policy
	// Header is passed on, but for headers of NATS and of Bellhop.
	Header nats.Header
}

// Dispatcher rings services: it puts rings into the stream where the workers
// find them. It is safe for concurrent use.
type Dispatcher struct {
	js jetstream.JetStream
	ns Namespace
}

// NewDispatcher rings in a namespace; Setup must have made its streams.
func NewDispatcher(js jetstream.JetStream, ns Namespace) *Dispatcher {
	return &Dispatcher{js: js, ns: ns}
}

// Ring returns the run's id when the ring is stored: from then on it is
// delivered at least once. A repeated ring gets the same id and is not stored
// again.
func (d *Dispatcher) Ring(ctx context.Context, r Ring) (run string, err error) {
	if r.ID == "" {
		r.ID = rand.Text()
	}
	m, run, err := r.message(d.ns, int(d.js.Conn().MaxPayload()))
	if err != nil {
		return "", fmt.Errorf("ring %.128q: %w: %w", r.Service, ErrRefused, err)
	}
	if _, err := d.js.PublishMsg(ctx, m, jetstream.WithExpectStream(d.ns.RingsStream())); err != nil {
		return "", fmt.Errorf("ring %s: %w", r.Service, refused(err))
	}
	return run, nil
}

// refused adds ErrRefused to what the server will never take.
func refused(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: %w: %w", ErrRefused, ErrTooLarge, err)
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == codeMessageTooLarge {
		return fmt.Errorf("%w: %w: %w", ErrRefused, ErrTooLarge, err)
	}
	return err
}

// codeMessageTooLarge is the server's JSStreamMessageExceedsMaximumErr.
const codeMessageTooLarge jetstream.ErrorCode = 10054

func (r *Ring) message(ns Namespace, maxPayload int) (*nats.Msg, string, error) {
	if err := errors.Join(ns.Check(), CheckChannel(r.Channel), CheckService(r.Service)); err != nil {
		return nil, "", err
	}
	if r.Job != "" {
		if _, err := parseKey(r.Job); err != nil {
			return nil, "", fmt.Errorf("job: %w", err)
		}
	}
	if len(r.ID) > maxIDLen || len(r.Source) > maxIDLen {
		return nil, "", fmt.Errorf("%w: id of %d and source of %d bytes: at most %d each", ErrName, len(r.ID), len(r.Source), maxIDLen)
	}
	policy := r.Policy.Header()
	if len(policy) > maxPolicyLen/2 {
		return nil, "", fmt.Errorf("%w: policy of %d bytes", ErrTooLarge, len(policy))
	}
	m := nats.NewMsg(ns.RingSubject(r.Channel, r.Service))
	m.Data = r.Payload
	size := len(r.Payload)
	for name, values := range r.Header {
		if !passes(name) {
			continue
		}
		for _, v := range values {
			if !cleanValue(v) {
				return nil, "", fmt.Errorf("%w: header %s holds a line break", ErrName, name)
			}
			size += len(name) + len(v) + len(": \r\n")
		}
		m.Header[name] = values
	}
	if limit := maxPayload - headroom; size > limit {
		return nil, "", fmt.Errorf("%w: %d bytes with headers, at most %d", ErrTooLarge, size, limit)
	}
	// The source is part of the run id, too: it is a service's idempotency key,
	// and two queues may well number their messages alike.
	run := r.Channel + ":"
	if r.Source != "" {
		run += Escape(r.Source) + ":"
	}
	run += Escape(r.ID)
	set := func(name, value string) {
		if value != "" {
			m.Header[name] = []string{value}
		}
	}
	set(nats.MsgIdHdr, r.Channel+":"+Escape(r.Source)+":"+Escape(r.ID))
	set(HeaderRun, run)
	set(HeaderJob, r.Job)
	set(HeaderChannel, r.Channel)
	set(HeaderPolicy, policy)
	return m, run, nil
}

// passes says whether an outsider's header may travel with a ring. Nats-*
// headers command the server, and one of them can stop a replicated stream for
// good; Bellhop-* are ours; and with Status on a message without a payload the
// client library takes it for one of the server's own.
func passes(name string) bool {
	if name == "" || strings.EqualFold(name, "Status") || strings.EqualFold(name, "Description") {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return !foldPrefix(name, "Nats-") && !foldPrefix(name, "Bellhop-")
}

func foldPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func cleanValue(v string) bool { return !strings.ContainsAny(v, "\r\n\x00") }
