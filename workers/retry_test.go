package workers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tried runs one trigger of a service that fails with fail, and gives the waits
// between its attempts, what each knew of the one before, and the last outcome.
func tried(t *testing.T, policy string, fail func(attempt int) error) (waits []time.Duration, known []string, outcome string) {
	h := newHouse(t)
	onRun, done := watch()
	var last time.Time
	h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
		w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
			if t.Attempt > 1 {
				waits = append(waits, time.Since(last))
			}
			last = time.Now()
			known = append(known, fmt.Sprintf("%d %s", t.Attempt, t.LastError))
			return nil, fail(t.Attempt)
		})
	})
	h.trigger("s", "", "Bellhop-Run", "r", "Bellhop-Policy", policy)
	for {
		var r workers.Run
		select {
		case r = <-done:
		case <-time.After(100 * time.Hour):
			t.Fatal("no more attempts")
		}
		if r.Outcome != workers.OutcomeFailed {
			return waits, known, r.Outcome
		}
	}
}

func TestRetryAfter(t *testing.T) {
	bad := errors.New("bad luck")
	const policy = `{"retry":{"attempts":3,"backoff":"1m","max_backoff":"2m"}}`
	for _, tt := range []struct {
		name  string
		err   error
		waits []time.Duration
	}{
		{"exactly", workers.RetryAfter(bad, 7*time.Second), []time.Duration{7 * time.Second, 7 * time.Second}},
		{"past the policy's bound", workers.RetryAfter(bad, 3*time.Hour), []time.Duration{3 * time.Hour, 3 * time.Hour}},
		{"past ours", workers.RetryAfter(bad, 9*24*time.Hour), []time.Duration{24 * time.Hour, 24 * time.Hour}},
		{"at once", workers.RetryAfter(bad, 0), []time.Duration{0, 0}},
		{"in the past", workers.RetryAfter(bad, -time.Hour), []time.Duration{0, 0}},
		{"wrapped", fmt.Errorf("ask: %w", errors.Join(bad, workers.RetryAfter(bad, time.Second))), []time.Duration{time.Second, time.Second}},
		{"the outer one counts", workers.RetryAfter(fmt.Errorf("ask: %w", workers.RetryAfter(bad, time.Hour)), time.Second), []time.Duration{time.Second, time.Second}},
		{"permanent inside", workers.RetryAfter(workers.Permanent(bad), time.Second), nil},
		{"permanent outside", workers.Permanent(workers.RetryAfter(bad, time.Second)), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				waits, known, outcome := tried(t, policy, func(int) error { return tt.err })
				for i, d := range waits { // what NATS takes is no wait
					waits[i] = d.Round(10 * time.Millisecond)
					if d < waits[i] {
						t.Errorf("%s is early", d)
					}
				}
				if d := cmp.Diff(tt.waits, waits); d != "" {
					t.Error(d)
				}
				equal(t, "outcome", outcome, "dead")
				for i, k := range known {
					want := fmt.Sprintf("%d ", i+1)
					if i > 0 {
						want += tt.err.Error()
					}
					equal(t, "attempt and last error", k, want)
				}
			})
		})
	}
	if workers.RetryAfter(nil, time.Second) != nil || workers.Permanent(nil) != nil {
		t.Error("an error is made of none")
	}
	if err := workers.RetryAfter(workers.Permanent(bad), time.Second); !errors.Is(err, bad) || err.Error() != "bad luck" || !workers.IsPermanent(err) {
		t.Errorf("the error itself is lost: %v", err)
	}
}

// One error that says when does not change the waits after others.
func TestRetryAfterOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits, _, outcome := tried(t, `{"retry":{"attempts":4,"backoff":"10s","max_backoff":"30s"}}`, func(attempt int) error {
			switch attempt {
			case 2:
				return workers.RetryAfter(errors.New("busy"), time.Second)
			case 4:
				return nil
			}
			return errors.New("bad luck")
		})
		equal(t, "outcome", outcome, "ok")
		equal(t, "waits", len(waits), 3)
		bounds := [][2]time.Duration{{5 * time.Second, 10 * time.Second}, {time.Second, time.Second}, {15 * time.Second, 30 * time.Second}}
		for i, d := range waits {
			if d < bounds[i][0] || d > bounds[i][1]+10*time.Millisecond {
				t.Errorf("wait %d is %s, want %s to %s", i+1, d, bounds[i][0], bounds[i][1])
			}
		}
	})
}

// The waits grow from the backoff to its bound, never beyond, with at most half
// of it taken off by chance; and what failed together comes back apart.
func TestBackoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "backoff"))
		most := time.Duration(rapid.Int64Range(int64(base), int64(24*time.Hour)).Draw(t, "max"))
		attempt := rapid.IntRange(1, 1000).Draw(t, "attempt")
		full := base
		for range attempt - 1 {
			if full = min(2*full, most); full == most {
				break
			}
		}
		seen := map[time.Duration]bool{}
		for range 20 {
			d := workers.Backoff(base, most, attempt)
			if d > full || d < full-full/2-1 || d < 0 {
				t.Fatalf("attempt %d with %s to %s waits %s, not %s to %s", attempt, base, most, d, full/2, full)
			}
			seen[d] = true
		}
		if full > time.Millisecond && len(seen) < 2 {
			t.Fatalf("always %s", full)
		}
	})
}

// The error of the attempt before is known without any history.
func TestTheLastErrorNeedsNoHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, known, outcome := tried(t, `{"retry":{"attempts":3},"history":"none"}`, func(attempt int) error {
			return fmt.Errorf("bad luck %d", attempt)
		})
		equal(t, "outcome", outcome, "dead")
		if d := cmp.Diff([]string{"1 ", "2 bad luck 1", "3 bad luck 2"}, known); d != "" {
			t.Error(d)
		}
	})
}

// What a stopping worker gives back has lost no attempt, whether it was begun
// or waited; and what is known of a trigger goes with it.
func TestGivenBackIsNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		begun := make(chan string, 9)
		stop := h.worker(workers.Options{Concurrency: 1, DrainTimeout: -1}, func(w *workers.Worker) {
			w.HandleFunc("s", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
				begun <- t.Run
				if t.Run != "quick" {
					<-ctx.Done()
				}
				return nil, context.Cause(ctx)
			})
		})
		for _, run := range []string{"quick", "begun", "waiting"} {
			h.trigger("s", "", "Bellhop-Run", run)
		}
		take(t, begun, 2)
		synctest.Wait()
		stop()
		attempts := make(chan string, 9)
		onRun, done := watch()
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				attempts <- fmt.Sprintf("%s %d %s", t.Run, t.Attempt, t.LastError)
				return nil, nil
			})
		})
		got := take(t, attempts, 2)
		slices.Sort(got)
		if d := cmp.Diff([]string{"begun 1 ", "waiting 1 "}, got); d != "" {
			t.Error(d)
		}
		equal(t, "outcomes", outcomes(take(t, done, 2)), "ok ok")
		synctest.Wait()
		known, err := h.js.KeyValue(t.Context(), "bellhop-state")
		ok(t, err)
		keys, err := known.ListKeysFiltered(t.Context(), "try.>")
		ok(t, err)
		for key := range keys.Keys() {
			t.Error("left over:", key)
		}
	})
}
