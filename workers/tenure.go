package workers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

var errNotOurs = errors.New("somebody else's now")

// tenure is a lease that an attempt has. It is kept by a goroutine of its own,
// until release.
type tenure struct {
	a      *attempt
	bucket *kv.Bucket[lease]
	key    string
	holder string
	beat   time.Duration

	lease    lease
	revision uint64
	sent     time.Time // when the last write was sent that succeeded

	changed chan struct{} // somebody else has written
	pressed atomic.Bool   // the attempt knows that it has to make way
	cancel  context.CancelFunc
	ended   chan struct{}
	lost    bool // known once ended is closed
}

// take writes a lease for an attempt, over what was seen of it; kv.ErrConflict
// when somebody else was faster. It is kept from begin on.
func (a *attempt) take(ctx context.Context, b *kv.Bucket[lease], key string, seen *sight) (*tenure, error) {
	t := &tenure{
		a: a, bucket: b, key: key, holder: rand.Text(), beat: a.beatTime(),
		revision: seen.revision, changed: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	if t.lease = (lease{Run: a.t.Run, Message: a.message()}); !t.seat() {
		t.lease = seen.lease.taken(a.rules.overlap, a.t.Run, a.message())
	}
	t.lease.Holder, t.lease.Worker, t.lease.Beat = t.holder, a.w.o.Name, t.beat.Milliseconds()
	if err := t.write(ctx, t.lease, leaseAge); err != nil {
		return nil, err
	}
	return t, nil
}

// begin has the lease kept.
func (t *tenure) begin() {
	var keeping context.Context
	keeping, t.cancel = context.WithCancel(context.Background())
	go t.keep(keeping)
}

// beatTime is how often an attempt shows that it lives: twice as often as its
// message is kept alive.
func (a *attempt) beatTime() time.Duration {
	every := time.Duration(a.held.every.Load())
	return cmp.Or(every, a.w.o.AckWait/beatsInWait) / 2
}

func (t *tenure) write(ctx context.Context, l lease, ttl time.Duration) error {
	sent := time.Now()
	rev, err := t.bucket.Write(ctx, kv.Change[lease]{Key: t.key, Value: l, Revision: t.revision, TTL: ttl})
	if err == nil {
		t.lease, t.revision, t.sent = l, rev, sent
	}
	return err
}

// keep writes the lease with every beat until ctx is done. When it is lost, or
// could not be written for too long, the attempt is stopped. A process that was
// frozen finds that out before anything else.
func (t *tenure) keep(ctx context.Context) {
	defer close(t.ended)
	var watching sync.WaitGroup
	defer watching.Wait()
	if t.a.rules.overlap == OverlapReplace {
		watching.Go(func() { t.watch(ctx) })
	}
	for wait := t.beat; ; {
		end := t.sent.Add(missedBeats * t.beat)
		timer := time.NewTimer(min(wait, time.Until(end)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-t.changed:
			timer.Stop()
		case <-timer.C:
		}
		var err error
		if time.Now().Before(end) {
			err = t.renew(ctx, end)
		} else {
			err = errNotOurs
		}
		if ctx.Err() != nil {
			return
		}
		wait = t.beat
		switch {
		case errors.Is(err, errNotOurs):
			t.lost = true
			t.a.w.log.Warn("lease lost: the run is stopped", "service", t.a.t.Service, "run", t.a.t.Run, "lease", t.key)
			t.a.stop(ErrLeaseLost)
			<-ctx.Done()
			return
		case err != nil:
			wait = t.beat / 4
		}
	}
}

// renew writes the lease once. What somebody else has written into it is a newer
// run that asks to make way, or means that it is lost.
func (t *tenure) renew(ctx context.Context, end time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	for {
		err := t.write(ctx, t.lease, leaseAge)
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
		if err := t.refresh(ctx); err != nil {
			return err
		}
		if t.lease.Next != nil {
			t.pressed.Store(true)
			t.a.stop(ErrReplaced)
		}
	}
}

// refresh reads the lease; errNotOurs when it is somebody else's.
func (t *tenure) refresh(ctx context.Context) error {
	e, err := t.bucket.Get(ctx, t.key)
	switch {
	case errors.Is(err, kv.ErrNotFound) || e.Err != nil || err == nil && e.Value.Holder != t.holder:
		return errNotOurs
	case err != nil:
		return err
	}
	t.lease, t.revision = e.Value, e.Revision
	return nil
}

// watch tells keep at once when somebody asks to make way.
func (t *tenure) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := t.bucket.Watch(ctx, 0, func(e kv.Entry[lease]) {
			if e.Value.Holder != t.holder || e.Value.Next != nil && !t.pressed.Load() {
				select {
				case t.changed <- struct{}{}:
				default:
				}
			}
		}, func() {}, t.key)
		if err != nil {
			pause(ctx, t.beat) // which keep does not need to know of
		}
	}
}

// seat says whether it is one of a service, not the turn of a job.
func (t *tenure) seat() bool { return strings.HasPrefix(t.key, seatLease) }

// release gives the lease back: for good, or until the run's next attempt; false
// when it was lost before. When it cannot be written somebody else takes it over,
// in time.
func (t *tenure) release(again bool, wait time.Duration) bool {
	t.cancel()
	<-t.ended
	if t.lost {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), ioTimeout)
	defer cancel()
	for {
		next, ttl := lease{}, leaseAge // a seat that is free
		switch {
		case again:
			next, ttl = t.lease, wait+betweenSlack
			next.Holder, next.Worker, next.Beat = "", "", 0
		case !t.seat():
			next = t.lease.after(t.a.rules.overlap)
		}
		err := t.write(ctx, next, ttl)
		if errors.Is(err, kv.ErrConflict) {
			if err = t.refresh(ctx); err == nil {
				continue
			}
		}
		if errors.Is(err, errNotOurs) {
			return false
		}
		if err != nil {
			t.a.w.log.Warn("lease not given back: it is taken over in time", "service", t.a.t.Service, "run", t.a.t.Run, "lease", t.key, "error", err)
		}
		return true
	}
}
