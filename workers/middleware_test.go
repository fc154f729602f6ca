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
	"github.com/prometheus/client_golang/prometheus"
)

// say notes what passes by, on the way in and out.
func say(to *[]string, name string) workers.Middleware {
	return func(next workers.Service) workers.Service {
		return workers.ServiceFunc(func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
			*to = append(*to, name+" in")
			out, err := next.Serve(ctx, t)
			*to = append(*to, fmt.Sprintf("%s out %s %v", name, out, err))
			return out, err
		})
	}
}

func TestMiddleware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		var log journal
		var said []string
		instead := func(next workers.Service) workers.Service {
			return workers.ServiceFunc(func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
				if t.Run == "no" {
					return nil, workers.Permanent(errors.New("not on a Sunday"))
				}
				own := *t
				own.Payload = []byte("changed")
				return next.Serve(ctx, &own)
			})
		}
		h.worker(workers.Options{OnRun: onRun, Logger: log.logger(), Attempts: 1, Concurrency: 1}, func(w *workers.Worker) {
			w.Use(say(&said, "outer"), workers.Recover(log.logger()))
			w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				if t.Run == "panic" {
					panic("oh")
				}
				return t.Payload, nil
			})
			w.Use(instead) // also of what was named before
		})
		h.trigger("s", "", "Bellhop-Run", "yes")
		h.trigger("s", "", "Bellhop-Run", "no")
		h.trigger("s", "", "Bellhop-Run", "panic")
		all := take(t, done, 3)
		equal(t, "outcomes", outcomes(all), "ok dead dead")
		want := []string{"outer in", "outer out changed <nil>", "outer in", "outer out  not on a Sunday", "outer in", "outer out  panic: oh"}
		if d := cmp.Diff(want, said); d != "" {
			t.Error(d)
		}
		equal(t, "panics logged", strings.Count(log.String(), "service panicked"), 1)
	})
}

// A panic of a middleware is no worse than one of a service.
func TestMiddlewarePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		h.worker(workers.Options{OnRun: onRun, Attempts: 1}, func(w *workers.Worker) {
			w.Use(func(workers.Service) workers.Service {
				return workers.ServiceFunc(func(context.Context, *workers.Trigger) ([]byte, error) { panic("middle") })
			})
			w.HandleFunc("s", serveNothing)
		})
		h.trigger("s", "")
		r := take(t, done, 1)[0]
		equal(t, "how it ended", r.Outcome+" "+r.Error, "dead panic: middle")
	})
}

func TestMiddlewareMistakes(t *testing.T) {
	h := newEmptyHouse(t)
	for want, m := range map[string]workers.Middleware{
		"a middleware is nil":                        nil,
		"a middleware has made nothing of service s": func(workers.Service) workers.Service { return nil },
	} {
		w := workers.New(h.nc, workers.Options{})
		w.HandleFunc("s", serveNothing)
		w.Use(m)
		if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestLogging(t *testing.T) {
	var log journal
	logged := workers.Logging(log.logger())
	fail := errors.New("bad luck")
	s := logged(workers.ServiceFunc(func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		if t.Attempt == 2 {
			return nil, workers.Permanent(fail)
		}
		return []byte("secret"), nil
	}))
	for attempt := 1; attempt <= 2; attempt++ {
		trigger := workers.Trigger{Service: "s", Run: "r", Attempt: attempt, Channel: "cli", Payload: []byte("secret")}
		out, err := s.Serve(t.Context(), &trigger)
		equal(t, "passes on", string(out) == "secret", attempt == 1)
		equal(t, "passes on", errors.Is(err, fail), attempt == 2)
	}
	text := log.String()
	for _, want := range []string{
		`level=INFO msg="attempt done" service=s run=r attempt=1 channel=cli took=`, "output_bytes=6",
		`level=WARN msg="attempt failed" service=s run=r attempt=2 channel=cli took=`, `permanent=true error="bad luck"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret") {
		t.Errorf("holds a payload:\n%s", text)
	}
}

// figures gives a worker's metrics as text, those that are not zero.
func figures(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	ok(t, reg.Register(c))
	families, err := reg.Gather()
	ok(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			switch {
			case m.GetHistogram() != nil:
				all[name] = float64(m.GetHistogram().GetSampleCount())
				all[name+" sum"] = m.GetHistogram().GetSampleSum()
			default:
				all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
			if all[name] == 0 {
				delete(all, name)
				delete(all, name+" sum")
			}
		}
	}
	return all
}

func TestFigures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		var worker *workers.Worker
		release := make(chan struct{})
		h.worker(workers.Options{OnRun: onRun, Attempts: 2, Concurrency: 2, Backoff: 8 * time.Second}, func(w *workers.Worker) {
			worker = w
			w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				time.Sleep(2 * time.Second)
				switch string(t.Payload) {
				case "fail":
					return nil, errors.New("no")
				case "exit":
					if t.Attempt == 1 {
						runtime.Goexit()
					}
				case "wait":
					<-release
				}
				return nil, nil
			})
			w.HandleFunc("idle", serveNothing)
		})
		due := time.Now().UTC().Add(-3 * time.Second).Format(workers.DueLayout)
		for _, payload := range []string{"", "fail", "exit"} {
			h.trigger("s", payload, "Bellhop-Due", due)
			time.Sleep(time.Minute)
		}
		take(t, done, 5)
		for range 5 {
			h.trigger("s", "wait")
		}
		time.Sleep(time.Minute)
		got := figures(t, worker)
		lateness := got["bellhop_worker_run_lateness_seconds s sum"]
		if lateness < 3+63+123 || lateness > 3+63+123+1 { // of first attempts alone
			t.Errorf("lateness is %g in all", lateness)
		}
		if took := got["bellhop_worker_run_duration_seconds s sum"]; took < 10 || took > 10.1 {
			t.Errorf("five attempts of two seconds took %g", took)
		}
		delete(got, "bellhop_worker_run_lateness_seconds s sum")
		delete(got, "bellhop_worker_run_duration_seconds s sum")
		want := map[string]float64{
			"bellhop_worker_runs_total ok s": 2, "bellhop_worker_runs_total failed s": 2, "bellhop_worker_runs_total dead s": 1,
			"bellhop_worker_run_lateness_seconds s": 3, "bellhop_worker_run_duration_seconds s": 5,
			"bellhop_worker_running s": 1, "bellhop_worker_waiting s": 5,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		close(release)
		time.Sleep(time.Minute)
		got = figures(t, worker)
		equal(t, "waiting in the end", got["bellhop_worker_waiting s"], 0)
		equal(t, "running in the end", got["bellhop_worker_running s"], 0)
	})
}

// A worker that has nothing to do asks for nothing.
func TestWaitingCostsNothingWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		nc := h.s.Connect()
		h.workerOn(nc, workers.Options{OnRun: onRun}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) })
		h.trigger("s", "")
		take(t, done, 1)
		time.Sleep(time.Minute)
		asked, err := h.s.Connect().SubscribeSync("$JS.API.CONSUMER.INFO.>")
		ok(t, err)
		time.Sleep(time.Hour)
		if n, _, _ := asked.Pending(); n != 0 {
			t.Errorf("asked %d times in an idle hour", n)
		}
		h.trigger("s", "")
		take(t, done, 1)
		time.Sleep(time.Minute)
		if n, _, _ := asked.Pending(); n == 0 {
			t.Error("not asked when something was done: this test sees nothing")
		}
	})
}

// What waits is known although this worker has no hand free for it, and when
// somebody else has done it or thrown it away.
func TestWaitingForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		begun, release := make(chan struct{}, 1), make(chan struct{})
		var worker *workers.Worker
		stop := h.worker(workers.Options{Concurrency: 1}, func(w *workers.Worker) {
			worker = w
			w.HandleFunc("hog", func(context.Context, *workers.Trigger) ([]byte, error) {
				begun <- struct{}{}
				<-release
				return nil, nil
			})
			w.HandleFunc("s", serveNothing)
		})
		waiting := func(what string, want float64) {
			t.Helper()
			time.Sleep(time.Minute)
			equal(t, what, figures(t, worker)["bellhop_worker_waiting s"], want)
		}
		h.trigger("hog", "")
		take(t, begun, 1)
		time.Sleep(time.Minute)
		for range 5 {
			h.trigger("s", "")
		}
		waiting("behind the hog", 5)
		other := h.worker(workers.Options{}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) })
		time.Sleep(time.Minute)
		// A pull that began before the hog ran may have taken one in.
		here := h.consumer("bellhop-triggers", "s").NumAckPending
		if here > 1 {
			t.Errorf("%d were taken in without a slot for them", here)
		}
		waiting("done by another, but for what was taken in here", float64(here))
		other()
		close(release)
		waiting("done", 0)
		stop()

		h.trigger("s", "")
		s, err := h.js.Stream(t.Context(), "bellhop-triggers")
		ok(t, err)
		_, err = s.PauseConsumer(t.Context(), "s", time.Now().Add(time.Hour))
		ok(t, err)
		h.worker(workers.Options{}, func(w *workers.Worker) { worker = w; w.HandleFunc("s", serveNothing) })
		waiting("held back by somebody", 1)
		ok(t, s.Purge(t.Context()))
		waiting("thrown away", 0)
	})
}

func TestBacklogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		count := func() map[string]workers.Backlog {
			t.Helper()
			synctest.Wait()
			all, err := workers.Backlogs(t.Context(), h.js, "")
			ok(t, err)
			return all
		}
		same := func(what string, want map[string]workers.Backlog) {
			t.Helper()
			if d := cmp.Diff(want, count()); d != "" {
				t.Errorf("%s: %s", what, d)
			}
		}
		same("nothing", map[string]workers.Backlog{})
		d := workers.NewDispatcher(h.js, "")
		for range 3 {
			h.trigger("never.served", "")
		}
		for _, channel := range []string{"cli", "amqp"} {
			_, err := d.Ring(t.Context(), workers.Ring{Channel: channel, Service: "never.served"})
			ok(t, err)
		}
		same("no worker ever", map[string]workers.Backlog{"never.served": {Triggers: 3, Rings: 2}})

		stop := h.worker(workers.Options{}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) })
		for range 5 {
			h.trigger("s", "")
		}
		time.Sleep(10 * time.Second)
		stop()
		h.trigger("s", "")
		h.trigger("s", "")
		same("no worker now", map[string]workers.Backlog{"never.served": {Triggers: 3, Rings: 2}, "s": {Triggers: 2}})
		ok(t, h.js.DeleteConsumer(t.Context(), "bellhop-triggers", "s"))
		same("its consumer is lost", map[string]workers.Backlog{"never.served": {Triggers: 3, Rings: 2}, "s": {Triggers: 2}})

		begun := make(chan struct{}, 9)
		stop = h.worker(workers.Options{Concurrency: 1}, func(w *workers.Worker) {
			w.HandleFunc("s", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
				begun <- struct{}{}
				time.Sleep(time.Second)
				return nil, nil
			})
		})
		take(t, begun, 1)
		got := count()["s"]
		equal(t, "while a worker works", int(got.Triggers)+got.Running, 2)
		stop()
	})
}
