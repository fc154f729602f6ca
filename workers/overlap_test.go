package workers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// rung triggers a run of a job with an overlap policy.
func (h *house) rung(job, run, overlap string) {
	h.t.Helper()
	h.trigger("s", "", "Bellhop-Job", job, "Bellhop-Run", run, "Bellhop-Policy", fmt.Sprintf(`{"overlap":%q,"retry":{"attempts":2,"backoff":"1m","max_backoff":"1m"}}`, overlap))
}

// crew starts n workers of service s, each on a connection of its own.
func (h *house) crew(n int, o workers.Options, s workers.ServiceOptions, f workers.ServiceFunc) []*nats.Conn {
	h.t.Helper()
	var all []*nats.Conn
	for range n {
		nc := h.s.Connect()
		all = append(all, nc)
		h.workerOn(nc, o, func(w *workers.Worker) { w.HandleWith("s", f, s) })
	}
	synctest.Wait()
	return all
}

// ends gives how runs ended, by id and in the order of ids.
func ends(all []workers.Run) []string {
	var s []string
	for _, r := range all {
		s = append(s, strings.TrimSpace(r.Run+" "+r.Outcome+" "+r.Error))
	}
	slices.Sort(s)
	return s
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestOverlapSkip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 1)
		onRun, done := watch()
		h.crew(3, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
			defer floor.enter(t.Job, t.Run)()
			time.Sleep(3 * time.Minute)
			if t.Run == "first" && t.Attempt == 1 {
				return nil, errors.New("bad luck")
			}
			return nil, nil
		})
		h.rung("j", "first", "skip")
		time.Sleep(time.Second)
		began := time.Now()
		h.rung("j", "while it runs", "skip")
		h.rung("k", "another job", "skip")
		same(t, "while it runs", ends(take(t, done, 1)), []string{"while it runs skipped a run of the same job was under way"})
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("skipped after %s", took)
		}
		same(t, "then", ends(take(t, done, 2)), []string{"another job ok", "first failed bad luck"})
		h.rung("j", "between attempts", "skip")
		same(t, "between attempts", ends(take(t, done, 1)), []string{"between attempts skipped a run of the same job was under way"})
		same(t, "second attempt", ends(take(t, done, 1)), []string{"first ok"})
		synctest.Wait() // until that is settled
		h.rung("j", "after it", "skip")
		same(t, "after it", ends(take(t, done, 1)), []string{"after it ok"})
		for _, r := range h.records() {
			if r.Outcome == "skipped" && !r.Started.IsZero() {
				t.Errorf("%s was started", r.Run)
			}
		}
	})
}

func TestOverlapReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 1)
		onRun, done := watch()
		h.crew(3, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
			defer floor.enter(t.Job, t.Run)()
			switch t.Run {
			case "fails", "fails again":
				return nil, errors.New("bad luck")
			case "quick":
				return nil, nil
			}
			select {
			case <-time.After(time.Minute):
				return nil, nil
			case <-ctx.Done():
				time.Sleep(3 * time.Second) // it needs some time to end
				return nil, context.Cause(ctx)
			}
		})
		h.rung("j", "1", "replace")
		time.Sleep(30 * time.Second)
		began := time.Now()
		h.rung("j", "2", "replace")
		same(t, "replaced", ends(take(t, done, 1)), []string{"1 cancelled run replaced by a newer one"})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("replaced after %s", took)
		}
		time.Sleep(time.Second)
		for _, run := range []string{"3", "4", "5", "6"} {
			h.rung("j", run, "replace")
		}
		all := take(t, done, 5)
		for _, e := range ends(all)[:4] {
			if !strings.HasSuffix(e, "cancelled run replaced by a newer one") {
				t.Error(e)
			}
		}
		equal(t, "the last", ends(all)[4], "6 ok")

		h.rung("j", "fails", "replace") // and returns after a minute
		take(t, done, 1)
		h.rung("j", "newer", "replace")
		same(t, "older", ends(take(t, done, 2)), []string{"fails cancelled run replaced by a newer one", "newer ok"})

		h.rung("j", "fails again", "replace")
		take(t, done, 1)
		h.rung("j", "quick", "replace") // and ends before the older one returns
		same(t, "quick", ends(take(t, done, 1)), []string{"quick ok"})
		same(t, "older", ends(take(t, done, 1)), []string{"fails again cancelled run replaced by a newer one"})
	})
}

// Both streams, and policies that changed meanwhile, share the turn of a job.
func TestOverlapAcrossStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 1)
		onRun, done := watch()
		h.crew(2, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
			defer floor.enter(t.Job, t.Run)()
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
			}
			return nil, context.Cause(ctx)
		})
		ring := func(run, overlap string) {
			m := nats.NewMsg("bellhop.ring.cli.s")
			m.Header = nats.Header{"Bellhop-Job": {"j"}, "Bellhop-Run": {run}, "Bellhop-Policy": {fmt.Sprintf(`{"overlap":%q}`, overlap)}}
			_, err := h.js.PublishMsg(t.Context(), m)
			ok(t, err)
			time.Sleep(time.Second)
		}
		h.rung("j", "trigger", "skip")
		time.Sleep(time.Second)
		ring("skips", "skip")
		ring("waits", "queue")
		same(t, "skipped", ends(take(t, done, 1)), []string{"skips skipped a run of the same job was under way"})
		same(t, "then", ends(take(t, done, 2)), []string{"trigger ok", "waits ok"})
		ring("one", "queue")
		h.rung("j", "two", "replace")
		same(t, "replaced", ends(take(t, done, 2)), []string{"one cancelled run replaced by a newer one", "two ok"})
	})
}

// A worker that dies loses its job's turn after its missed beats: to its own run
// that is delivered again, or to who comes first.
func TestOverlapOfTheDead(t *testing.T) {
	for _, overlap := range []string{"skip", "queue", "replace"} {
		t.Run(overlap, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				floor := newDancefloor(t, 1)
				doomed := h.crew(1, workers.Options{DrainTimeout: -1}, workers.ServiceOptions{}, func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
					defer floor.enter(t.Job, t.Run)()
					<-ctx.Done()
					return nil, ctx.Err()
				})[0]
				h.rung("j", "first", overlap)
				time.Sleep(time.Minute)
				onRun, done := watch()
				h.crew(2, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
					defer floor.enter(t.Job, t.Run)()
					return nil, nil
				})
				doomed.Close()
				died := time.Now()
				r := take(t, done, 1)[0]
				equal(t, "run", fmt.Sprint(r.Run, " ", r.Outcome, " ", r.Attempt), "first ok 2")
				if waited := time.Since(died); waited > 50*time.Second {
					t.Errorf("taken over after %s", waited)
				}
			})
		})
	}
}

// A message that was deleted while its run was under way, by a worker that died
// then, blocks nobody for long.
func TestOverlapOfTheVanished(t *testing.T) {
	for _, overlap := range []string{"skip", "queue", "replace"} {
		t.Run(overlap, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				doomed := h.crew(1, workers.Options{DrainTimeout: -1}, workers.ServiceOptions{}, func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				})[0]
				h.rung("j", "first", overlap)
				time.Sleep(time.Second)
				doomed.Close()
				s, err := h.js.Stream(t.Context(), "bellhop-triggers")
				ok(t, err)
				ok(t, s.Purge(t.Context()))
				time.Sleep(time.Minute)
				onRun, done := watch()
				h.crew(1, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, serveNothing)
				h.rung("j", "second", overlap)
				r := take(t, done, 1)[0]
				equal(t, "run", r.Run+" "+r.Outcome, "second ok")
			})
		})
	}
}

// The fleet has no more runs of a service than its limit, direct calls among
// them, and uses all of it, also after workers have died.
func TestFleetLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 3)
		onRun, done := watch()
		seats := workers.ServiceOptions{Fleet: 3}
		serve := func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
			defer floor.enter("s", t.Run)()
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return nil, ctx.Err()
		}
		all := h.crew(4, workers.Options{OnRun: onRun, DrainTimeout: -1}, seats, serve)
		const n = 60
		for i := range n {
			h.trigger("s", "", "Bellhop-Run", fmt.Sprint("t", i))
			if i%6 == 0 {
				ok(t, h.nc.Publish("bellhop.call.s", nil))
			}
		}
		began := time.Now()
		take(t, done, 40)
		all[0].Close() // with what it has
		all[1].Close()
		finished := map[string]bool{}
		for r := range done {
			if finished[r.Run] = true; len(finished) > 25 {
				break
			}
		}
		floor.mu.Lock()
		equal(t, "at the same time", floor.highest, 3)
		floor.mu.Unlock()
		if took := time.Since(began); took > 3*time.Minute {
			t.Errorf("all took %s", took)
		}
		time.Sleep(10 * time.Minute) // until those come again whose workers died
		state, err := h.js.KeyValue(t.Context(), "bellhop-state")
		ok(t, err)
		for seat := range 3 {
			e, err := state.Get(t.Context(), fmt.Sprint("lease.seat.s.", seat))
			ok(t, err)
			if strings.Contains(string(e.Value()), "ended") {
				t.Errorf("seat %d remembers who has had it: %s", seat, e.Value())
			}
		}
	})
}

// A run that is cancelled while it waits for another attempt leaves its turn to
// the next one.
func TestOverlapCancelledBetween(t *testing.T) {
	for _, overlap := range []string{"skip", "queue", "replace"} {
		t.Run(overlap, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				onRun, done := watch()
				h.crew(2, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
					if t.Run == "first" {
						return nil, errors.New("bad luck")
					}
					return nil, nil
				})
				h.rung("j", "first", overlap)
				same(t, "attempt", ends(take(t, done, 1)), []string{"first failed bad luck"})
				outcome, err := workers.Cancel(t.Context(), h.js, "", "first")
				ok(t, err)
				equal(t, "ended before", outcome, "")
				same(t, "cancelled", ends(take(t, done, 1)), []string{"first cancelled run cancelled"})
				synctest.Wait() // until that is settled
				began := time.Now()
				h.rung("j", "second", overlap)
				same(t, "next", ends(take(t, done, 1)), []string{"second ok"})
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it waited for %s", took)
				}
			})
		})
	}
}
