package workers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
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
	// Parent is the run in which this ring was made, if any, and Depth how many
	// runs were before it: a service that rings others gives its own Trigger.Run
	// and its Trigger.Depth + 1, so that a circle of services ends at MaxDepth.
	Parent string
	Depth  int
	// Reason and Attempts tell of the parent's failure, where this ring follows
	// on it: HeaderReason and HeaderAttempts. Zero values are left out.
	Reason   string
	Attempts int
}

// Dispatcher rings services: it puts rings into the stream where the workers
// find them. It is safe for concurrent use, and a prometheus.Collector of what
// it has rung.
type Dispatcher struct {
	js     jetstream.JetStream
	ns     Namespace
	rings  *prometheus.CounterVec
	before []func(ctx context.Context, r *Ring)
}

// NewDispatcher rings in a namespace; Setup must have made its streams.
func NewDispatcher(js jetstream.JetStream, ns Namespace) *Dispatcher {
	return &Dispatcher{js: js, ns: ns, rings: newRingsCounter()}
}

// JetStream is what it rings with.
func (d *Dispatcher) JetStream() jetstream.JetStream { return d.js }

// Namespace is where it rings.
func (d *Dispatcher) Namespace() Namespace { return d.ns }

// Before has f see each ring, and each call, before it is sent: it may add to the
// header, for which it makes a map of its own. Call it before the first ring.
func (d *Dispatcher) Before(f func(ctx context.Context, r *Ring)) { d.before = append(d.before, f) }

// Ring returns the run's id when the ring is stored: from then on it is
// delivered at least once. A repeated ring gets the same id and is not stored
// again.
func (d *Dispatcher) Ring(ctx context.Context, r Ring) (run string, err error) {
	m, run, err := d.message(ctx, &r)
	if err != nil {
		return "", err
	}
	if err := d.publish(ctx, &r, m); err != nil {
		return "", err
	}
	return run, nil
}

// publish stores a ring, and counts what has become of it.
func (d *Dispatcher) publish(ctx context.Context, r *Ring, m *nats.Msg) error {
	ack, err := d.js.PublishMsg(ctx, m, jetstream.WithExpectStream(d.ns.RingsStream()))
	if err != nil {
		err = fmt.Errorf("ring %s: %w", r.Service, refused(err))
	}
	d.count(r, ack, err)
	return err
}

// message makes the message of a ring, and the id of its run.
func (d *Dispatcher) message(ctx context.Context, r *Ring) (*nats.Msg, string, error) {
	if r.ID == "" {
		r.ID = rand.Text()
	}
	for _, f := range d.before {
		f(ctx, r)
	}
	m, run, err := r.message(d.ns, int(d.js.Conn().MaxPayload()))
	if err != nil {
		err = fmt.Errorf("ring %.128q: %w: %w", r.Service, ErrRefused, err)
		d.count(r, nil, err)
		return nil, "", err
	}
	return m, run, nil
}

// refused adds ErrRefused to what the server will never take.
func refused(err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: %w: %w", ErrRefused, ErrTooLarge, err)
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && (api.ErrorCode == codeMessageTooLarge || api.ErrorCode == codeHeaderTooLarge) {
		return fmt.Errorf("%w: %w: %w", ErrRefused, ErrTooLarge, err)
	}
	return err
}

// The server's JSStreamMessageExceedsMaximumErr, and its
// JSStreamHeaderExceedsMaximumErr: headers have at most 64 KiB.
const (
	codeMessageTooLarge jetstream.ErrorCode = 10054
	codeHeaderTooLarge  jetstream.ErrorCode = 10097
)

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
	if _, err := parseRun(r.Parent); err != nil {
		return nil, "", fmt.Errorf("%w: parent: %w", ErrName, err)
	}
	if r.Depth < 0 || r.Depth > maxDepthSaid {
		return nil, "", fmt.Errorf("%w: depth %d: use 0 to %d", ErrName, r.Depth, maxDepthSaid)
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
	run := r.run()
	set := func(name, value string) {
		if value != "" {
			m.Header[name] = []string{value}
		}
	}
	set(nats.MsgIdHdr, r.messageID())
	set(HeaderRun, run)
	set(HeaderJob, r.Job)
	set(HeaderChannel, r.Channel)
	set(HeaderPolicy, policy)
	set(HeaderParent, r.Parent)
	set(HeaderDepth, number(r.Depth))
	set(HeaderReason, oneLine(r.Reason, maxReason))
	set(HeaderAttempts, number(r.Attempts))
	return m, run, nil
}

// run is the id of the ring's run. The source is part of it: the id is a
// service's idempotency key, and two queues may well number their messages alike.
func (r *Ring) run() string {
	if r.Source == "" {
		return r.Channel + ":" + Escape(r.ID)
	}
	return r.Channel + ":" + Escape(r.Source) + ":" + Escape(r.ID)
}

// messageID tells one ring from another.
func (r *Ring) messageID() string {
	return r.Channel + ":" + Escape(r.Source) + ":" + Escape(r.ID)
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

// number is a header's value; that of nothing is empty.
func number(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func cleanValue(v string) bool { return !strings.ContainsAny(v, "\r\n\x00") }
