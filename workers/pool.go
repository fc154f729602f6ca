package workers

import (
	"cmp"
	"container/heap"
	"context"
	"sync"
	"time"
)

// pool deals out a worker's slots. An attempt has one from before its service
// is called until it is settled.
//
// A service that runs nothing comes first, before all that run something. Where
// there are as many slots as services it never waits: each of them has a slot
// kept for it, and the others share what is left. Where there are fewer slots
// than services, one is kept for all that run nothing, so that no service alone
// can take them all, and those that wait without running anything are served by
// priority and by how long they wait: a level of priority is worth headStart,
// so that nobody waits for ever. What they leave goes by priority, then to who
// has the fewest running, then to who has waited longest.
//
// What waits for a slot needs no goroutine: whoever frees a slot runs the
// attempt that gets it. To enter and to leave costs the same however many
// services there are; who has to wait costs their logarithm.
type pool struct {
	mu    sync.Mutex
	size  int
	free  int
	all   int   // services
	idle  int   // those that run nothing
	first queue // those of them that wait
	more  queue // waiting ones that run something, and less than their limit
	waits uint64
}

// headStart is how much waiting a level of priority is worth among services
// that run nothing.
const headStart = time.Second

// share is one service's part in a pool.
type share struct {
	limit    int
	priority int
	fleet    int // see ServiceOptions

	running    int
	head, tail *attempt // those that wait, in their order; linked by attempt.behind
	place      time.Time
	since      uint64
	in         *queue
	at         int
}

func newPool(size int, shares ...*share) *pool {
	p := &pool{
		size: size, free: size, all: len(shares), idle: len(shares),
		first: queue{before: func(a, b *share) bool { return a.place.Before(b.place) }},
		more: queue{before: func(a, b *share) bool {
			return cmp.Or(-cmp.Compare(a.priority, b.priority), cmp.Compare(a.running, b.running), cmp.Compare(a.since, b.since)) < 0
		}},
	}
	for _, s := range shares {
		s.limit = min(cmp.Or(s.limit, size), size)
	}
	return p
}

// spare is how many slots are free when so many services keep theirs.
func (p *pool) spare(idle int) int {
	if p.size < p.all {
		idle = min(idle, 1)
	}
	return p.free - idle
}

// open is how many attempts of a service would get a slot now.
func (p *pool) open(s *share) int {
	n := p.spare(p.idle)
	if s.running == 0 {
		n = max(p.spare(p.idle-1), min(p.free, 1))
	}
	return max(0, min(n, s.limit-s.running))
}

// enter gives an attempt a slot, or has it wait for one. Then it is what leave
// returns to somebody, unless it has a turn, which is closed instead.
func (p *pool) enter(a *attempt) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := a.share
	if s.head == nil && p.open(s) > 0 {
		p.take(s)
		return true
	}
	if s.head == nil {
		s.head = a
	} else {
		s.tail.behind = a
	}
	s.tail = a
	if a.lane != nil {
		a.lane.queued++
	}
	if s.head == a {
		p.line(s)
	}
	return false
}

// await waits for a slot; false when ctx is done first.
func (p *pool) await(ctx context.Context, a *attempt) bool {
	a.turn = make(chan struct{})
	if p.enter(a) {
		return true
	}
	select {
	case <-a.turn:
		return true
	case <-ctx.Done():
		gone := p.withdraw(a.share, func(b *attempt) bool { return a == b })
		return len(gone) == 0 // it has just got it
	}
}

// leave frees a slot of s. What it returns has one now, and is to be run.
func (p *pool) leave(s *share) *attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
	if s.running--; s.running == 0 {
		p.idle++
	}
	p.line(s)
	return p.grant()
}

// grant gives a slot to who is next. One that became free never serves more
// than one: if there had been another for somebody, he would have it.
func (p *pool) grant() *attempt {
	var s *share
	switch {
	case p.free > 0 && p.first.Len() > 0:
		s = p.first.all[0]
	case p.spare(p.idle) > 0 && p.more.Len() > 0:
		s = p.more.all[0]
	default:
		return nil
	}
	a := s.head
	s.head, a.behind = a.behind, nil
	p.take(s)
	p.line(s)
	if a.lane != nil {
		a.lane.unqueued()
	}
	if a.turn != nil {
		close(a.turn)
		return nil
	}
	return a
}

func (p *pool) take(s *share) {
	p.free--
	if s.running++; s.running == 1 {
		p.idle--
	}
}

// line puts a service where it now has to wait, at the end of its equals.
func (p *pool) line(s *share) {
	if s.in != nil {
		heap.Remove(s.in, s.at)
	}
	switch {
	case s.head == nil || s.running >= s.limit:
	case s.running == 0:
		s.place = time.Now().Add(-time.Duration(s.priority) * headStart)
		heap.Push(&p.first, s)
	default:
		p.waits++
		s.since = p.waits
		heap.Push(&p.more, s)
	}
}

// withdraw takes those of a service that no longer wait out of the queue.
func (p *pool) withdraw(s *share, which func(*attempt) bool) []*attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	var gone []*attempt
	a := s.head
	s.head, s.tail = nil, nil
	for a != nil {
		next := a.behind
		a.behind = nil
		switch {
		case which(a):
			gone = append(gone, a)
			if a.lane != nil {
				a.lane.unqueued()
			}
		case s.head == nil:
			s.head, s.tail = a, a
		default:
			s.tail.behind, s.tail = a, a
		}
		a = next
	}
	if s.head == nil {
		p.line(s)
	}
	return gone
}

// room is how many attempts of a lane's service would get a slot now, once so
// many of the lane's own wait at most; ok is false while more do, and then the
// lane is told.
func (p *pool) room(l *lane, most int) (n int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.most = most
	return p.open(l.share), l.queued <= most
}

// running is how many slots are taken.
func (p *pool) running() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size - p.free
}

// queue is a heap of services that wait.
type queue struct {
	all    []*share
	before func(a, b *share) bool
}

func (q *queue) Len() int           { return len(q.all) }
func (q *queue) Less(i, j int) bool { return q.before(q.all[i], q.all[j]) }

func (q *queue) Swap(i, j int) {
	q.all[i], q.all[j] = q.all[j], q.all[i]
	q.all[i].at, q.all[j].at = i, j
}

// Push is part of heap.Interface.
func (q *queue) Push(x any) {
	s := x.(*share)
	s.in, s.at = q, len(q.all)
	q.all = append(q.all, s)
}

// Pop is part of heap.Interface.
func (q *queue) Pop() any {
	s := q.all[len(q.all)-1]
	q.all[len(q.all)-1] = nil
	q.all = q.all[:len(q.all)-1]
	s.in = nil
	return s
}
