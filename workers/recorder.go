package workers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxRetries is how many records wait to be sent again; beyond it they are lost,
// and the log says so.
const maxRetries = 4096

// recorder sends run records without waiting for each, and sends again what was
// refused or not answered.
type recorder struct {
	js    jetstream.JetStream // with hooks of its own
	ns    Namespace
	log   *slog.Logger
	retry chan *nats.Msg
}

func newRecorder(nc *nats.Conn, ns Namespace, log *slog.Logger) (*recorder, error) {
	r := &recorder{ns: ns, log: log, retry: make(chan *nats.Msg, maxRetries)}
	var err error
	r.js, err = jetstream.New(nc,
		jetstream.WithPublishAsyncTimeout(2*ioTimeout),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) { r.again(m, err) }))
	return r, err
}

// put sends a record; its answer, nil if it could not be sent yet, need not be
// waited for. The record's message id names the attempt, by its place too, for a
// run may be sent back to work from the dead letters under the same id.
func (r *recorder) put(run *Run, place string) jetstream.PubAckFuture {
	m := nats.NewMsg(r.ns.RunSubject(run.Job, run.Service))
	m.Header[nats.MsgIdHdr] = []string{run.Run + "/" + place + "/" + strconv.Itoa(run.Attempt) + "/" + run.Outcome}
	var err error
	if m.Data, err = json.Marshal(run); err != nil { // its times are checked when they are read
		r.log.Error("run record lost", "run", run.Run, "error", err)
		return nil
	}
	answer, err := r.js.PublishMsgAsync(m)
	if err != nil {
		r.again(m, err)
		return nil
	}
	return answer
}

// again is called from the client library's callbacks and must not block.
func (r *recorder) again(m *nats.Msg, err error) {
	m.Reply = ""
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
	defer r.js.CleanupPublisher()
	for {
		select {
		case m := <-r.retry:
			r.resend(ctx, m)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
			defer cancel()
			select {
			case <-r.js.PublishAsyncComplete():
			case <-last.Done():
				r.log.Warn("run records not confirmed", "records", r.js.PublishAsyncPending())
			}
			for {
				select {
				case m := <-r.retry:
					r.resend(last, m)
				default:
					return
				}
			}
		}
	}
}

// resend tries until the record is stored, can never be, or ctx is done.
func (r *recorder) resend(ctx context.Context, m *nats.Msg) {
	said := false
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		try, cancel := context.WithTimeout(ctx, ioTimeout)
		_, err := r.js.PublishMsg(try, m)
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
