package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options are an index's settings; the zero value is every default.
type Options struct {
	// Logger is where the index tells of its trouble with NATS; nil means nowhere.
	Logger *slog.Logger
}

// Index is a view of the jobs and the recent runs of one namespace. It is safe
// for concurrent use. See Run.
type Index struct {
	nc     *nats.Conn
	ns     workers.Namespace
	logger *slog.Logger

	loaded, recent signal // the jobs of the beginning, and the runs, are known

	mu          sync.Mutex // guards what follows, and orders' pending
	jobs        map[string]*entry
	counts      Counts
	tape        tape
	strays      map[string][]mark // of jobs that are not known, maybe not yet
	subscribers map[*subscriber]struct{}

	orders map[string]*order
	dues   dues
}

// signal is given once.
type signal struct {
	once sync.Once
	ch   chan struct{}
}

func (s *signal) give() { s.once.Do(func() { close(s.ch) }) }

// New makes an index on the connection, which stays the caller's. It should
// never give up (MaxReconnects(-1)).
func New(nc *nats.Conn, ns workers.Namespace, o Options) *Index {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Index{
		nc: nc, ns: ns, logger: o.Logger,
		loaded: signal{ch: make(chan struct{})}, recent: signal{ch: make(chan struct{})},
		jobs: map[string]*entry{}, counts: Counts{Reasons: map[string]int{}, Services: map[string]int{}},
		strays: map[string][]mark{}, subscribers: map[*subscriber]struct{}{},
		orders: newOrders(), dues: dues{known: map[dueQuestion]dueAnswer{}},
	}
}

// retryWait is between attempts at what NATS did not let happen, more or less
// by half: many indexes lose the same server at once.
const retryWait = 500 * time.Millisecond

// Run follows the jobs and the runs until ctx ends, and then returns nil. While
// NATS is away, or nothing is set up there yet, it tries again; what is known
// goes on being answered.
func (x *Index) Run(ctx context.Context) error {
	js, err := jetstream.New(x.nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		x.again(ctx, "jobs", func() error {
			return whileSame(ctx, js, "KV_"+x.ns.JobsBucket(), func(ctx context.Context) error { return x.followJobs(ctx, js) })
		})
	})
	wg.Go(func() {
		x.again(ctx, "runs", func() error {
			return whileSame(ctx, js, x.ns.RunsStream(), func(ctx context.Context) error { return x.followRuns(ctx, js) })
		})
	})
	wg.Wait()
	return nil
}

// again does it until ctx ends.
func (x *Index) again(ctx context.Context, what string, do func() error) {
	told, at := "", time.Time{}
	for {
		err := do()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errEnded
		}
		if text := err.Error(); text != told || time.Since(at) >= time.Minute { // not twice a second
			x.logger.Warn("following again", "what", what, "error", err)
			told, at = text, time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryWait/2 + rand.N(retryWait)):
		}
	}
}

var errEnded = errors.New("it has ended by itself")

// Ready waits until the jobs that were there at the start, and the recent runs,
// are known.
func (x *Index) Ready(ctx context.Context) error {
	for _, s := range []*signal{&x.loaded, &x.recent} {
		select {
		case <-s.ch:
		case <-ctx.Done():
			return fmt.Errorf("wait for the index: %w", context.Cause(ctx))
		}
	}
	return nil
}

// followJobs begins with every key's last revision each time: a deletion's
// marker may be gone, or the bucket another one of the same name.
func (x *Index) followJobs(ctx context.Context, js jetstream.JetStream) error {
	bucket, err := kv.Open[[]byte](ctx, js, x.ns.JobsBucket())
	if err != nil {
		return err
	}
	there := map[string]struct{}{} // nil once all have been given
	err = bucket.Watch(ctx, 0, func(e kv.Entry[[]byte]) {
		if there != nil && !e.Deleted {
			there[e.Key] = struct{}{}
		}
		x.learn(e)
	}, func() {
		x.keep(there)
		there = nil
		x.loaded.give()
	})
	return err
}

// learn takes one revision.
func (x *Index) learn(e kv.Entry[[]byte]) {
	if e.Deleted {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.set(e.Key, nil)
		return
	}
	x.mu.Lock()
	old := x.jobs[e.Key]
	x.mu.Unlock()
	if old != nil && old.revision == e.Revision && old.changed == e.Created.UnixNano() {
		return // the watch has begun anew
	}
	fresh := readEntry(e) // outside the lock: it costs microseconds
	x.mu.Lock()
	defer x.mu.Unlock()
	x.set(fresh.key, fresh)
}

// keep drops the jobs that are not there any more.
func (x *Index) keep(there map[string]struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for key := range x.jobs {
		if _, ok := there[key]; !ok {
			x.set(key, nil)
		}
	}
}

// set puts an entry in its predecessor's place, or ends the job with nil. The
// caller holds the lock.
func (x *Index) set(key string, fresh *entry) {
	old := x.jobs[key]
	if old == fresh {
		return
	}
	if old != nil {
		x.counts.add(old, -1)
		key = old.key // not one that holds a whole message in memory
	}
	if fresh != nil {
		x.counts.add(fresh, 1)
		fresh.adopt(x.marksOf(key))
		delete(x.strays, key)
		x.jobs[fresh.key] = fresh
	} else {
		x.stray(key, old.marks())
		delete(x.jobs, key)
	}
	for _, o := range x.orders {
		o.note(key, old, len(x.jobs))
	}
	x.tell(Event{Jobs: true})
}
