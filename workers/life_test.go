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

func serveNothing(context.Context, *workers.Trigger) ([]byte, error) { return nil, nil }

func TestAWorkerDiesAndAnotherTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		const policy = `{"retry":{"attempts":1}}` // a death is no failure
		begun := make(chan string)
		doomed := h.s.Connect()
		h.workerOn(doomed, workers.Options{Name: "doomed", Concurrency: 1, DrainTimeout: time.Millisecond}, func(w *workers.Worker) {
			w.HandleFunc("s", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
				begun <- t.Run
				<-ctx.Done()
				return nil, nil
			})
		})
		h.trigger("s", "", "Bellhop-Run", "the run", "Bellhop-Policy", policy)
		equal(t, "begun", <-begun, "the run")
		onRun, done := watch()
		h.worker(workers.Options{Name: "heir", OnRun: onRun}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) })
		died := time.Now()
		doomed.Close()
		r := take(t, done, 1)[0]
		equal(t, "run", r.Run, "the run")
		equal(t, "worker", r.Worker, "heir")
		equal(t, "attempt", r.Attempt, 2)
		equal(t, "outcome", r.Outcome, "ok")
		if waited := r.Started.Sub(died); waited > 31*time.Second {
			t.Errorf("taken over after %s", waited)
		}
	})
}

// A trigger uses its attempts up by killing its workers; what only lay beside it
// in their buffers does not.
func TestATriggerThatKillsItsWorkersIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		const policy = `{"retry":{"attempts":3}}`
		begun := make(chan string)
		runs, done := watch()
		for attempt := range 3 {
			h.trigger("s", "", "Bellhop-Run", "quick") // after which more are fetched than there are slots
			if attempt == 0 {
				h.trigger("s", "", "Bellhop-Run", "killer", "Bellhop-Policy", policy)
				h.trigger("s", "", "Bellhop-Run", "neighbour", "Bellhop-Policy", policy)
			}
			doomed := h.s.Connect()
			h.workerOn(doomed, workers.Options{Concurrency: 1, DrainTimeout: time.Millisecond, OnRun: runs}, func(w *workers.Worker) {
				w.HandleFunc("s", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
					begun <- fmt.Sprintf("%s %d %s", t.Run, t.Attempt, t.LastError)
					if t.Run == "killer" {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return nil, nil
				})
			})
			for b := <-begun; b != fmt.Sprintf("killer %d ", attempt+1); b = <-begun {
				if strings.HasPrefix(b, "killer") {
					t.Fatalf("begun: %s, at attempt %d", b, attempt+1)
				}
			}
			synctest.Wait() // its neighbour is fetched, too
			doomed.Close()
		}
		h.worker(workers.Options{OnRun: runs}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) })
		ended := map[string]string{}
		for len(ended) < 2 {
			if r := take(t, done, 1)[0]; r.Run != "quick" && r.Outcome != "failed" {
				ended[r.Run] = fmt.Sprint(r.Outcome, " ", r.Attempt, " ", r.Error)
			}
		}
		equal(t, "killer", ended["killer"], "dead 3 its worker died at attempt 3 of 3")
		if n := ended["neighbour"]; n != "ok 1 " && n != "ok 2 " { // as it had lain in a buffer or not
			t.Errorf("neighbour: %s", n)
		}
		equal(t, "dead letters", len(h.stored("bellhop-dead")), 1)
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		begun := make(chan string, 9)
		stop := h.worker(workers.Options{Concurrency: 3, DrainTimeout: 10 * time.Second, OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("quick", func(context.Context, *workers.Trigger) ([]byte, error) {
				begun <- ""
				time.Sleep(5 * time.Second)
				return nil, nil
			})
			w.HandleFunc("slow", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
				begun <- ""
				<-ctx.Done()
				return nil, context.Cause(ctx)
			})
			w.HandleFunc("deaf", func(context.Context, *workers.Trigger) ([]byte, error) {
				begun <- ""
				time.Sleep(time.Hour)
				return nil, nil
			})
		})
		for _, s := range []string{"quick", "slow", "deaf"} {
			h.trigger(s, "", "Bellhop-Run", s)
		}
		take(t, begun, 3)
		for range 5 { // for these there is no slot
			h.trigger("quick", "", "Bellhop-Run", "waiting")
		}
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took > 13*time.Second {
			t.Errorf("drained for %s", took)
		}
		got := map[string]string{}
		for _, r := range take(t, done, len(done)) {
			got[r.Run] = r.Outcome + " " + r.Error
		}
		equal(t, "quick", got["quick"], "ok ")
		equal(t, "slow", got["slow"], "failed worker stopped: worker stopped")
		equal(t, "deaf", got["deaf"], "failed worker stopped: worker stopped")
		equal(t, "waiting", got["waiting"], "")

		// What was given back is another worker's at once.
		began = time.Now()
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			for _, s := range []string{"quick", "slow", "deaf"} {
				w.HandleFunc(s, serveNothing)
			}
		})
		for _, r := range take(t, done, 7) {
			equal(t, r.Run, r.Outcome, "ok")
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("given back after %s", took)
		}
		time.Sleep(2 * time.Hour) // lets the deaf one end
	})
}

func TestAWorkerWaitsForTheStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newEmptyHouse(t)
		var log journal
		onRun, done := watch()
		h.worker(workers.Options{OnRun: onRun, Logger: log.logger()}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) })
		time.Sleep(time.Hour)
		if n := strings.Count(log.String(), "no triggers are taken"); n != 1 {
			t.Errorf("said %d times that it waits:\n%s", n, &log)
		}
		h.triggers()
		time.Sleep(time.Minute) // the state bucket is not there: nobody knows from where
		ok(t, workers.Setup(t.Context(), h.js, workers.SetupOptions{}))
		h.trigger("s", "")
		_, err := workers.NewDispatcher(h.js, "").Ring(t.Context(), workers.Ring{Channel: "cli", Service: "s"})
		ok(t, err)
		equal(t, "outcomes", outcomes(take(t, done, 2)), "ok ok")
	})
}

func TestNATSRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		var log journal
		held := make(chan struct{})
		h.worker(workers.Options{OnRun: onRun, Logger: log.logger()}, func(w *workers.Worker) {
			w.HandleFunc("s", func(context.Context, *workers.Trigger) ([]byte, error) {
				<-held
				return nil, nil
			})
		})
		const n = 30
		for i := range n {
			h.trigger("s", "", "Bellhop-Run", fmt.Sprint(i))
		}
		synctest.Wait()
		h.s.Down()
		time.Sleep(time.Minute)
		close(held) // eight end while NATS is away
		synctest.Wait()
		h.s.Up()
		got := map[string]int{}
		for len(got) < n {
			got[take(t, done, 1)[0].Run]++
		}
		time.Sleep(5 * time.Minute)
		equal(t, "run again", len(done), 0) // though the heartbeats were lost
		for run, times := range got {
			equal(t, "times of run "+run, times, 1)
		}
		equal(t, "unacknowledged", h.consumer("bellhop-triggers", "s").NumAckPending, 0)
		recorded := map[string]bool{}
		for _, r := range h.records() {
			recorded[r.Run] = true
		}
		equal(t, "runs with a record", len(recorded), n)
		if t.Failed() {
			t.Log(log.String())
		}
	})
}

func TestAConsumerDeletedUnderfoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		var log journal
		handle := func(w *workers.Worker) { w.HandleFunc("s", serveNothing) }
		stop := h.worker(workers.Options{OnRun: onRun, Logger: log.logger()}, handle)
		h.worker(workers.Options{OnRun: onRun, Logger: log.logger()}, handle)
		next := 0
		publish := func(n int) {
			for range n {
				h.trigger("s", "", "Bellhop-Run", fmt.Sprint(next))
				next++
			}
		}
		publish(20)
		take(t, done, 20)
		time.Sleep(10 * time.Second) // the floor is saved

		for _, name := range []string{"while workers run", "while none runs"} {
			if name == "while none runs" {
				stop()
			}
			ok(t, h.js.DeleteConsumer(t.Context(), "bellhop-triggers", "s"))
			publish(20)
			seen := map[string]bool{}
			for len(seen) < 20 {
				r := take(t, done, 1)[0]
				var i int
				fmt.Sscan(r.Run, &i)
				if i < next-20 {
					t.Errorf("%s: run %d again", name, i)
				}
				seen[r.Run] = true
			}
			time.Sleep(10 * time.Second)
		}
		equal(t, "more runs", len(done), 0)
		if !strings.Contains(log.String(), "made anew after its last saved place") {
			t.Errorf("not told:\n%s", &log)
		}
	})
}

func TestAStreamMadeAnewIsRunFromItsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		var log journal
		h.worker(workers.Options{OnRun: onRun, Logger: log.logger()}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) })
		for range 3 {
			h.trigger("s", "")
		}
		take(t, done, 3)
		time.Sleep(10 * time.Second)
		for _, n := range []int{2, 9} { // fewer than were there before, and more
			ok(t, h.js.DeleteStream(t.Context(), "bellhop-triggers"))
			time.Sleep(time.Hour)
			h.triggers()
			for i := range n {
				h.trigger("s", "", "Bellhop-Run", fmt.Sprint(i))
			}
			take(t, done, n)
			time.Sleep(10 * time.Second)
		}
		equal(t, "more runs", len(done), 0)
		equal(t, "told", strings.Count(log.String(), "stream was made anew"), 2)

		// A purge is not a new stream: its sequences go on.
		s, err := h.js.Stream(t.Context(), "bellhop-triggers")
		ok(t, err)
		ok(t, s.Purge(t.Context()))
		ok(t, h.js.DeleteConsumer(t.Context(), "bellhop-triggers", "s"))
		h.trigger("s", "", "Bellhop-Run", "after the purge")
		equal(t, "run", take(t, done, 1)[0].Run, "after the purge")
		equal(t, "told", strings.Count(log.String(), "stream was made anew"), 2)
	})
}

func TestForeignConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		_, err := h.js.CreateConsumer(t.Context(), "bellhop-triggers", jetstream.ConsumerConfig{Durable: "s", AckPolicy: jetstream.AckExplicitPolicy})
		ok(t, err)
		var log journal
		stop := h.worker(workers.Options{Logger: log.logger()}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) })
		time.Sleep(time.Minute)
		stop()
		if !strings.Contains(log.String(), "made by somebody else") {
			t.Errorf("not told:\n%s", &log)
		}
	})
}

func TestMistakes(t *testing.T) {
	h := newEmptyHouse(t)
	closed := h.s.Connect()
	closed.Close()
	tests := []struct {
		name   string
		nc     *nats.Conn
		o      workers.Options
		handle func(*workers.Worker)
		want   string
	}{
		{"no connection", nil, workers.Options{}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) }, "no connection"},
		{"closed", closed, workers.Options{}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) }, "connection closed"},
		{"nothing", h.nc, workers.Options{}, func(*workers.Worker) {}, "no service"},
		{"namespace", h.nc, workers.Options{Namespace: "a.b"}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) }, "namespace"},
		{"name", h.nc, workers.Options{}, func(w *workers.Worker) { w.HandleFunc("a b", serveNothing) }, "a b"},
		{"twice", h.nc, workers.Options{}, func(w *workers.Worker) {
			w.HandleFunc("s", serveNothing)
			w.HandleFunc("s", serveNothing)
		}, "twice"},
		{"nil", h.nc, workers.Options{}, func(w *workers.Worker) { w.HandleFunc("s", nil) }, "no handler"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := workers.New(tt.nc, tt.o)
			tt.handle(w)
			err := w.Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestRunEndsWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		w := workers.New(h.nc, workers.Options{Logger: (&journal{}).logger()})
		w.HandleFunc("s", serveNothing)
		ended := make(chan error)
		go func() { ended <- w.Run(t.Context()) }()
		synctest.Wait()
		h.nc.Close()
		if err := <-ended; !errors.Is(err, nats.ErrConnectionClosed) {
			t.Errorf("ended with %v", err)
		}
		if err := w.Run(t.Context()); err == nil {
			t.Error("ran twice")
		}
	})
}
