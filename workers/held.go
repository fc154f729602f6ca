package workers

import (
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
	done  map[key]bool
	order [remembered]key // of done, a ring
	next  int
	every atomic.Int64 // time between heartbeats, ns
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
		h.all, h.done = make(map[key]*attempt), make(map[key]bool)
	}
	if h.all[a.key] != nil || h.done[a.key] {
		return false, h.done[a.key]
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
		delete(h.done, h.order[h.next])
		h.order[h.next], h.done[a.key] = a.key, true
		h.next = (h.next + 1) % remembered
	}
}

func (h *held) list() []*attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*attempt, 0, len(h.all))
	for _, a := range h.all {
		all = append(all, a)
	}
	return all
}

// watch sends heartbeats until ctx is done, and gives up on handlers that
// ignore their deadline.
func (h *held) watch(ctx, hard context.Context) {
	for {
		every := time.Duration(h.every.Load())
		if every <= 0 {
			every = time.Second
		}
		if !pause(ctx, every) {
			return
		}
		now := time.Now()
		for _, a := range h.list() {
			if a.overdue(now) && a.claim() {
				a.w.log.Error("service ignores the end of its context: it is left to itself", "service", a.t.Service, "run", a.t.Run)
				go a.settle(hard, nil, errIgnored, true) // ends with the drain: see tally
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
			a.settle(hard, nil, ErrStopped, false)
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
