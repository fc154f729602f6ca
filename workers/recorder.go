package workers

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxRetries is how many records wait to be sent again; beyond it they are
	// lost, and the log says so.
	maxRetries = 4096
	// maxUnconfirmed is how many records are under way at most.
	maxUnconfirmed = 4096
	// confirmWithin is how long the server has to confirm a record, before it is
	// sent again.
	confirmWithin = 2 * ioTimeout
	// stallTime is how long put waits when too many are under way.
	stallTime = 200 * time.Millisecond
)

// recorder sends run records without waiting for each, and sends again what was
// refused or not answered: the message id keeps it from being stored twice.
//
// It has an inbox and a window of its own, for the client library's futures cost
// a timer, a channel and a parsed answer for each record, four times as much.
// Each place in the window has a message that is used again and again, and with it
// the subject where the server confirms it: the one that became free last is taken
// first, so that these subjects are few, and the server finds them in its cache.
type recorder struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	ns    Namespace
	log   *slog.Logger
	retry chan *nats.Msg
	inbox string // with the dot
	sub   *nats.Subscription

	mu     sync.Mutex
	window [maxUnconfirmed]unconfirmed
	free   []int         // places, the last one to be taken first
	moved  chan struct{} // told when a place has become free
}

// unconfirmed is a place for a record under way.
type unconfirmed struct {
	m *nats.Msg // nil before the first, and after one that has to be sent again
	// number is the last token of m's reply subject: the place, and how many
	// messages it has had. A late answer to one that was sent again finds another.
	number uint64
	sent   time.Time // zero when nothing is under way
}

// keptRecord is how long a record's buffer is that is used again, at most.
const keptRecord = 1 << 10

func newRecorder(nc *nats.Conn, js jetstream.JetStream, ns Namespace, log *slog.Logger) (*recorder, error) {
	r := &recorder{
		nc: nc, js: js, ns: ns, log: log,
		retry: make(chan *nats.Msg, maxRetries),
		inbox: nc.NewInbox() + ".",
		moved: make(chan struct{}, 1),
	}
	for n := range r.window {
		r.window[n].number = uint64(n)
		r.free = append(r.free, n)
	}
	slices.Reverse(r.free)
	var err error
	r.sub, err = nc.Subscribe(r.inbox+"*", r.confirm)
	return r, err
}

// put sends a record of an attempt.
func (r *recorder) put(run *Run, a *attempt) {
	n, m := r.enter()
	var err error
	m.Data, err = run.appendJSON(m.Data[:0])
	m.Subject = r.ns.RunSubject(run.Job, run.Service)
	m.Header[nats.MsgIdHdr][0] = recordID(run, a)
	r.begin(n)
	if err != nil { // its times are checked when they are read
		r.lost(r.withdraw(n), err)
		return
	}
	if err := r.nc.PublishMsg(m); err != nil {
		r.fail(n, err)
	}
}

// recordID is a record's message id. It names the attempt, by its place too, for a
// run may be sent back to work from the dead letters under the same id.
func recordID(run *Run, a *attempt) string {
	var buffer [160]byte // mostly enough, and then nothing else is made
	b := append(append(buffer[:0], run.Run...), '/')
	b = append(a.appendPlace(b), '/')
	b = append(strconv.AppendInt(b, int64(run.Attempt), 10), '/')
	return string(append(b, run.Outcome...))
}

// enter takes a place in the window, and gives its number and the message there,
// to be filled.
func (r *recorder) enter() (n uint64, m *nats.Msg) {
	deadline := time.Time{}
	for {
		if n, m = r.take(); m != nil {
			return n, m
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(stallTime)
		}
		t := time.NewTimer(time.Until(deadline))
		select {
		case <-r.moved:
		case <-t.C:
			if oldest, _, ok := r.oldest(); ok {
				r.fail(oldest, errUnconfirmed)
			}
		}
		t.Stop()
	}
}

// take is enter if there is a free place.
func (r *recorder) take() (n uint64, m *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.free) == 0 {
		return 0, nil
	}
	p := &r.window[r.free[len(r.free)-1]]
	r.free = r.free[:len(r.free)-1]
	if p.m == nil {
		p.m = &nats.Msg{Reply: r.inbox + strconv.FormatUint(p.number, 10), Header: nats.Header{nats.MsgIdHdr: {""}}}
	}
	if p.m.Data == nil {
		p.m.Data = make([]byte, 0, 512)
	}
	return p.number, p.m
}

// begin has what was filled sent again if it is not confirmed soon.
func (r *recorder) begin(n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.window[n%maxUnconfirmed].sent = time.Now()
}

// oldest is what has been under way for longest.
func (r *recorder) oldest() (n uint64, sent time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.window {
		if p := &r.window[i]; !p.sent.IsZero() && (!ok || p.sent.Before(sent)) {
			n, sent, ok = p.number, p.sent, true
		}
	}
	return n, sent, ok
}

var errUnconfirmed = errors.New("not confirmed in time")

// leave frees the place of what is stored.
func (r *recorder) leave(n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.window[n%maxUnconfirmed]
	if p.number != n || p.sent.IsZero() {
		return // it is free already
	}
	if p.sent = (time.Time{}); cap(p.m.Data) > keptRecord {
		p.m.Data = nil
	}
	r.vacant(n)
}

// withdraw frees the place of what is to be sent again, which it gives; nil when
// the place is free already.
func (r *recorder) withdraw(n uint64) (m *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.window[n%maxUnconfirmed]
	if p.number != n || p.sent.IsZero() {
		return nil
	}
	m, *p = p.m, unconfirmed{number: n + maxUnconfirmed}
	r.vacant(n)
	return m
}

func (r *recorder) vacant(n uint64) {
	r.free = append(r.free, int(n%maxUnconfirmed))
	select {
	case r.moved <- struct{}{}:
	default:
	}
}

// confirm takes the server's answers. A refusal is looked at when the record is
// sent again.
func (r *recorder) confirm(answer *nats.Msg) {
	n, err := strconv.ParseUint(strings.TrimPrefix(answer.Subject, r.inbox), 10, 64)
	if err != nil {
		return // not an answer to a record
	}
	if !bytes.Contains(answer.Data, []byte(`"seq":`)) || bytes.Contains(answer.Data, []byte(`"error":`)) {
		r.fail(n, errors.New("refused, or nobody answers"))
		return
	}
	r.leave(n)
}

// fail has a record sent again.
func (r *recorder) fail(n uint64, err error) {
	m := r.withdraw(n)
	if m == nil {
		return
	}
	select {
	case r.retry <- m:
	default:
		r.lost(m, err)
	}
}

func (r *recorder) lost(m *nats.Msg, err error) {
	r.log.Error("run record lost", "subject", m.Subject, "id", m.Header.Get(nats.MsgIdHdr), "error", err)
}

// run sends again what has to be, until ctx is done; then it waits a little for
// what is under way, and says what was lost.
func (r *recorder) run(ctx context.Context) {
	tick := time.NewTicker(confirmWithin / 4)
	defer tick.Stop()
	for {
		select {
		case m := <-r.retry:
			r.resend(ctx, m)
		case now := <-tick.C:
			r.overdue(now.Add(-confirmWithin))
		case <-ctx.Done():
			r.finish(ctx)
			return
		}
	}
}

// overdue has those sent again that were sent before then.
func (r *recorder) overdue(then time.Time) {
	for {
		n, sent, ok := r.oldest()
		if !ok || !sent.Before(then) {
			return
		}
		r.fail(n, errUnconfirmed)
	}
}

// finish waits for what is under way, and sends again what is not confirmed
// then. Nothing is put any more.
func (r *recorder) finish(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	for deadline := time.Now().Add(settleTime / 2); r.underWay() && time.Now().Before(deadline) && !r.nc.IsClosed(); {
		wait, stop := context.WithDeadline(last, deadline)
		select {
		case <-r.moved:
		case <-wait.Done():
		}
		stop()
	}
	r.overdue(time.Now().Add(time.Hour)) // all
	_ = r.sub.Unsubscribe()              // fails when the connection is closed, and then there is none
	for {
		select {
		case m := <-r.retry:
			r.resend(last, m)
		default:
			return
		}
	}
}

func (r *recorder) underWay() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.free) < len(r.window)
}

// resend tries until the record is stored, can never be, or ctx is done.
func (r *recorder) resend(ctx context.Context, m *nats.Msg) {
	said := false
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		try, cancel := context.WithTimeout(ctx, ioTimeout)
		_, err := r.js.PublishMsg(try, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}) // answered elsewhere
		cancel()
		if err == nil {
			return
		}
		if errors.Is(refused(err), ErrTooLarge) || errors.Is(err, nats.ErrConnectionClosed) {
			r.lost(m, err)
			return
		}
		if !said {
			said = true
			r.log.Warn("run record not stored yet", "subject", m.Subject, "error", err)
		}
		if !pause(ctx, wait) {
			r.lost(m, err)
			return
		}
	}
}
