package scheduler

import (
	"context"
	"sync"
)

// promises is where callers wait until the log confirms their change: until a
// hand with its revision, or a later one, is acknowledged. Others are of records:
// kept once that of the revision is written.
type promises struct {
	mu      sync.Mutex
	kept    uint64 // the revision that the log has confirmed
	wanted  uint64 // the latest that somebody waits for
	leading bool
	changed chan struct{} // closed, and made anew, at every change
	wake    func()        // tells the leader's loop that somebody waits
}

func newPromises(wake func()) *promises {
	return &promises{changed: make(chan struct{}), wake: wake}
}

// keep notes that a hand with this revision is acknowledged.
func (p *promises) keep(revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if revision > p.kept {
		p.kept = revision
		p.tell()
	}
}

// lead notes whether this scheduler leads: while it does not, nobody waits.
func (p *promises) lead(leading bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leading = leading
	p.tell()
}

func (p *promises) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// asked tells whether somebody waits for a revision past the given one.
func (p *promises) asked(past uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted > past
}

// wait returns nil once the log has confirmed the revision, errLost when this
// scheduler has stopped leading before that, or ctx's error.
func (p *promises) wait(ctx context.Context, revision uint64) error {
	for {
		p.mu.Lock()
		kept, leading, changed := p.kept, p.leading, p.changed
		first := revision > p.wanted
		p.wanted = max(p.wanted, revision)
		p.mu.Unlock()
		if first && kept < revision {
			p.wake()
		}
		switch {
		case kept >= revision:
			return nil
		case !leading:
			return errLost
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
