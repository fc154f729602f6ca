package workers

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

// lines are where a worker's attempts wait for leases.
type lines struct {
	w   *Worker
	mu  sync.Mutex
	all map[string]*line
}

// line is where attempts wait for one lease, or for one of several that are as
// good. It has a goroutine as long as somebody is in it, which alone decides.
//
// Who finds the lease free has it after one read and one write. Only when
// somebody has to wait, the entries are watched.
type line struct {
	w     *Worker
	name  string
	seats int // 0: the lease of a job

	waiting []*candidate // the oldest first; lines.mu
	pokes   chan struct{}
	mu      sync.Mutex
	seen    map[string]*sight // by key
	watched bool              // seen is kept up to date
	retry   time.Time         // when to look at the latest
}

// candidate is an attempt in a line.
type candidate struct {
	a       *attempt
	ctx     context.Context
	message message
	answer  chan error
}

// wait has an attempt wait in a line. An error is how the attempt ends; ctx's
// cause when that is done first.
func (ls *lines) wait(ctx context.Context, a *attempt, name string, seats int) error {
	c := &candidate{a: a, ctx: ctx, message: a.message(), answer: make(chan error, 1)}
	ls.mu.Lock()
	l := ls.all[name]
	if l == nil {
		l = &line{w: ls.w, name: name, seats: seats, pokes: make(chan struct{}, 1), seen: make(map[string]*sight)}
		if ls.all == nil {
			ls.all = make(map[string]*line)
		}
		ls.all[name] = l
		go l.run()
	}
	at, _ := slices.BinarySearchFunc(l.waiting, c, func(b, c *candidate) int {
		if b.message.before(&c.message) {
			return -1
		}
		return 1
	})
	l.waiting = slices.Insert(l.waiting, at, c)
	ls.mu.Unlock()
	a.line.Store(l)
	defer a.line.Store(nil)
	defer context.AfterFunc(ctx, l.poke)()
	l.poke()
	return <-c.answer
}

func (l *line) poke() {
	select {
	case l.pokes <- struct{}{}:
	default:
	}
}

// list gives who waits, without those that need not any more; none when the line
// has ended.
func (l *line) list() []*candidate {
	ls := &l.w.lines
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(c *candidate) bool {
		err := c.a.stopped()
		if err == nil && c.ctx.Err() != nil {
			err = context.Cause(c.ctx)
		}
		if err == nil && c.a.crowded.Load() {
			err = errCrowd
		}
		if err == nil {
			return false
		}
		c.answer <- err
		return true
	})
	if len(l.waiting) == 0 {
		delete(ls.all, l.name)
	}
	return slices.Clone(l.waiting)
}

// tell answers somebody, who leaves.
func (l *line) tell(c *candidate, err error) {
	l.w.lines.mu.Lock()
	defer l.w.lines.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(d *candidate) bool { return c == d })
	c.answer <- err
}

// run decides until nobody waits.
func (l *line) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	for {
		all := l.list()
		if len(all) == 0 {
			return
		}
		l.retry = time.Now().Add(l.w.o.AckWait / 3)
		if err := l.look(ctx, all); err != nil {
			l.w.log.Warn("runs wait: it is not known who may run", "lease", l.name, "error", err)
			l.again(time.Now().Add(time.Second))
		}
		if all = l.list(); len(all) == 0 {
			return
		}
		if !l.watched {
			l.watched = true
			watching.Go(func() { l.watch(ctx) })
		}
		t := time.NewTimer(time.Until(l.retry))
		select {
		case <-l.pokes:
		case <-t.C:
			l.forgetIdle()
		}
		t.Stop()
	}
}

// again has the line look at a time to come at the latest.
func (l *line) again(at time.Time) {
	if at.Before(l.retry) && at.After(time.Now()) {
		l.retry = at
	}
}

// watch keeps what was seen up to date.
func (l *line) watch(ctx context.Context) {
	keys := l.name
	if l.seats > 0 {
		keys += ".*"
	}
	for ctx.Err() == nil {
		b, err := l.w.leases.open(ctx)
		if err == nil {
			err = b.Watch(ctx, 0, l.see, l.poke, keys)
		}
		if err != nil {
			pause(ctx, time.Second)
		}
	}
}

// see takes note of an entry as it is now.
func (l *line) see(e kv.Entry[lease]) {
	l.mu.Lock()
	s := l.seen[e.Key]
	if s == nil {
		s = new(sight)
		l.seen[e.Key] = s
	}
	if e.Err != nil {
		l.w.log.Warn("lease not understood: it is taken for free", "lease", e.Key, "error", e.Err)
	}
	s.see(e.Value, e.Revision, e.Created)
	l.mu.Unlock()
	l.poke()
}

// sight gives what is known of a key; it is read if nothing is.
func (l *line) sight(ctx context.Context, b *kv.Bucket[lease], key string) (sight, error) {
	l.mu.Lock()
	s := l.seen[key]
	l.mu.Unlock()
	if s == nil {
		if err := l.read(ctx, b, key); err != nil {
			return sight{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return *l.seen[key], nil
}

// read takes note of what the bucket has.
func (l *line) read(ctx context.Context, b *kv.Bucket[lease], key string) error {
	e, err := b.Get(ctx, key)
	if err != nil && !errors.Is(err, kv.ErrNotFound) && e.Err == nil {
		return err
	}
	l.mu.Lock()
	delete(l.seen, key) // an entry that has expired has no revision
	l.mu.Unlock()
	l.see(e)
	return nil
}

// look decides who of those that wait need not wait any more.
func (l *line) look(ctx context.Context, all []*candidate) error {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	b, err := l.w.leases.open(ctx)
	if err != nil {
		return err
	}
	if l.seats > 0 {
		return l.seat(ctx, b, all)
	}
	return l.turn(ctx, b, all)
}

// turn decides about the lease of a job.
func (l *line) turn(ctx context.Context, b *kv.Bucket[lease], all []*candidate) error {
	behind := make(map[[2]string]bool) // of a queue, somebody older is to be next
	for _, c := range all {
		s, err := l.sight(ctx, b, l.name)
		if err != nil {
			return err
		}
		overlap := c.a.rules.overlap
		queued := overlap == OverlapQueue
		queue := [2]string{c.message.Stream, c.message.Service}
		if queued && behind[queue] {
			continue
		}
		behind[queue] = behind[queue] || queued
		stale, at := s.stale()
		l.again(at)
		v := s.lease.judge(overlap, &c.message, stale, s.alive())
		if v == takes && queued {
			first, err := c.first(ctx, &s.lease)
			if err != nil {
				return err
			}
			if !first {
				v = waits
			}
		}
		switch v {
		case takes:
			err = l.take(ctx, b, c, l.name, s)
		case skips:
			l.tell(c, errSkipped)
		case yields:
			c.a.stop(ErrReplaced)
			l.tell(c, ErrReplaced)
		case leaves:
			l.tell(c, errOver)
		case presses:
			err = l.press(ctx, b, c, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// seat gives out the seats that are free.
func (l *line) seat(ctx context.Context, b *kv.Bucket[lease], all []*candidate) error {
	const probes = 3 // before they are watched
	first, looked := rand.IntN(l.seats), 0
	for i := range l.seats {
		if len(all) == 0 || !l.watched && looked == probes {
			return nil
		}
		key := l.name + "." + strconv.Itoa((first+i)%l.seats)
		s, err := l.sight(ctx, b, key)
		if err != nil {
			return err
		}
		looked++
		stale, at := s.stale()
		if s.lease.Run != "" && !stale {
			l.again(at)
			continue
		}
		if err := l.take(ctx, b, all[0], key, s); err != nil {
			return err
		}
		all = all[1:]
	}
	return nil
}

// take gives a lease to a candidate. When somebody else was faster, the line
// looks again at once.
func (l *line) take(ctx context.Context, b *kv.Bucket[lease], c *candidate, key string, s sight) error {
	t, err := c.a.take(ctx, b, key, &s)
	if errors.Is(err, kv.ErrConflict) {
		return l.read(ctx, b, key)
	}
	if err != nil {
		l.forget(key) // it may have been written all the same
		return err
	}
	c.a.tenures = append(c.a.tenures, t)
	l.mu.Lock()
	l.seen[key] = &sight{t.lease, t.revision, t.sent, true}
	l.mu.Unlock()
	t.begin()
	l.tell(c, nil)
	return nil
}

func (l *line) forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, key)
}

// forgetIdle has the entries read again that nobody holds: the server says
// nothing when one expires.
func (l *line) forgetIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.seen, func(_ string, s *sight) bool { return s.lease.Holder == "" })
}

// press asks the holder of a job's lease to make way.
func (l *line) press(ctx context.Context, b *kv.Bucket[lease], c *candidate, s sight) error {
	next := s.lease
	next.Next = &c.message
	rev, err := b.Write(ctx, kv.Change[lease]{Key: l.name, Value: next, Revision: s.revision, TTL: leaseAge})
	if errors.Is(err, kv.ErrConflict) {
		return l.read(ctx, b, l.name)
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[l.name] = &sight{next, rev, s.since, s.written} // no beat of the holder's
	return nil
}
