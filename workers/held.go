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
// ones and running ones, by their place. It keeps their messages alive.
type held struct {
	mu    sync.Mutex
	all   map[string]*attempt
	every atomic.Int64 // time between heartbeats, ns
}

// add refuses what is held already: after NATS was away a message is delivered
// again whose run is still under way here. The acknowledgement of the first
// delivery is as good.
func (h *held) add(a *attempt) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = make(map[string]*attempt)
	}
	if h.all[a.place] != nil {
		return false
	}
	h.all[a.place] = a
	return true
}

// remove comes before the acknowledgement, for what follows on that is new.
func (h *held) remove(a *attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, a.place)
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
			a.settle(hard, nil, errStopped, false)
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
