package amqp

import (
	"cmp"
	"slices"
	"sync"
)

// window knows of each delivery that the broker waits for what becomes of it, in
// the order of their tags, which count up:
//
//	3  4  5  6  8
//	✓  ✓  …  ✓  …     3 and 4 are acknowledged as one (multiple), 5 is under way,
//	                  and 6 waits for it; after a while it goes alone
//
// Each delivery is settled once; what comes later, from a ring that was given up
// for example, counts for nothing.
type window struct {
	mu      sync.Mutex
	all     []delivered
	last    uint64
	pending int
	closed  bool
	wake    chan struct{} // told when something is settled
	empty   chan struct{} // closed when it is closed and nothing is pending
}

type delivered struct {
	tag   uint64
	state state
}

type state uint8

const (
	statePending state = iota // under way
	stateAck                  // to be acknowledged
	stateReject               // to be rejected
	stateLeft                 // given up: the broker is told nothing
)

// newWindow makes a window for so many deliveries; the broker keeps to that.
func newWindow(size int) *window {
	return &window{all: make([]delivered, 0, size+1), wake: make(chan struct{}, 1), empty: make(chan struct{})}
}

// add takes a delivery; false when the window is closed, or the tags do not count
// up.
func (w *window) add(tag uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || tag <= w.last {
		return false
	}
	w.all = append(w.all, delivered{tag, statePending})
	w.last = tag
	w.pending++
	return true
}

// settle says what becomes of a delivery; true for the first to say it.
func (w *window) settle(tag uint64, s state) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i, found := slices.BinarySearchFunc(w.all, tag, func(d delivered, tag uint64) int { return cmp.Compare(d.tag, tag) })
	if !found || w.all[i].state != statePending {
		return false
	}
	w.all[i].state = s
	w.pending--
	select {
	case w.wake <- struct{}{}:
	default:
	}
	if w.closed && w.pending == 0 {
		close(w.empty)
	}
	return true
}

// close takes no more; done is closed when nothing is pending.
func (w *window) close() (done <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		if w.pending == 0 {
			close(w.empty)
		}
	}
	return w.empty
}

// abandon gives up what is pending, of which the broker is told nothing, and
// gives how many that are. The others can still be collected.
func (w *window) abandon() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.pending
	for i := range w.all {
		if w.all[i].state == statePending {
			w.all[i].state = stateLeft
		}
	}
	if w.pending > 0 || !w.closed {
		w.pending, w.closed = 0, true
		close(w.empty)
	}
	return n
}

// verdicts are what the broker is to be told: rejects first, or the multiple
// acknowledgement would cover them.
type verdicts struct {
	rejects  []uint64
	multiple uint64 // all up to it; 0: none
	singles  []uint64
}

// collect gives what the broker can be told: what no older delivery stands
// before, and all rejects; with behind, everything.
func (w *window) collect(behind bool) (v verdicts) {
	w.mu.Lock()
	defer w.mu.Unlock()
	prefix, kept := true, w.all[:0]
	for _, d := range w.all {
		switch {
		case d.state == statePending || d.state == stateLeft:
			prefix = false
			kept = append(kept, d)
		case d.state == stateReject:
			v.rejects = append(v.rejects, d.tag)
		case prefix:
			v.multiple = d.tag
		case behind:
			v.singles = append(v.singles, d.tag)
		default:
			kept = append(kept, d)
		}
	}
	w.all = kept
	return v
}
