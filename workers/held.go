package workers

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long after its deadline a handler that ignores its context is
// waited for.
const patience = 10 * time.Second

// held are the attempts that a worker has taken and not yet settled, waiting
// ones and running ones. It keeps their messages alive, and remembers for a
// while which were acknowledged.
type held struct {
	mu    sync.Mutex
	all   map[key]*attempt
	done  [remembered]key // each where its sequence belongs
	every atomic.Int64    // time between heartbeats, ns
	last  atomic.Pointer[time.Time]
}

// key is a message's sequence in the stream that was created then.
type key struct {
	created  int64
	sequence uint64
}

// remembered is how many acknowledged messages are remembered.
const remembered = 1024

// add takes an attempt in. It is not fresh when its message is held already or
// was acknowledged: after NATS was away a message may be delivered again whose
// run is still under way here, or whose acknowledgement came too late.
func (h *held) add(a *attempt) (fresh, done bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = make(map[key]*attempt)
	}
	if done = *h.memory(a.key) == a.key; done || h.all[a.key] != nil {
		return false, done
	}
	h.all[a.key] = a
	return true, false
}

// remove comes before the acknowledgement, for what follows on that is new,
// unless it is done.
func (h *held) remove(a *attempt, done bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, a.key)
	if done {
		*h.memory(a.key) = a.key
	}
}

// memory is where it is remembered that a message was acknowledged.
func (h *held) memory(k key) *key { return &h.done[k.sequence%remembered] }

func (h *held) list() []*attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*attempt, 0, len(h.all))
	for _, a := range h.all {
		all = append(all, a)
	}
	return all
}

// stale says whether the server must have given an attempt's message to another
// worker: this one was frozen, and sent no heartbeats. What has begun then may
// come to its end; what has not is not begun.
func (h *held) stale(a *attempt) bool {
	last := h.last.Load()
	return a.msg != nil && (a.away.Load() || last != nil && h.silent(*last, a.started))
}

// silent says whether there was no heartbeat for too long.
func (h *held) silent(from, to time.Time) bool {
	return to.Sub(from) > beatsInWait*h.interval()
}

// interval is the time between heartbeats.
func (h *held) interval() time.Duration { return cmp.Or(time.Duration(h.every.Load()), time.Second) }

// beatsInWait is how many heartbeats there are in the time after which the server
// gives a message to somebody else.
const beatsInWait = 3

// watch sends heartbeats until ctx is done, and gives up on handlers that
// ignore their deadline.
func (h *held) watch(ctx, hard context.Context) {
	last := time.Now()
	h.last.Store(&last)
	for pause(ctx, h.interval()) {
		now := time.Now()
		away := h.silent(*h.last.Swap(&now), now)
		for _, a := range h.list() {
			if away {
				a.away.Store(true)
			}
			if a.overdue(now) && a.claim() {
				a.w.log.Error("service ignores the end of its context: it is left to itself", "service", a.t.Service, "run", a.t.Run)
				go func() { a.w.hands.start(hard, a.settle(hard, nil, errIgnored, true, now)) }() // ends with the drain: see tally
				continue
			}
			a.beat()
		}
	}
}

// abandon settles what still runs without waiting for it. What does not run
// (its deadline is 0) is about to settle itself.
func (h *held) abandon(hard context.Context) {
	for _, a := range h.list() {
		if a.deadline.Load() != 0 && a.claim() {
			a.w.log.Error("service does not return: its run is given back", "service", a.t.Service, "run", a.t.Run)
			a.w.hands.start(hard, a.settle(hard, nil, ErrStopped, false, time.Now()))
		}
	}
}

// pause waits; false when the context is done first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// tally counts what is open; once closed, nobody enters any more.
type tally struct {
	mu     sync.Mutex
	n      int
	closed bool
	empty  chan struct{}
}

func (t *tally) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	return true
}

func (t *tally) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.closed {
		close(t.empty)
	}
}

// close refuses whoever comes now; the channel is closed when all have left.
func (t *tally) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed, t.empty = true, make(chan struct{})
	if t.n == 0 {
		close(t.empty)
	}
	return t.empty
}
