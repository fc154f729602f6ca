package scheduler

import (
	"sync"

	"github.com/bellhop-run/bellhop/kv"
)

// news is what the book has learned and the chronicle has not taken yet: each
// revision once, in order, without its value. It is shut unless somebody records.
// It may have gaps, which the bucket fills: the book passes over what it is not
// shown, and of too much only the end is kept.
type news struct {
	more  chan struct{} // holds one when there is something
	hurry chan struct{} // holds one when somebody has begun to wait for a record

	mu   sync.Mutex
	on   bool
	told []kv.Entry[[]byte]
}

// maxNews bounds what is kept: some seconds of the most that there can be.
const maxNews = 16 << 10

// tell notes a revision. One without a key is known by its number only.
func (n *news) tell(e kv.Entry[[]byte]) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.on {
		return
	}
	if len(n.told) == maxNews {
		n.told, e = n.told[:0], kv.Entry[[]byte]{Revision: e.Revision}
	}
	e.Value = nil
	n.told = append(n.told, e)
	select {
	case n.more <- struct{}{}:
	default:
	}
}

// push says that somebody waits for a record.
func (n *news) push() {
	select {
	case n.hurry <- struct{}{}:
	default:
	}
}

func (n *news) open() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.on, n.told = true, nil
}

func (n *news) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.on, n.told = false, nil
}

func (n *news) size() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.told)
}

// take gives all there is, for what was taken before, which is made use of again.
func (n *news) take(before []kv.Entry[[]byte]) []kv.Entry[[]byte] {
	clear(before)
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.told
	n.told = before[:0]
	return all
}
