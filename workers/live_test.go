package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
)

// texts are the lines of a log.
func texts(lines []workers.LogLine) []string {
	var all []string
	for _, l := range lines {
		all = append(all, fmt.Sprint(l.N, " ", l.Text))
	}
	return all
}

// What a service tells is in its record, as one clean line each, and no more than
// there is room for.
func TestARecordHasWhatItsServiceTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		tells := map[string]func(ctx context.Context){
			"nothing": func(context.Context) {},
			"lines": func(ctx context.Context) {
				workers.Log(ctx, "one\r\ntwo\n")
				workers.Logger(ctx).With("a", 1).Info("three", "b", "x y")
				workers.Log(ctx, "")
			},
			"odd": func(ctx context.Context) {
				workers.Log(ctx, "\x1b[2Jred\x00\xff\u202e\u2028\ttab")
				workers.Report(ctx, 7, "a\nb "+strings.Repeat("é", 500))
				workers.Report(ctx, math.NaN(), "no number")
			},
			"large": func(ctx context.Context) { workers.Log(ctx, strings.Repeat("é", 1<<20)) },
			"many": func(ctx context.Context) {
				for i := range 10_000 {
					workers.Log(ctx, fmt.Sprint("line ", i+1, " ", strings.Repeat("x", 90)))
				}
			},
			"short": func(ctx context.Context) {
				for range 1000 {
					workers.Log(ctx, "")
				}
			},
		}
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
				tells[string(t.Payload)](ctx)
				return nil, nil
			})
		})
		get := func(what string) workers.Run {
			h.trigger("s", what)
			return take(t, done, 1)[0]
		}
		r := get("nothing")
		equal(t, "nothing", len(r.Logs)+r.LogsDropped, 0)
		equal(t, "no progress", r.Progress, nil)
		lines := get("lines")
		same(t, "lines", texts(lines.Logs), []string{"1 one", "2 two", `3 level=INFO msg=three a=1 b="x y"`, "4 "})
		r = get("odd")
		same(t, "odd", texts(r.Logs), []string{"1 \uFFFD[2Jred\uFFFD\uFFFD\uFFFD\uFFFD tab"})
		equal(t, "fraction", r.Progress.Fraction, 1)
		if n := r.Progress.Note; len(n) > 200 || !strings.HasPrefix(n, "a\uFFFDb é") || !strings.HasSuffix(n, "é…") {
			t.Errorf("note %q", n)
		}
		r = get("large")
		if l := r.Logs[0].Text; len(l) > 1<<10 || !strings.HasSuffix(l, "é…") {
			t.Errorf("%d bytes", len(l))
		}
		r = get("many")
		size := 0
		for _, l := range r.Logs {
			size += len(l.Text)
		}
		if size > 8<<10 || size < 7<<10 || r.LogsDropped+len(r.Logs) != 10_000 || r.Logs[len(r.Logs)-1].N != 10_000 {
			t.Errorf("%d bytes of %d lines, %d dropped", size, len(r.Logs), r.LogsDropped)
		}
		r = get("short")
		equal(t, "short", fmt.Sprint(len(r.Logs), r.LogsDropped), "256 744")
		for _, stored := range h.records() { // in whatever order two runs were stored
			if stored.Run == lines.Run {
				same(t, "stored", texts(stored.Logs), texts(lines.Logs))
				return
			}
		}
		t.Error("the record is not stored")
	})
}

// Outside of a run nothing happens, nor after its end.
func TestToldToNobody(t *testing.T) {
	workers.Log(t.Context(), "x")
	workers.Report(t.Context(), 1, "x")
	workers.Logger(t.Context()).Info("x")
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		var late context.Context
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
				late = ctx
				workers.Log(ctx, "in time")
				workers.Report(ctx, 0.5, "")
				return nil, nil
			})
		})
		h.trigger("s", "")
		r := take(t, done, 1)[0]
		heard := h.listen()
		workers.Log(late, "too late")
		workers.Report(late, 1, "too late")
		time.Sleep(time.Minute)
		equal(t, "events", len(heard()), 0)
		same(t, "lines", texts(r.Logs), []string{"1 in time"})
	})
}

// listen collects the events of all runs.
func (h *house) listen() func() []workers.Event {
	h.t.Helper()
	var mu sync.Mutex
	var all []workers.Event
	_, err := h.nc.Subscribe("bellhop.live.>", func(m *nats.Msg) {
		var e workers.Event
		ok(h.t, json.Unmarshal(m.Data, &e))
		mu.Lock()
		defer mu.Unlock()
		all = append(all, e)
	})
	ok(h.t, err)
	ok(h.t, h.nc.Flush())
	return func() []workers.Event {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return append([]workers.Event(nil), all...)
	}
}

// However often a service reports, it is published ten times a second, the last
// report among them; and a flood of lines is not published to its end.
func TestWhatIsPublishedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		heard := h.listen()
		onRun, done := watch()
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
				for i := range 1001 {
					workers.Report(ctx, float64(i)/1000, "")
					time.Sleep(time.Millisecond)
				}
				time.Sleep(time.Second)
				for range 5000 {
					workers.Log(ctx, "x")
				}
				return nil, nil
			})
		})
		h.trigger("s", "")
		take(t, done, 1)
		var reports, lines int
		last := 0.0
		for _, e := range heard() {
			switch e.Type {
			case workers.EventProgress:
				reports++
				last = e.Progress.Fraction
			case workers.EventLog:
				lines++
			}
		}
		if reports < 10 || reports > 12 || last != 1 || lines != 100 {
			t.Errorf("%d reports, the last %g; %d lines", reports, last, lines)
		}
	})
}

// Services that tell from many goroutines, and go on when they are given up.
func TestToldFromEverywhere(t *testing.T) {
	h := newHouse(t)
	onRun, done := watch()
	h.worker(workers.Options{OnRun: onRun, Timeout: 20 * time.Millisecond, Attempts: 1}, func(w *workers.Worker) {
		w.HandleFunc("s", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					for n := 0; ctx.Err() == nil || n < 1000; n++ {
						workers.Log(ctx, "x")
						workers.Report(ctx, float64(i), "x")
						workers.Logger(ctx).Info("x")
					}
				})
			}
			all.Wait()
			return nil, ctx.Err()
		})
	})
	h.trigger("s", "")
	r := take(t, done, 1)[0]
	if len(r.Logs) != 256 || r.Progress == nil {
		t.Errorf("%d lines, progress %v", len(r.Logs), r.Progress)
	}
}

// Every worker tells which runs it has, those that run and those that wait.
func TestActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		none, more, err := workers.Active(t.Context(), h.nc, "", workers.ActiveFilter{})
		ok(t, err)
		equal(t, "without workers", len(none)+more, 0)
		end := make(chan struct{})
		defer func() { synctest.Wait() }()
		defer close(end)
		h.crew(3, workers.Options{Concurrency: 1}, workers.ServiceOptions{}, func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
			workers.Log(ctx, "hello")
			workers.Report(ctx, 0.25, "a quarter")
			<-end
			return nil, nil
		})
		began := time.Now().UTC()
		for i := range 3 {
			h.trigger("s", "", "Bellhop-Run", fmt.Sprint("run", i), "Bellhop-Job", "j", "Bellhop-Channel", "scheduler")
		}
		h.rung("k", "first", "queue")
		synctest.Wait()
		active := func(f workers.ActiveFilter) []workers.ActiveRun {
			t.Helper()
			all, more, err := workers.Active(t.Context(), h.nc, "", f)
			ok(t, err)
			equal(t, "more", more, 0)
			return all
		}
		running, waiting := map[string]bool{}, 0
		for _, r := range active(workers.ActiveFilter{}) {
			if r.Started.IsZero() {
				waiting++
				continue
			}
			running[r.Run] = true
			if !r.Started.Equal(began) || r.Attempt != 1 || r.Worker == "" || r.Progress.Note != "a quarter" || len(r.Logs) != 0 {
				t.Errorf("%+v", r)
			}
		}
		if len(running) != 3 || waiting > 1 {
			t.Errorf("running %v, %d waiting", running, waiting)
		}
		one := active(workers.ActiveFilter{Run: "run1"})
		equal(t, "one", len(one), 1)
		same(t, "its lines", texts(one[0].Logs), []string{"1 hello"})
		equal(t, "of a job", len(active(workers.ActiveFilter{Job: "j"})), 3)
		equal(t, "of another service", len(active(workers.ActiveFilter{Service: "x"})), 0)
		m, err := h.nc.Request("bellhop.active", []byte("nonsense"), time.Second)
		if !errors.Is(err, nats.ErrTimeout) {
			t.Errorf("got %v, %v", m, err)
		}
	})
}

// More runs than an answer has room for are counted.
func TestActiveIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		end := make(chan struct{})
		defer func() { synctest.Wait() }()
		defer close(end)
		const n = 400
		h.crew(1, workers.Options{Concurrency: n}, workers.ServiceOptions{}, func(context.Context, *workers.Trigger) ([]byte, error) {
			<-end
			return nil, nil
		})
		for i := range n {
			h.trigger("s", "", "Bellhop-Run", fmt.Sprint(i, strings.Repeat("x", 1000)))
		}
		time.Sleep(time.Second) // until it has them all
		all, more, err := workers.Active(t.Context(), h.nc, "", workers.ActiveFilter{})
		ok(t, err)
		if len(all) == 0 || more == 0 || len(all)+more != n {
			t.Errorf("%d and %d more", len(all), more)
		}
	})
}

// Whoever follows a run gets every line once, whenever they come to it, and its
// end: over a failed attempt, too.
func TestFollow(t *testing.T) {
	for _, when := range []string{"before", "between", "in the middle", "after"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				onRun, done := watch()
				h.crew(2, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
					for i := range 3 {
						workers.Log(ctx, fmt.Sprint("attempt ", t.Attempt, " line ", i+1))
						time.Sleep(20 * time.Second)
					}
					workers.Report(ctx, 1, "done")
					if t.Attempt == 1 {
						return nil, errors.New("bad luck")
					}
					return []byte("out"), nil
				})
				begin := func() { h.rung("j", "r", "allow") }
				var got []string
				var followers sync.WaitGroup
				follow := func() {
					followers.Go(func() {
						for e, err := range workers.Follow(t.Context(), h.nc, h.js, "", "r") {
							ok(t, err)
							switch e.Type {
							case workers.EventLog:
								got = append(got, e.Line.Text)
							case workers.EventEnded:
								got = append(got, e.Record.Outcome)
							}
						}
					})
					time.Sleep(time.Second) // until it listens
				}
				switch when {
				case "before":
					follow()
					begin()
				case "between":
					begin()
					take(t, done, 1)
					follow()
				case "in the middle":
					begin()
					time.Sleep(30 * time.Second)
					follow()
				case "after":
					begin()
					take(t, done, 2)
					synctest.Wait()
					follow()
				}
				followers.Wait()
				same(t, "told", got, []string{
					"attempt 1 line 1", "attempt 1 line 2", "attempt 1 line 3", "failed",
					"attempt 2 line 1", "attempt 2 line 2", "attempt 2 line 3", "ok",
				})
				synctest.Wait()
			})
		})
	}
}

// A run that leaves no record is followed to its end, too.
func TestFollowWithoutHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.crew(1, workers.Options{}, workers.ServiceOptions{}, func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
			workers.Log(ctx, "x")
			time.Sleep(time.Minute)
			if t.Attempt == 1 {
				return nil, errors.New("bad luck")
			}
			return nil, nil
		})
		h.trigger("s", "", "Bellhop-Run", "r", "Bellhop-Policy", `{"history":"none"}`)
		time.Sleep(time.Second)
		var got []string
		for e, err := range workers.Follow(t.Context(), h.nc, h.js, "", "r") {
			ok(t, err)
			got = append(got, fmt.Sprint(e.Type, " ", e.Attempt))
		}
		same(t, "told", got, []string{"log 1", "ended 1", "log 2", "ended 2"})
		equal(t, "records", len(h.records()), 0)
	})
}

// A follower that has seen enough, or whose context ends, leaves nothing behind.
func TestFollowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.crew(1, workers.Options{}, workers.ServiceOptions{}, func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
			workers.Log(ctx, "x")
			return nil, nil
		})
		h.trigger("s", "", "Bellhop-Run", "r")
		for range workers.Follow(t.Context(), h.nc, h.js, "", "r") {
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var last error
		for _, err := range workers.Follow(ctx, h.nc, h.js, "", "nobody's") {
			last = err
		}
		if !errors.Is(last, context.DeadlineExceeded) {
			t.Errorf("got %v", last)
		}
	})
}
