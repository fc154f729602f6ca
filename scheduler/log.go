package scheduler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// The bounds of what is under way to the log.
const (
	// window is W: no message ever expects a sequence of more than this past
	// the last acknowledged one. The leap of an opening is one longer, so that
	// nothing which an older writer has under way can be accepted after it.
	window = 512
	// windowBytes bounds the payloads under way.
	windowBytes = 16 << 20
	// batchBytes bounds the payloads of one atomic batch.
	batchBytes = 4 << 20
	// ackWait is how long the oldest message may wait for its acknowledgement
	// before the epoch ends.
	ackWait = 2 * time.Second
)

// errRefused ends an epoch: the log's end is not where this writer left it.
var errRefused = errors.New("the log has moved on")

// writer appends to the log for one epoch, by compare-and-append: each message
// says after which sequence it belongs. append and batch are called by one
// goroutine; acknowledgements arrive on another.
type writer struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	sub    *nats.Subscription
	prefix string        // of the reply subjects, ends with a dot
	wake   chan struct{} // something was acknowledged, or the epoch ended

	last  uint64    // the log's last sequence, once all that was sent is stored
	reply []byte    // to write reply subjects in, begins with prefix
	began time.Time // what times are counted from: that costs half of what the clock does

	mu      sync.Mutex
	acked   uint64        // everything up to here is stored
	flight  [window]sent  // by sequence modulo window
	bytes   int           // payload bytes under way
	moved   time.Duration // when acked last moved, or something was sent into an empty window
	busy    time.Duration // how long the log had more than one message under way,
	acks    int           // and how many it acknowledged in that time
	cost    time.Duration // what an acknowledgement last cost the log while it was busy
	batches int           // since single messages were last tried,
	trust   int           // and after how many they are tried again
	probing bool          // which is now
	failure error
}

// sent is a message under way.
type sent struct {
	bytes  int
	behind bool // others were under way when it was sent
	done   bool // acknowledged, while one before it is not
}

// newWriter begins an epoch after the sequence last, which must be the end of
// this writer's own leap.
func newWriter(js jetstream.JetStream, last uint64) (*writer, error) {
	nc := js.Conn()
	w := &writer{nc: nc, js: js, prefix: nc.NewInbox() + ".", wake: make(chan struct{}, 1), last: last, acked: last, began: time.Now()}
	w.reply = []byte(w.prefix)
	sub, err := nc.Subscribe(w.prefix+"*", w.acknowledge)
	if err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	w.sub = sub
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("unbound acknowledgements: %w", err)
	}
	return w, nil
}

// close ends the epoch: nothing more is appended, no acknowledgement heard.
func (w *writer) close() {
	w.fail(errRefused)
	_ = w.sub.Unsubscribe() // fails only when the connection is gone, and the subscription with it
}

// room is how many more messages may be sent now.
func (w *writer) room() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure != nil || w.bytes >= windowBytes {
		return 0
	}
	return max(w.most()-int(w.last-w.acked), 0)
}

// most is how many messages may be under way. The caller holds mu.
func (w *writer) most() int {
	if w.probing {
		return probe
	}
	return window
}

// append sends m to be stored at last + 1, and does not wait. The caller has
// asked for room. The message may be used again.
func (w *writer) append(m *nats.Msg) error {
	w.reply = strconv.AppendUint(w.reply[:len(w.prefix)], w.last, 10)
	m.Reply = string(w.reply)
	set(m.Header, jetstream.ExpectedLastSeqHeader, m.Reply[len(w.prefix):])
	w.mu.Lock()
	if w.failure != nil {
		defer w.mu.Unlock()
		return w.failure
	}
	behind := w.acked < w.last
	if !behind {
		w.moved = time.Since(w.began)
	}
	w.flight[w.last%window] = sent{bytes: len(m.Data), behind: behind}
	w.bytes += len(m.Data)
	w.mu.Unlock()
	w.last++
	if err := w.nc.PublishMsg(m); err != nil {
		w.fail(fmt.Errorf("append to the log: %w", err))
		return w.err()
	}
	return nil
}

// batch stores the messages after last, all or none, and waits for it.
// Nothing else may be under way.
func (w *writer) batch(ctx context.Context, msgs []*nats.Msg) error {
	if err := w.err(); err != nil {
		return err
	}
	last, err := commit(ctx, w.js, msgs, w.last)
	if err != nil {
		w.fail(err)
		return err
	}
	w.mu.Lock()
	w.last, w.acked = last, last
	w.batches++
	w.mu.Unlock()
	w.poke()
	return nil
}

// commit stores the messages as one atomic batch if the log's last sequence is
// expect, and gives the new last one.
func commit(ctx context.Context, js jetstream.JetStream, msgs []*nats.Msg, expect uint64) (uint64, error) {
	msgs[0].Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(expect, 10))
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	ack, err := jetstreamext.PublishMsgBatch(ctx, js, msgs, jetstreamext.BatchFlowControl{})
	if err != nil {
		if isRefusal(err) {
			return 0, fmt.Errorf("%w: %w", errRefused, err)
		}
		return 0, fmt.Errorf("append a batch to the log: %w", err)
	}
	if want := expect + uint64(len(msgs)); ack.Sequence != want {
		return 0, fmt.Errorf("%w: the batch ends at %d instead of %d", errRefused, ack.Sequence, want)
	}
	return ack.Sequence, nil
}

// isRefusal tells a failed expectation from every other error. A replicated
// stream has a code of its own for it.
func isRefusal(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// acknowledge takes one acknowledgement.
func (w *writer) acknowledge(m *nats.Msg) {
	expect, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, w.prefix), 10, 64)
	if err != nil {
		return
	}
	seq, err := parseAck(m)
	if err == nil && seq != expect+1 {
		err = fmt.Errorf("%w: stored at %d instead of %d", errRefused, seq, expect+1)
	}
	if err != nil {
		w.fail(err)
		return
	}
	now := time.Since(w.began)
	w.mu.Lock()
	if expect < w.acked || expect-w.acked >= window {
		w.mu.Unlock()
		return
	}
	w.flight[expect%window].done = true
	for w.flight[w.acked%window].done {
		f := &w.flight[w.acked%window]
		if f.behind { // the log was busy with it alone since the one before
			w.busy, w.acks = w.busy+now-w.moved, w.acks+1
		}
		w.bytes -= f.bytes
		*f = sent{}
		w.acked++
		w.moved = now
	}
	if w.acks >= w.most() { // acknowledgements come in bursts, but none is longer
		w.learn(w.busy / time.Duration(w.acks))
	}
	w.mu.Unlock()
	w.poke()
}

// parseAck reads the sequence out of a PubAck. The usual one is read without
// encoding/json, which would cost more than the rest of the way.
func parseAck(m *nats.Msg) (uint64, error) {
	if _, rest, ok := bytes.Cut(m.Data, ackSeq); ok && !bytes.Contains(m.Data, ackError) {
		seq, digits := uint64(0), 0
		for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
			seq = seq*10 + uint64(rest[digits]-'0')
			digits++
		}
		if digits > 0 && digits < 20 {
			return seq, nil
		}
	}
	if m.Header.Get("Status") == "503" {
		return 0, nats.ErrNoResponders
	}
	var a struct {
		Seq   uint64              `json:"seq"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return 0, fmt.Errorf("read an acknowledgement: %w", err)
	}
	if a.Error != nil {
		if isRefusal(a.Error) {
			return 0, fmt.Errorf("%w: %w", errRefused, a.Error)
		}
		return 0, fmt.Errorf("append to the log: %w", a.Error)
	}
	return a.Seq, nil
}

var ackSeq, ackError = []byte(`"seq":`), []byte(`"error":`)

// fail ends the epoch; the first reason stays.
func (w *writer) fail(err error) {
	w.mu.Lock()
	if w.failure == nil {
		w.failure = err
	}
	w.mu.Unlock()
	w.poke()
}

func (w *writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// err says why the epoch has ended; nil while it goes on.
func (w *writer) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure
}

// progress gives the last acknowledged sequence, and ends the epoch when the
// oldest message has waited for too long.
func (w *writer) progress() (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure == nil && w.acked < w.last && time.Since(w.began)-w.moved > ackWait {
		w.failure = fmt.Errorf("no acknowledgement from the log for %v", ackWait)
	}
	return w.acked, w.failure
}

// slow tells whether single messages cost the log so much that an atomic
// batch is worth its own price: a few milliseconds where every write is synced
// to disk. A log may have been slow for a moment only, and batches tell nothing of
// it: now and then single messages are tried again, the longer it was slow the more
// seldom.
func (w *writer) slow() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cost > slowAck && w.batches >= w.trust {
		w.probing = true
	}
	return w.cost > slowAck && !w.probing
}

// learn takes what single messages cost. The caller holds mu.
func (w *writer) learn(cost time.Duration) {
	if cost > slowAck {
		w.trust = min(max(2*w.trust, minTrust), maxTrust)
	} else {
		w.trust = 0
	}
	w.cost, w.busy, w.acks, w.batches, w.probing = cost, 0, 0, 0, false
}

// After so many batches single messages are tried again, as many as probe: where
// each is synced that takes as long as one batch.
const (
	minTrust = 8
	maxTrust = 256
	probe    = 64
)

// slowAck divides logs that sync every write (some 250 µs a message) from
// those that do not (5 to 20 µs).
const slowAck = 80 * time.Microsecond
