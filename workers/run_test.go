package workers_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

func TestAPlainMessageJustWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		stop := h.worker(workers.Options{Name: "w1", OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("a.b", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				return fmt.Appendf(nil, "%s %s %d %q", t.Run, t.Service, t.Attempt, t.Payload), nil
			})
		})
		h.trigger("a.b", "hello")
		got := take(t, done, 1)[0]
		stop()
		now := time.Now()
		want := workers.Run{
			Run: "bellhop-triggers:1", Service: "a.b", Attempt: 1, Outcome: "ok", Worker: "w1",
			Output:  `bellhop-triggers:1 a.b 1 "hello"`,
			Started: got.Started, Finished: got.Finished,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]workers.Run{want}, h.records()); d != "" {
			t.Error(d)
		}
		equal(t, "too late", got.Started.After(now), false)
		info := h.consumer("bellhop-triggers", "a=2Eb")
		equal(t, "pending acks", info.NumAckPending, 0)
		equal(t, "ack floor", info.AckFloor.Stream, 1)
	})
}

func TestRetriesUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		var seen []string
		stop := h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				seen = append(seen, fmt.Sprintf("%s %d %q", t.Run, t.Attempt, t.LastError))
				if t.Attempt < 4 {
					return nil, fmt.Errorf("no %d", t.Attempt)
				}
				return nil, nil
			})
		})
		h.trigger("s", "x", "Bellhop-Run", "j@1", "Bellhop-Job", "j",
			"Bellhop-Policy", `{"retry":{"attempts":4,"backoff":"10s","max_backoff":"15s"}}`)
		runs := take(t, done, 4)
		stop()
		equal(t, "outcomes", outcomes(runs), "failed failed failed ok")
		if d := cmp.Diff([]string{`j@1 1 ""`, `j@1 2 "no 1"`, `j@1 3 "no 2"`, `j@1 4 "no 3"`}, seen); d != "" {
			t.Error(d)
		}
		for i, most := range []time.Duration{10 * time.Second, 15 * time.Second, 15 * time.Second} {
			if wait := runs[i+1].Started.Sub(runs[i].Finished); wait < most/2 || wait > most+time.Second {
				t.Errorf("wait %d: %s, want %s to %s", i, wait, most/2, most)
			}
		}
		equal(t, "records", outcomes(h.records()), "failed failed failed ok")
		equal(t, "dead letters", len(h.stored("bellhop-dead")), 0)
	})
}

func TestTheLastFailureIsADeadLetter(t *testing.T) {
	tests := []struct {
		name     string
		policy   string
		serve    func(context.Context, *workers.Trigger) ([]byte, error)
		outcomes string
		reason   string
	}{
		{"error", `{"retry":{"attempts":2}}`, func(context.Context, *workers.Trigger) ([]byte, error) {
			return nil, errors.New("bad\r\nluck")
		}, "failed dead", "bad luck"},
		{"permanent", `{"retry":{"attempts":5}}`, func(context.Context, *workers.Trigger) ([]byte, error) {
			return nil, fmt.Errorf("wrapped: %w", workers.Permanent(errors.New("never")))
		}, "dead", "wrapped: never"},
		{"panic", `{"retry":{"attempts":2}}`, func(context.Context, *workers.Trigger) ([]byte, error) {
			panic("oh")
		}, "failed dead", "panic: oh"},
		{"goexit", `{"retry":{"attempts":1}}`, func(context.Context, *workers.Trigger) ([]byte, error) {
			runtime.Goexit()
			return nil, nil
		}, "dead", "service ended its goroutine"},
		{"timeout", `{"timeout":"2s","retry":{"attempts":2}}`, func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, "timeout dead", "context deadline exceeded"},
		{"ignores its context", `{"timeout":"2s","retry":{"attempts":2}}`, func(context.Context, *workers.Trigger) ([]byte, error) {
			time.Sleep(time.Hour) // of the bubble's time
			return nil, nil
		}, "timeout dead", "timed out, and the service did not heed it"},
		{"changes its trigger", `{"retry":{"attempts":1}}`, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
			*t = workers.Trigger{Service: "../../etc"}
			return nil, errors.New("hm")
		}, "dead", "hm"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				onRun, done := watch()
				stop := h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) { w.HandleFunc("s", tt.serve) })
				h.trigger("s", "pay", "Bellhop-Run", "r", "Bellhop-Policy", tt.policy, "Color", "red", "Bellhop-Due", "2000-01-01T00:00:00.000Z")
				n := len(strings.Fields(tt.outcomes))
				equal(t, "outcomes", outcomes(take(t, done, n)), tt.outcomes)
				stop()
				equal(t, "records", outcomes(h.records()), tt.outcomes)
				letters := h.stored("bellhop-dead")
				if len(letters) != 1 {
					t.Fatalf("%d dead letters", len(letters))
				}
				m := letters[0]
				equal(t, "subject", m.Subject, "bellhop.dead.s")
				equal(t, "payload", string(m.Data), "pay")
				for k, v := range map[string]string{
					"Bellhop-Run": "r", "Bellhop-Reason": tt.reason, "Bellhop-Attempts": fmt.Sprint(n), "Color": "red",
					"Bellhop-Origin": "bellhop.trigger.s", "Bellhop-Place": "bellhop-triggers:1", "Bellhop-Due": "2000-01-01T00:00:00.000Z",
				} {
					equal(t, k, m.Header.Get(k), v)
				}
				info := h.consumer("bellhop-triggers", "s")
				equal(t, "unacknowledged", info.NumAckPending, 0)
				time.Sleep(2 * time.Hour) // lets the handler that ignored its context end
			})
		})
	}
}

func TestLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		due := time.Now().Add(-time.Minute).UTC().Format(workers.DueLayout)
		h.trigger("s", "", "Bellhop-Run", "late", "Bellhop-Due", due, "Bellhop-Policy", `{"expires":"59s"}`)
		h.trigger("s", "", "Bellhop-Run", "in time", "Bellhop-Due", due, "Bellhop-Policy", `{"expires":"2m"}`)
		stop := h.worker(workers.Options{OnRun: onRun, Concurrency: 1}, func(w *workers.Worker) {
			w.HandleFunc("s", func(context.Context, *workers.Trigger) ([]byte, error) { return nil, nil })
		})
		runs := take(t, done, 2)
		stop()
		equal(t, "outcomes", outcomes(runs), "expired ok")
		equal(t, "never started", runs[0].Started.IsZero(), true)
		equal(t, "lateness", runs[1].Lateness().Round(time.Second), time.Minute)
		equal(t, "unacknowledged", h.consumer("bellhop-triggers", "s").NumAckPending, 0)
	})
}

func TestALongRunIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		h.worker(workers.Options{OnRun: onRun, AckWait: 10 * time.Second, Timeout: time.Hour}, func(w *workers.Worker) {
			w.HandleFunc("s", func(context.Context, *workers.Trigger) ([]byte, error) {
				time.Sleep(50 * time.Minute)
				return nil, nil
			})
		})
		h.trigger("s", "")
		r := take(t, done, 1)[0]
		equal(t, "attempt", r.Attempt, 1)
		equal(t, "duration", r.Duration().Round(time.Second), 50*time.Minute)
		time.Sleep(time.Minute)
		equal(t, "more runs", len(done), 0)
	})
}

// What waits for a slot, in the worker or in the client library, must not be
// redelivered meanwhile, and a slow service must leave work to other workers.
func TestSlowServicesRunEachTriggerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		slow := func(w *workers.Worker) {
			for _, name := range []string{"a", "b"} {
				w.HandleFunc(name, func(context.Context, *workers.Trigger) ([]byte, error) {
					time.Sleep(time.Minute)
					return nil, nil
				})
			}
		}
		const n = 40
		for i := range n {
			h.trigger([]string{"a", "b"}[i%2], "")
		}
		began := time.Now()
		h.worker(workers.Options{OnRun: onRun, Concurrency: 2, AckWait: 10 * time.Second}, slow)
		time.Sleep(90 * time.Second) // the second one comes when the first is busy
		h.worker(workers.Options{OnRun: onRun, Concurrency: 2, AckWait: 10 * time.Second}, slow)
		for _, r := range take(t, done, n) {
			if r.Attempt != 1 || r.Outcome != "ok" {
				t.Errorf("%s: attempt %d, %s", r.Run, r.Attempt, r.Outcome)
			}
		}
		if took := time.Since(began); took > (n/4+3)*time.Minute {
			t.Errorf("took %s: some worker had nothing to do", took)
		}
		time.Sleep(time.Minute)
		equal(t, "more runs", len(done), 0)
	})
}

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		stop := h.worker(workers.Options{OnRun: onRun, Attempts: 1}, func(w *workers.Worker) {
			w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				if string(t.Payload) == "fail" {
					return nil, errors.New("failed")
				}
				return []byte("\xff" + strings.Repeat("x", 5000)), nil
			})
		})
		for _, history := range []string{"all", "failures", "none", "nonsense"} {
			for _, payload := range []string{"fail", "succeed"} {
				h.trigger("s", payload, "Bellhop-Job", history+"-"+payload, "Bellhop-Policy", fmt.Sprintf(`{"history":%q}`, history))
			}
		}
		take(t, done, 8)
		stop()
		got := map[string]string{}
		for _, r := range h.records() {
			got[r.Job] = r.Outcome
			if r.Outcome == "ok" {
				equal(t, "output kept", len(r.OutputBase64), 4<<10)
				equal(t, "output size", r.OutputSize, 5001)
			}
		}
		want := map[string]string{"all-fail": "dead", "all-succeed": "ok", "failures-fail": "dead", "nonsense-fail": "dead", "nonsense-succeed": "ok"}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}
