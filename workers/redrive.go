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

// ErrPayloadGone means that a letter cannot be sent back to work: its payload
// was too large for it, and is no longer where it came from either.
var ErrPayloadGone = errors.New("the payload is gone")

// Redrive sends a letter back to work, and then deletes it. The service is rung
// with the same payload, headers, policy and run id; only what would make an end
// of the run at once is left out, the policy's expiry and the depth in a chain.
// Should it fail again, it is a letter again. It returns the run's id;
// ErrNoLetter if there is no letter, ErrPayloadGone or ErrRefused if it can never
// be sent.
//
// Whoever dies between the ring and the deletion leaves the letter. Sent again
// within ten minutes, it is the same ring.
func (l *Letters) Redrive(ctx context.Context, id uint64) (run string, err error) {
	letter, m, err := l.read(ctx, id)
	if err != nil {
		return "", err
	}
	if run, err = l.ring(ctx, letter, m.Data); err != nil {
		return "", fmt.Errorf("redrive dead letter %d: %w", id, err)
	}
	if err := l.Drop(ctx, id); err != nil && !errors.Is(err, ErrNoLetter) {
		return run, fmt.Errorf("it is rung again as %s, but still a letter: %w", run, err)
	}
	return run, nil
}

// ring rings what the letter was.
func (l *Letters) ring(ctx context.Context, letter *Letter, data []byte) (run string, err error) {
	if letter.Omitted != "" {
		if data, err = l.fetch(ctx, letter); err != nil {
			return "", err
		}
	}
	if letter.Target != "" {
		s := letter.successor(data)
		return s.send(ctx, NewDispatcher(l.js, l.ns))
	}
	if err := CheckService(letter.Service); err != nil {
		return "", fmt.Errorf("%w: %w", ErrRefused, err)
	}
	m := letter.message(l.ns, data)
	if _, err := l.js.PublishMsg(ctx, m, jetstream.WithExpectStream(l.ns.RingsStream())); err != nil {
		return "", fmt.Errorf("ring %s: %w", letter.Service, refused(err))
	}
	return letter.Run, nil
}

// fetch finds the payload, and the headers, of a letter that was too small for
// them.
func (l *Letters) fetch(ctx context.Context, letter *Letter) ([]byte, error) {
	stream, number, _ := strings.Cut(letter.Place, ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || seq == 0 || stream != l.ns.TriggersStream() && stream != l.ns.RingsStream() {
		return nil, fmt.Errorf("%w: it was too large to be kept", ErrPayloadGone)
	}
	s, err := l.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("find stream %s: %w", stream, err)
	}
	m, err := s.GetMsg(ctx, seq)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("read message %s: %w", letter.Place, err)
	}
	if err != nil || m.Subject != letter.Origin || len(m.Data) != letter.Size { // or another one of a stream made anew
		return nil, fmt.Errorf("%w: it is no longer at %s", ErrPayloadGone, letter.Place)
	}
	t, _ := parseTrigger(letter.Service, m.Header, nil, "")
	letter.Header = t.Header
	return m.Data, nil
}

// message is the letter as a ring, which a person asked for.
func (l *Letter) message(ns Namespace, data []byte) *nats.Msg {
	m := nats.NewMsg(ns.RingSubject(ChannelManual, l.Service))
	m.Data = data
	for name, values := range l.Header {
		if passes(name) {
			m.Header[name] = values
		}
	}
	set := func(name, value string) {
		if value != "" {
			m.Header[name] = []string{value}
		}
	}
	policy := l.Policy
	policy.Expires = ""
	// The time tells apart the letters of a stream that was made anew.
	set(nats.MsgIdHdr, fmt.Sprintf("redrive:%d:%d", l.ID, l.Time.UnixNano()))
	set(HeaderRun, l.Run)
	set(HeaderJob, l.Job)
	set(HeaderChannel, l.Channel)
	set(HeaderPolicy, policy.Header())
	set(HeaderParent, l.Parent)
	if !l.Due.IsZero() {
		set(HeaderDue, l.Due.Format(DueLayout))
	}
	return m
}

// successor is what could not be rung when the letter was written, under the
// same id.
func (l *Letter) successor(data []byte) successor {
	s := successor{target: l.Target, ring: Ring{
		Channel: ChannelChain, ID: "letter-" + strconv.FormatUint(l.ID, 10), Parent: l.Parent, Header: l.Header, Payload: data,
	}}
	if parts := strings.Split(l.Run, ":"); len(parts) == 3 {
		source, err := Unescape(parts[1])
		id, err2 := Unescape(parts[2])
		if err == nil && err2 == nil {
			s.ring.Source, s.ring.ID = source, id
		}
	}
	return s
}
