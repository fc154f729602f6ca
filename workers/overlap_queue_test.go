package workers_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// The runs of a job go one after the other, in their order, over the whole fleet
// and whatever becomes of them; those of other jobs do not wait.
func TestOverlapQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 1)
		onRun, done := watch()
		h.crew(3, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
			if t.Job != "free" {
				defer floor.enter(t.Job, t.Run)()
			}
			time.Sleep(rand.N(10 * time.Second))
			switch {
			case strings.HasSuffix(t.Run, "fails") && t.Attempt == 1:
				return nil, errors.New("bad luck")
			case strings.HasSuffix(t.Run, "dies"):
				return nil, workers.Permanent(errors.New("never"))
			}
			return nil, nil
		})
		const n = 40
		var want []string
		for i := range n {
			run := fmt.Sprintf("%02d", i)
			switch i % 10 {
			case 3:
				run += " fails"
				want = append(want, run)
			case 7:
				run += " dies"
			}
			want = append(want, run)
			h.rung("j", run, "queue")
			if i%5 == 0 {
				h.rung("free", fmt.Sprint("free ", i), "allow")
			}
		}
		began := time.Now()
		for range n / 5 {
			for r := range done {
				if r.Job == "free" {
					break
				}
			}
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("other jobs waited for %s", took)
		}
		for len(floor.runs()) < len(want) {
			<-done
		}
		same(t, "order", floor.runs(), want)
	})
}

// A message that nobody has run yet is not overtaken, wherever it is.
func TestOverlapQueueWaitsForTheLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 1)
		serve := func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
			defer floor.enter(t.Job, fmt.Sprint(t.Run, " ", t.Attempt))()
			select {
			case <-time.After(20 * time.Second):
			case <-ctx.Done():
			}
			return nil, ctx.Err()
		}
		doomed := h.crew(1, workers.Options{Concurrency: 2, DrainTimeout: -1}, workers.ServiceOptions{}, serve)[0]
		for _, run := range []string{"first", "second"} { // which waits there, and has no slot
			h.rung("j", run, "queue")
			synctest.Wait()
		}
		h.rung("k", "other", "allow") // has it: nothing more comes here
		time.Sleep(time.Second)
		onRun, done := watch()
		h.crew(2, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, serve)
		h.rung("j", "third", "queue")
		time.Sleep(time.Second)
		doomed.Close()
		same(t, "ends", ends(take(t, done, 4)), []string{"first ok", "other ok", "second ok", "third ok"})
		order := slices.DeleteFunc(floor.runs(), func(run string) bool { return strings.HasPrefix(run, "other") })
		same(t, "order", order[:3], []string{"first 1", "first 2", "second 2"})
	})
}

// A run whose acknowledgement came after its message was given to another worker does
// not begin there, although the worker dies that has the turn after it.
func TestOverlapQueueDoesNotGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 1)
		onRun, done := watch()
		serve := floor.dance(time.Minute)
		h.crew(1, workers.Options{}, workers.ServiceOptions{}, serve)[0].Close() // has made the consumer
		synctest.Wait()
		consumer, err := h.js.Consumer(t.Context(), "bellhop-triggers", "s")
		ok(t, err)
		state, err := h.js.KeyValue(t.Context(), "bellhop-state")
		ok(t, err)

		h.rung("j", "first", "queue")
		began := time.Now()
		at := func(s time.Duration) { time.Sleep(time.Until(began.Add(s * time.Second))) }
		first, err := consumer.Next() // by a worker that runs it, and is about to be cut off
		ok(t, err)
		doomed := h.crew(1, workers.Options{Concurrency: 2, DrainTimeout: -1}, workers.ServiceOptions{}, serve)[0]
		h.rung("j", "second", "queue") // waits there
		synctest.Wait()
		h.rung("k", "other", "allow") // has its slot: nothing more comes there
		at(24)                        // the last beat of whoever had the first one
		_, err = state.Put(t.Context(), "lease.job.j", []byte(`{"run":"first","message":{"stream":"elsewhere"},"holder":"cut off","beat_ms":5000}`))
		ok(t, err)
		h.crew(1, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, serve)
		at(31) // since a second it is given to this one, too
		ok(t, first.Ack())
		at(37) // since a second the doomed one has the turn
		same(t, "while the second runs", floor.runs(), []string{"other", "second"})
		doomed.Close()
		take(t, done, 2)
		for _, run := range floor.runs() {
			if run == "first" {
				t.Errorf("it begins again: %v", floor.runs())
			}
		}
	})
}

// When a job is given another service while runs wait, those of neither are lost:
// they have turns, but no order.
func TestOverlapQueueOfTwoServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 1)
		onRun, done := watch()
		work := func(service string) {
			h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
				w.HandleFunc(service, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
					defer floor.enter(t.Job, t.Run)()
					time.Sleep(time.Minute)
					return nil, nil
				})
			})
		}
		for _, service := range []string{"before", "after", "before", "after"} {
			h.trigger(service, "", "Bellhop-Job", "j", "Bellhop-Run", service, "Bellhop-Policy", `{"overlap":"queue"}`)
		}
		work("after")
		same(t, "whose service has workers", ends(take(t, done, 2)), []string{"after ok", "after ok"})
		work("before")
		same(t, "whose service had none", ends(take(t, done, 2)), []string{"before ok", "before ok"})
	})
}

// What waits for an older run of its own service does not hold up another's.
func TestOverlapQueueBesideAnotherService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 1)
		onRun, done := watch()
		serve := floor.dance(5 * time.Second)
		ring := func(service, run string) {
			h.trigger(service, "", "Bellhop-Job", "j", "Bellhop-Run", run, "Bellhop-Policy", `{"overlap":"queue"}`)
			synctest.Wait()
		}
		doomed := h.s.Connect()
		h.workerOn(doomed, workers.Options{DrainTimeout: -1}, func(w *workers.Worker) { w.HandleFunc("a", serve) })
		ring("a", "dies")
		doomed.Close()
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("a", serve)
			w.HandleFunc("b", serve)
		})
		ring("a", "waits for it")
		ring("b", "does not")
		take(t, done, 3)
		same(t, "order", floor.runs(), []string{"dies", "does not", "dies", "waits for it"})
	})
}

// What waits in a queue can be cancelled, expire, and be given back.
func TestOverlapQueueLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 1)
		serve := func(_ context.Context, t *workers.Trigger) ([]byte, error) {
			defer floor.enter(t.Job, t.Run)()
			time.Sleep(10 * time.Second)
			return nil, nil
		}
		onRun, done := watch()
		work := func() func() {
			return h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) { w.HandleFunc("s", serve) })
		}
		stop := work()
		for i := range 6 {
			h.rung("j", fmt.Sprint(i), "queue")
		}
		time.Sleep(time.Second)
		h.cancel("1")
		same(t, "at once", ends(take(t, done, 1)), []string{"1 cancelled run cancelled"})
		same(t, "then", ends(take(t, done, 2)), []string{"0 ok", "2 ok"})
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("stopped after %s", took)
		}
		same(t, "let finish", ends(take(t, done, 1)), []string{"3 ok"})
		work()
		same(t, "given back", ends(take(t, done, 2)), []string{"4 ok", "5 ok"})
		same(t, "order", floor.runs(), []string{"0", "2", "3", "4", "5"})
	})
}

// However many wait in a queue behind it, and are held by all workers that there
// are, the one whose turn it is comes through again when it is tried again.
func TestOverlapQueueCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		h.crew(2, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
			if t.Run == "0000" && t.Attempt == 1 {
				time.Sleep(4 * time.Minute) // until both are full
				return nil, errors.New("bad luck")
			}
			return nil, nil
		})
		const all = 600 // more than both take in
		for i := range all {
			h.rung("j", fmt.Sprintf("%04d", i), "queue")
		}
		ended := map[string]int{}
		for len(ended) < all {
			if r := take(t, done, 1)[0]; r.Outcome != "failed" {
				ended[r.Run]++
			}
		}
	})
}
