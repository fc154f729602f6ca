package workers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// cancel orders a run to be cancelled, and says how it had ended before.
func (h *house) cancel(run string) string {
	h.t.Helper()
	outcome, err := workers.Cancel(h.t.Context(), h.js, "", run)
	ok(h.t, err)
	return outcome
}

// A run is cancelled while it runs, while it waits for a slot, before anybody
// has it, between two attempts, and as a direct call; never after its end.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.cancel("early") // its trigger is on its way
		h.trigger("s", "", "Bellhop-Run", "early")
		begun := make(chan string, 9)
		onRun, done := watch()
		start := func() func() {
			return h.worker(workers.Options{Concurrency: 1, OnRun: onRun, Backoff: time.Hour, MaxBackoff: time.Hour}, func(w *workers.Worker) {
				w.HandleFunc("s", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
					begun <- t.Run
					switch t.Run {
					case "fails":
						return nil, errors.New("bad luck")
					case "quick", "back":
						return nil, nil
					}
					<-ctx.Done()
					return nil, fmt.Errorf("interrupted: %w", context.Cause(ctx))
				})
			})
		}
		stop := start()
		expect := func(want ...string) {
			t.Helper()
			for _, w := range want {
				r := take(t, done, 1)[0]
				equal(t, "end", fmt.Sprint(r.Run, " ", r.Outcome, " ", !r.Started.IsZero(), " ", r.Error), w)
			}
		}
		expect("early cancelled false run cancelled")

		h.trigger("s", "", "Bellhop-Run", "quick")
		expect("quick ok true ")
		for _, run := range []string{"running", "waiting"} {
			h.trigger("s", "", "Bellhop-Run", run)
		}
		synctest.Wait()
		equal(t, "before", h.cancel("waiting"), "")
		if before := h.cancel("running"); before != "" && before != "cancelled" { // it may be quick
			t.Errorf("before: %s", before)
		}
		expect("running cancelled true run cancelled", "waiting cancelled false run cancelled")

		h.trigger("s", "", "Bellhop-Run", "fails")
		expect("fails failed true bad luck")
		equal(t, "twice", h.cancel("fails")+h.cancel("fails"), "")
		expect("fails cancelled false run cancelled")

		failed := make(chan error, 1)
		go func() {
			m := nats.NewMsg("bellhop.call.s")
			m.Header.Set("Bellhop-Run", "called")
			_, err := h.nc.RequestMsg(m, time.Hour)
			failed <- err
		}()
		synctest.Wait()
		h.cancel("called")
		expect("called cancelled true run cancelled")
		ok(t, <-failed)

		synctest.Wait()
		for run, outcome := range map[string]string{"quick": "ok", "running": "cancelled", "fails": "cancelled"} {
			equal(t, "end of "+run, h.cancel(run), outcome)
		}

		// A worker that starts later knows, too; and only of what was there then.
		stop()
		h.trigger("s", "", "Bellhop-Run", "later")
		h.trigger("s", "", "Bellhop-Run", "back")
		h.cancel("later")
		h.cancel("back")
		time.Sleep(time.Minute)
		h.trigger("s", "", "Bellhop-Run", "back")
		start()
		expect("later cancelled false run cancelled", "back cancelled false run cancelled", "back ok true ")
		for _, m := range h.stored("KV_bellhop-state") {
			if strings.HasPrefix(m.Subject, "$KV.bellhop-state.cancel.") && m.Header.Get("Nats-TTL") == "" {
				t.Error("kept for ever:", m.Subject)
			}
		}
	})
}

// A service that comes to a good end all the same has not been cancelled.
func TestCancelIsNoForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
				<-ctx.Done()
				return []byte("done nevertheless"), nil
			})
		})
		h.trigger("s", "", "Bellhop-Run", "r")
		synctest.Wait()
		h.cancel("r")
		equal(t, "outcome", outcomes(take(t, done, 1)), "ok")
	})
}

func TestCancelRefuses(t *testing.T) {
	h := newHouse(t)
	for _, run := range []string{"", "a\tb", string(make([]byte, 2000))} {
		if _, err := workers.Cancel(t.Context(), h.js, "", run); !errors.Is(err, workers.ErrName) {
			t.Errorf("%.10q: %v", run, err)
		}
	}
	js, err := jetstream.New(h.nc)
	ok(t, err)
	if _, err := workers.Cancel(t.Context(), js, "elsewhere", "r"); err == nil {
		t.Error("cancelled where nothing is set up")
	}
}
