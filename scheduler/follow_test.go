package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// followed is a follower that watches, and what its view was given. It is in a bubble,
// whose clock a time.Sleep moves on: nobody waits for it.
type followed struct {
	*testing.T
	*follower

	holes bool // there are revisions that are gone

	mu    sync.Mutex
	view  uint64
	given map[uint64]int // how often each revision
	all   []kv.Entry[[]byte]
}

func follow(t *testing.T) *followed {
	f := &followed{T: t, given: map[uint64]int{}}
	f.follower = &follower{
		bucket: newBound(t).jobs.bucket, learn: f.take, seen: f.last,
		logger: slog.New(slog.DiscardHandler), loaded: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = f.run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	<-f.loaded
	return f
}

// take passes over what it has, as the book does. It must not be given anything before
// what comes before that.
func (f *followed) take(es ...kv.Entry[[]byte]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range es {
		if f.given[e.Revision]++; e.Revision <= f.view {
			continue
		}
		if e.Revision != f.view+1 && !f.holes {
			f.Errorf("revision %d is given after %d", e.Revision, f.view)
		}
		f.view, f.all = e.Revision, append(f.all, e)
	}
}

func (f *followed) last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view
}

// changes are n new keys.
func (f *followed) changes(prefix string, n int) []kv.Change[[]byte] {
	cs := make([]kv.Change[[]byte], n)
	for i := range cs {
		cs[i] = kv.Change[[]byte]{Key: fmt.Sprint(prefix, i), Value: fmt.Append(nil, prefix, i), Note: "by " + prefix}
	}
	return cs
}

func (f *followed) put(key string) uint64 {
	f.Helper()
	rev, err := f.bucket.Create(f.Context(), key, []byte("by hand"))
	if err != nil {
		f.Fatal(err)
	}
	return rev
}

// verify compares what was given with what the bucket holds.
func (f *followed) verify() {
	f.Helper()
	var stored []kv.Entry[[]byte]
	if err := f.bucket.Between(f.Context(), 0, f.last()+1, func(e kv.Entry[[]byte]) error {
		stored = append(stored, e)
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	if d := cmp.Diff(stored, f.all); d != "" {
		f.Errorf("the view was given something else than is stored:\n%s", d)
	}
}

// TestBulkWriteIsNotSentBack has the view know of a bulk write when that is done, with
// what somebody else wrote just before; and what comes later by the watch.
func TestBulkWriteIsNotSentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		f.put("before")
		first, err := f.apply(t.Context(), f.changes("a", bulk))
		if err != nil || first != 2 {
			t.Fatalf("written at %d, %v", first, err)
		}
		if got, want := f.last(), uint64(bulk+1); got != want {
			t.Errorf("the view is at %d when the write is done, want %d", got, want)
		}
		time.Sleep(time.Minute)
		if got, want := f.put("after"), uint64(bulk+2); got != want {
			t.Fatalf("put at %d, want %d", got, want)
		}
		synctest.Wait()
		f.verify()
		for rev, n := range f.given {
			if n > 1 && rev > 1 { // the first one may have been under way
				t.Errorf("revision %d was given %d times", rev, n)
			}
		}
	})
}

// TestBulkWriteHasItsTime has a bulk write learned some time after it was stored.
func TestBulkWriteHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		defer f.rest()()
		changes := f.changes("a", bulk)
		changes[7].Delete, changes[7].Value = true, nil // of what is not there: it is a revision all the same
		first, err := f.bucket.Apply(t.Context(), changes)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(restAtMost / 2)
		if err := f.own(t.Context(), first, changes); err != nil {
			t.Fatal(err)
		}
		f.verify()
	})
}

// TestWatchStopsAtOnce has a bulk write begin when the watch is about to.
func TestWatchStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		within, stop := context.WithCancel(t.Context())
		defer stop()
		defer f.rest()()
		f.watching(stop)
		if within.Err() == nil {
			t.Error("the watch goes on")
		}
	})
}

// TestFewChangesAreWatched has the watch go on where few changes are written at once.
func TestFewChangesAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		if _, err := f.apply(t.Context(), f.changes("a", bulk-1)); err != nil {
			t.Fatal(err)
		}
		if f.rests() {
			t.Error("the watch rests")
		}
		synctest.Wait()
		f.verify()
	})
}

// TestWatchDoesNotRestForEver has a bulk write not come to an end.
func TestWatchDoesNotRestForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		end := f.rest()
		synctest.Wait()
		f.put("by-hand")
		time.Sleep(restAtMost - time.Millisecond)
		if got := f.last(); got != 0 {
			t.Fatalf("the view is at %d: the watch has not rested", got)
		}
		time.Sleep(restAfter)
		if got := f.last(); got != 1 {
			t.Errorf("the view is at %d, want 1", got)
		}
		end()
		f.put("again")
		time.Sleep(2 * restAfter)
		f.verify()
	})
}

// TestLostBulkWriteIsWatched has the last of what was written not be found again, for
// it was deleted at once: the watch tells what there is.
func TestLostBulkWriteIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		f.holes = true
		end := f.rest()
		changes := f.changes("a", bulk)
		first, err := f.bucket.Apply(t.Context(), changes)
		if err != nil {
			t.Fatal(err)
		}
		last := first + bulk - 1
		deleted, err := f.bucket.Delete(t.Context(), changes[bulk-1].Key, last)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.own(t.Context(), first, changes); !errors.Is(err, errLag) {
			t.Errorf("own says %v", err)
		}
		if got := f.last(); got != 0 {
			t.Errorf("the view is at %d", got)
		}
		end()
		time.Sleep(2 * restAfter)
		if got := f.last(); got != deleted {
			t.Errorf("the view is at %d, want %d", got, deleted)
		}
	})
}

// TestBulkWritesAndOthers has several write in bulk, a few at a time and by hand, all
// at once.
func TestBulkWritesAndOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(t)
		var wg sync.WaitGroup
		for who := range 6 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(who), 1))
				for i := range 20 {
					name := fmt.Sprint("w", who, "-", i, "-")
					switch {
					case who == 0:
						f.put(name)
					case who == 1:
						if _, err := f.apply(t.Context(), f.changes(name, 2+r.IntN(50))); err != nil {
							t.Error(err)
						}
					default:
						if _, err := f.apply(t.Context(), f.changes(name, bulk+r.IntN(50))); err != nil {
							t.Error(err)
						}
					}
					time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		last, err := f.bucket.Last(t.Context())
		if err != nil || f.last() != last {
			t.Errorf("the view is at %d, the bucket at %d, %v", f.last(), last, err)
		}
		f.verify()
	})
}

// TestChangeWhileTheWatchRests has single changes be confirmed at once.
func TestChangeWhileTheWatchRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := natstest.Start(t)
		s, err := New(srv.Connect(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer wg.Wait()
		defer cancel()
		<-s.Ready()
		defer s.jobs.rest()()
		began := time.Now()
		j := &Job{Name: "j", Service: "s", Schedule: Schedule{Every: Duration(time.Hour)}}
		if _, err := NewClient(srv.Connect(), "").Create(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took >= lagWait { // by the bubble's clock
			t.Errorf("the change was confirmed after %v", took)
		}
	})
}

// TestElsewhere tells what may be tried again, for nothing was done.
func TestElsewhere(t *testing.T) {
	for err, want := range map[error]bool{nats.ErrNoResponders: true, kv.ErrIncomplete: true, kv.ErrConflict: false, nats.ErrTimeout: false} {
		if got := elsewhere(fmt.Errorf("write: %w", err)); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}
