package workers

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

// orders are the runs that somebody has cancelled, as a worker knows them.
type orders struct {
	w      *Worker
	loaded chan struct{} // closed when those that were there are known
	some   atomic.Bool

	mu    sync.Mutex
	given map[string]time.Time // when, by the server's clock
}

func newOrders(w *Worker) *orders {
	return &orders{w: w, loaded: make(chan struct{}), given: make(map[string]time.Time)}
}

// run follows the orders until ctx is done, whatever happens to NATS meanwhile.
func (o *orders) run(ctx context.Context) {
	loaded := sync.OnceFunc(func() { close(o.loaded) })
	said := ""
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, ioTimeout) {
		err := o.follow(ctx, loaded)
		if err == nil {
			return
		}
		if text := err.Error(); text != said {
			said = text
			o.w.log.Warn("waiting: no triggers are taken until it is known which runs are cancelled", "error", err)
		}
		pause(ctx, wait)
	}
}

func (o *orders) follow(ctx context.Context, loaded func()) error {
	marks, err := kv.Open[mark](ctx, o.w.js, o.w.o.Namespace.StateBucket())
	if err != nil {
		return err
	}
	return marks.Watch(ctx, 0, o.take, loaded, markKeys)
}

// take learns of one order, and has it carried out.
func (o *orders) take(e kv.Entry[mark]) {
	if e.Err != nil {
		o.w.log.Warn("order to cancel not understood", "key", e.Key, "error", e.Err)
		return
	}
	o.mu.Lock()
	if e.Deleted {
		for run := range o.given {
			if markKey(run) == e.Key {
				delete(o.given, run)
			}
		}
	} else {
		o.given[e.Value.Run] = e.Created
	}
	for run, at := range o.given {
		if time.Since(at) > markAge {
			delete(o.given, run)
		}
	}
	o.some.Store(len(o.given) > 0)
	o.mu.Unlock()
	if e.Deleted {
		return
	}
	for _, h := range o.w.taken {
		for _, a := range h.list() {
			o.tell(a)
		}
	}
}

// tell stops an attempt whose run is cancelled.
func (o *orders) tell(a *attempt) {
	if !o.some.Load() {
		return
	}
	o.mu.Lock()
	at, ok := o.given[a.t.Run]
	o.mu.Unlock()
	if ok && !a.stored.After(at.Add(markSlack)) {
		a.stop(ErrCancelled)
	}
}
