package scheduler

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// occurrence is one instant that a schedule names.
type occurrence struct {
	key string
	due int64
}

// runID names an occurrence in the log and everywhere else.
func (o occurrence) runID() string { return string(o.append(nil)) }

// append appends runID.
func (o occurrence) append(b []byte) []byte {
	return strconv.AppendInt(append(append(b, o.key...), '@'), o.due, 10)
}

// parseRunID is the inverse of runID.
func parseRunID(id string) (occurrence, bool) {
	key, ms, ok := strings.Cut(id, "@")
	due, err := strconv.ParseInt(ms, 10, 64)
	return occurrence{key, due}, ok && err == nil && key != ""
}

// tail is what the log holds after the sequence that the last hand claims. An
// occurrence past the hand is due unless the tail holds it: the tail is not
// in order where definitions were learned late, so only membership counts.
type tail struct {
	runs   map[occurrence]uint64 // to the sequence
	latest stamp                 // the last due time, 0 if there is none
}

// holds tells whether the occurrence is in the log already.
func (t *tail) holds(key string, due int64) bool {
	if t == nil || due > int64(t.latest) {
		return false
	}
	_, ok := t.runs[occurrence{key, due}]
	return ok
}

// add takes one message of the log. A stranger's has no run id of ours.
func (t *tail) add(h nats.Header, seq uint64) {
	if h.Get(workers.HeaderChannel) != workers.ChannelScheduler {
		return
	}
	if o, ok := parseRunID(h.Get(workers.HeaderRun)); ok {
		t.runs[o] = seq
		t.latest = max(t.latest, stamp(o.due))
	}
}

// tailStall is how long the tail may come to no message, or the consumer that reads it
// to nothing, before it is read from the stream's leader: where a cluster has lost a
// server, an answer may be lost with it.
const tailStall = time.Second

// readTail reads the log from the sequence after `after` up to last. The leap
// that was just stored behind last proves that nothing is missing: a consumer
// may be served by a replica that lags, but not past its own end.
func (s *Scheduler) readTail(ctx context.Context, after, last uint64) (*tail, error) {
	t := &tail{runs: map[occurrence]uint64{}}
	if after >= last {
		return t, nil
	}
	begin, cancel := context.WithTimeout(ctx, tailStall)
	defer cancel()
	cons, err := s.js.OrderedConsumer(begin, s.log.CachedInfo().Config.Name, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   after + 1,
		HeadersOnly:   true,

		MaxResetAttempts: 1, // else to stop it waits for NATS
	})
	if err != nil {
		return t, s.readDirect(ctx, t, after+1, last, err)
	}
	// An iterator and not a callback: while the client begins anew after a lost
	// connection two callbacks can be under way, the older one late; then the end
	// would be seen before what stands before it.
	messages, err := cons.Messages(jetstream.PullMaxMessages(watchPrefetch))
	if err != nil {
		return nil, fmt.Errorf("read the log's tail: %w", err)
	}
	defer messages.Stop()
	for next := after + 1; ; {
		wait, cancel := context.WithTimeout(ctx, tailStall)
		m, err := messages.Next(jetstream.NextContext(wait))
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var meta *jetstream.MsgMetadata
		if err == nil {
			meta, err = m.Metadata()
		}
		switch {
		case err != nil:
			return t, s.readDirect(ctx, t, next, last, err)
		case meta.Sequence.Stream > last:
			return t, nil
		}
		t.add(m.Headers(), meta.Sequence.Stream)
		next = meta.Sequence.Stream + 1
	}
}

// watchPrefetch is how many messages are under way to a reader of the log.
const watchPrefetch = 5000

// readDirect reads the rest of the tail from the stream's leader, one by one, and says
// why: a scheduler that may make no consumers does so every time, and takes long over
// a large tail.
func (s *Scheduler) readDirect(ctx context.Context, t *tail, next, last uint64, why error) error {
	if ctx.Err() != nil { // which is why
		return ctx.Err()
	}
	s.logger.Warn("no consumer reads the log's tail: it is read one by one", "from", next, "to", last, "error", why)
	for next <= last {
		answer, cancel := context.WithTimeout(ctx, ackWait)
		m, err := s.log.GetMsg(answer, next, jetstream.WithGetMsgSubject(">"))
		cancel()
		if err != nil {
			return fmt.Errorf("read the log at %d: %w", next, err)
		}
		if m.Sequence <= last {
			t.add(m.Header, m.Sequence)
		}
		next = m.Sequence + 1
	}
	return nil
}
