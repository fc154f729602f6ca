package workers

import (
	"context"
	"sync"
)

// hands are the goroutines that run attempts. One that has nothing to do waits
// for the next attempt, as many as there are slots at most: a new one for each
// run would have to grow its stack each time. One whose service does not return
// is missed by nobody: when its attempt is given up the slot is somebody else's,
// who finds another hand or starts one.
type hands struct {
	work chan *attempt
	rest chan struct{}

	mu    sync.Mutex
	idle  int // waiting, or about to
	most  int
	over  bool
	empty sync.WaitGroup
}

func newHands(most int) *hands {
	return &hands{work: make(chan *attempt), rest: make(chan struct{}), most: most}
}

// start runs an attempt that has a slot, if there is one, and then those that
// get its slot. It does not block.
func (h *hands) start(hard context.Context, a *attempt) {
	if a == nil {
		return
	}
	select {
	case h.work <- a:
	default:
		go h.run(hard, a) // it ends with the drain: see tally
	}
}

func (h *hands) run(hard context.Context, a *attempt) {
	for a != nil {
		for a != nil {
			a = a.run(hard)
		}
		a = h.wait()
	}
}

// wait gives the next attempt, or nil when the hand is not needed any more.
func (h *hands) wait() *attempt {
	if !h.enter() {
		return nil
	}
	defer h.leave()
	select {
	case a := <-h.work:
		return a
	case <-h.rest:
		return nil
	}
}

func (h *hands) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.idle >= h.most {
		return false
	}
	h.idle++
	h.empty.Add(1)
	return true
}

func (h *hands) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle--
	h.empty.Done()
}

// stop sends home who waits, and waits for that.
func (h *hands) stop() {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	close(h.rest)
	h.empty.Wait()
}
