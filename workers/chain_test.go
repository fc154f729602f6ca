package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// hear has a service give all that it is rung with.
func hear(w *workers.Worker, service string) chan workers.Trigger {
	heard := make(chan workers.Trigger, 100)
	w.HandleFunc(service, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		heard <- *t
		return nil, nil
	})
	return heard
}

func TestASuccessIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		var next chan workers.Trigger
		output := "\x00\xff" + strings.Repeat("x", 100_000) // more than a record keeps
		stop := h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("fetch", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
				workers.SetContentType(ctx, "text/csv")
				return []byte(output), nil
			})
			next = hear(w, "post.it")
		})
		const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		h.trigger("fetch", "", "Bellhop-Run", "My=20Job@1", "Bellhop-Job", "My=20Job", "Color", "red", "traceparent", trace,
			"Bellhop-Policy", `{"on_success":"post.it","on_failure":"alarm"}`)
		got := take(t, next, 1)[0]
		if !strings.HasPrefix(got.Run, "chain:My=20Job:") {
			t.Errorf("run %s", got.Run)
		}
		want := workers.Trigger{
			Run: got.Run, Service: "post.it", Channel: "chain", Parent: "My=20Job@1", Depth: 1, Attempt: 1, Payload: []byte(output),
			Header: nats.Header{"Content-Type": {"text/csv"}, "traceparent": {trace}},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		equal(t, "outcomes", outcomes(take(t, done, 2)), "ok ok")
		stop()
		equal(t, "rings", len(h.stored("bellhop-rings")), 1)
		parents := map[string]string{}
		for _, r := range h.records() {
			parents[r.Service] = r.Parent
		}
		if d := cmp.Diff(map[string]string{"fetch": "", "post.it": "My=20Job@1"}, parents); d != "" {
			t.Error(d)
		}
	})
}

func TestAFailureIsFollowedWhenItIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var alarm, good chan workers.Trigger
		stop := h.worker(workers.Options{}, func(w *workers.Worker) {
			w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				return []byte("half of it"), fmt.Errorf("no\nluck %d", t.Attempt)
			})
			alarm, good = hear(w, "alarm"), hear(w, "good")
		})
		h.trigger("s", "pay", "Bellhop-Run", "r", "Bellhop-Policy", `{"on_success":"good","on_failure":"alarm","retry":{"attempts":3}}`)
		got := take(t, alarm, 1)[0]
		time.Sleep(time.Hour)
		stop()
		want := workers.Trigger{
			Run: got.Run, Service: "alarm", Channel: "chain", Parent: "r", Depth: 1, Attempt: 1, Payload: []byte("no\nluck 3"),
			Header: nats.Header{"Bellhop-Reason": {"no luck 3"}, "Bellhop-Attempts": {"3"}},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		equal(t, "alarms", len(alarm)+len(good), 0)
		equal(t, "letters", len(h.stored("bellhop-dead")), 1)
	})
}

func TestWhatIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("ok", serveNothing)
			w.HandleFunc("dead", func(context.Context, *workers.Trigger) ([]byte, error) {
				return nil, workers.Permanent(errors.New("no"))
			})
		})
		h.trigger("ok", "", "Bellhop-Policy", `{"on_failure":"next"}`)
		h.trigger("dead", "", "Bellhop-Policy", `{"on_success":"next"}`)
		h.trigger("ok", "", "Bellhop-Due", "1999-01-01T00:00:00.000Z", "Bellhop-Policy", `{"expires":"1s","on_success":"next","on_failure":"next"}`)
		take(t, done, 3)
		for _, service := range []string{"ok", "dead"} { // the caller has the answer in hand
			m := nats.NewMsg("bellhop.call." + service)
			m.Header.Set("Bellhop-Policy", `{"on_success":"next","on_failure":"next"}`)
			_, err := h.nc.RequestMsg(m, time.Minute)
			ok(t, err)
		}
		take(t, done, 2)
		equal(t, "rings", len(h.stored("bellhop-rings")), 0)
	})
}

// A service that rings itself, and passes on how deep it is, comes to an end.
func TestACircleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		d := workers.NewDispatcher(h.js, "")
		stop := h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
				_, err := d.Ring(ctx, workers.Ring{Channel: "chain", Service: "s", Source: "s", ID: t.Run[max(0, len(t.Run)-100):], Parent: t.Run, Depth: t.Depth + 1})
				return nil, err
			})
		})
		h.trigger("s", "")
		runs := take(t, done, 1+workers.MaxDepth+1)
		time.Sleep(time.Hour)
		stop()
		equal(t, "more runs", len(done), 0)
		byID, last := map[string]workers.Run{}, workers.Run{}
		for _, r := range runs {
			if byID[r.Run] = r; r.Outcome == "dead" {
				last = r
			}
		}
		letters := h.stored("bellhop-dead")
		equal(t, "letters", len(letters), 1)
		head := letters[0].Header
		equal(t, "depth", head.Get("Bellhop-Depth"), "17")
		equal(t, "parent", head.Get("Bellhop-Parent"), last.Parent)
		equal(t, "parent's outcome", byID[last.Parent].Outcome, "ok")
		for _, part := range []string{"chain is too long", last.Parent, "s leads back to itself"} {
			if !strings.Contains(last.Error, part) {
				t.Errorf("reason %q without %q", last.Error, part)
			}
		}
	})
}

// The end of a chain that is too long is a failure, but nothing follows on it.
func TestTheEndOfAChainIsItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) { w.HandleFunc("s", serveNothing) })
		h.trigger("s", "", "Bellhop-Depth", "17", "Bellhop-Policy", `{"on_failure":"s"}`)
		h.trigger("s", "", "Bellhop-Depth", "16", "Bellhop-Run", "last", "Bellhop-Policy", `{"on_success":"s"}`)
		h.trigger("s", "", "Bellhop-Depth", "99999999999", "Bellhop-Run", "absurd")
		got := map[string]int{}
		for _, r := range take(t, done, 4) {
			got[r.Outcome]++
		}
		if d := cmp.Diff(map[string]int{"dead": 2, "ok": 2}, got); d != "" {
			t.Error(d)
		}
		time.Sleep(time.Hour)
		equal(t, "more", len(done), 0)
	})
}

// A worker that dies between the ring and the acknowledgement leaves a run that
// comes again: what follows is rung once.
func TestACrashAfterTheRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		doomed := h.s.Connect()
		h.workerOn(doomed, workers.Options{Name: "doomed", DrainTimeout: time.Millisecond, OnRun: func(workers.Run) { doomed.Close() }},
			func(w *workers.Worker) {
				w.HandleFunc("s", func(context.Context, *workers.Trigger) ([]byte, error) { return []byte("first"), nil })
			})
		h.trigger("s", "", "Bellhop-Run", "r", "Bellhop-Policy", `{"on_success":"next"}`)
		for len(h.stored("bellhop-rings")) == 0 {
			time.Sleep(time.Second)
		}
		synctest.Wait()
		equal(t, "unacknowledged", h.consumer("bellhop-triggers", "s").NumAckPending, 1)
		onRun, done := watch()
		stop := h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(context.Context, *workers.Trigger) ([]byte, error) { return []byte("second"), nil })
		})
		equal(t, "attempt", take(t, done, 1)[0].Attempt, 2)
		stop()
		rings := h.stored("bellhop-rings")
		equal(t, "rings", len(rings), 1)
		equal(t, "payload", string(rings[0].Data), "first")
		equal(t, "unacknowledged", h.consumer("bellhop-triggers", "s").NumAckPending, 0)
	})
}

// A full stream of rings pushes back: the run is kept until there is room.
func TestAChainWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		s, err := h.js.Stream(t.Context(), "bellhop-rings")
		ok(t, err)
		c := s.CachedInfo().Config
		c.MaxMsgs = 1
		_, err = h.js.UpdateStream(t.Context(), c)
		ok(t, err)
		_, err = workers.NewDispatcher(h.js, "").Ring(t.Context(), workers.Ring{Channel: "cli", Service: "nobody"})
		ok(t, err)
		onRun, done := watch()
		var log journal
		handle := func(w *workers.Worker) { w.HandleFunc("s", serveNothing) }
		stop := h.worker(workers.Options{OnRun: onRun, Logger: log.logger(), AckWait: 10 * time.Second}, handle)
		h.trigger("s", "", "Bellhop-Policy", `{"on_success":"next"}`)
		time.Sleep(time.Hour)
		equal(t, "ended", len(done), 0)
		equal(t, "deliveries", h.consumer("bellhop-triggers", "s").NumRedelivered, 0)
		equal(t, "told", strings.Count(log.String(), "not rung yet"), 1)
		stop() // the run is given back
		equal(t, "outcome", take(t, done, 1)[0].Outcome, "failed")
		h.worker(workers.Options{OnRun: onRun}, handle)
		ok(t, s.DeleteMsg(t.Context(), 1))
		equal(t, "outcome", take(t, done, 1)[0].Outcome, "ok")
		rings := h.stored("bellhop-rings")
		equal(t, "rings", len(rings), 1)
		equal(t, "rung", rings[0].Subject, "bellhop.ring.chain.next")
	})
}

func TestWhatCanNeverBeRung(t *testing.T) {
	large := int(1<<20 - 2000) // too large for a ring, but not for a letter
	for _, tt := range []struct {
		name, target string
		size         int
		subject      string
		kept         int
		head         map[string]string
	}{
		{"too large", "next", large, "bellhop.dead.next", large,
			map[string]string{"Bellhop-Origin": "bellhop.ring.chain.next", "Bellhop-Parent": "r", "Bellhop-Place": ""}},
		{"far too large", "next", 2 << 20, "bellhop.dead.next", 0, map[string]string{"Bellhop-Omitted": "2097152", "Bellhop-Place": ""}},
		{"no service", "a..b", 3, "bellhop.dead.s", 3, map[string]string{"Bellhop-Target": "a=2E=2Eb", "Bellhop-Job": "j"}},
		{"no such job", "job:My  Job", 3, "bellhop.dead.s", 3, map[string]string{"Bellhop-Target": "job:My=20=20Job", "Bellhop-Origin": "bellhop.jobs.run"}},
		{"too large for a request", "job:x", 2 << 20, "bellhop.dead.s", 0, map[string]string{"Bellhop-Target": "job:x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t)
				_, err := h.nc.Subscribe("bellhop.jobs.run", func(m *nats.Msg) {
					_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Nats-Service-Error-Code": {"404"}}, Data: []byte(`{"code":404,"message":"there is no such job"}`)})
				})
				ok(t, err)
				onRun, done := watch()
				stop := h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
					w.HandleFunc("s", func(context.Context, *workers.Trigger) ([]byte, error) { return make([]byte, tt.size), nil })
				})
				h.trigger("s", "", "Bellhop-Run", "r", "Bellhop-Job", "j", "Bellhop-Policy", fmt.Sprintf(`{"on_success":%q}`, tt.target))
				equal(t, "outcome", take(t, done, 1)[0].Outcome, "ok")
				stop()
				letters := h.stored("bellhop-dead")
				equal(t, "letters", len(letters), 1)
				equal(t, "rings", len(h.stored("bellhop-rings")), 0)
				m := letters[0]
				equal(t, "subject", m.Subject, tt.subject)
				equal(t, "payload", len(m.Data), tt.kept)
				for name, want := range tt.head {
					equal(t, name, m.Header.Get(name), want)
				}
				if reason := m.Header.Get("Bellhop-Reason"); !strings.HasPrefix(reason, "not rung after r: ") {
					t.Errorf("reason %q", reason)
				}
				equal(t, "unacknowledged", h.consumer("bellhop-triggers", "s").NumAckPending, 0)
			})
		})
	}
}

// A job is rung by the leading scheduler, which is waited for.
func TestAChainWaitsForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) { return t.Payload, nil })
		})
		markup := strings.Repeat("<", 300_000) // of which HTML would make 1.8 MB
		for _, payload := range []string{`<"quoted">`, "\xff", "", markup} {
			h.trigger("s", payload, "Bellhop-Policy", `{"on_success":"job:My Job"}`)
		}
		time.Sleep(10 * time.Minute)
		equal(t, "ended", len(done), 0)
		asked := make(chan map[string]any, 100)
		_, err := h.nc.Subscribe("bellhop.jobs.run", func(m *nats.Msg) {
			q := map[string]any{}
			if err := json.Unmarshal(m.Data, &q); err != nil {
				t.Error(err)
			}
			asked <- q
			if len(asked) == 1 { // the first answer says that the log was lost
				_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Nats-Service-Error-Code": {"503"}}, Data: []byte(`{"code":503,"message":"lost"}`)})
				return
			}
			_ = m.Respond([]byte(`{"run":"chain:1"}`))
		})
		ok(t, err)
		equal(t, "outcomes", outcomes(take(t, done, 4)), "ok ok ok ok")
		got := map[string]bool{}
		for _, q := range take(t, asked, 5) {
			equal(t, "name", q["name"], any("My Job"))
			equal(t, "depth", q["depth"], any(1.0))
			got[fmt.Sprintf("%v %v", q["payload"], q["payload_base64"])] = true
		}
		if d := cmp.Diff(map[string]bool{`<"quoted"> <nil>`: true, "<nil> /w==": true, " <nil>": true, markup + " <nil>": true}, got); d != "" {
			t.Error(d)
		}
		equal(t, "letters", len(h.stored("bellhop-dead")), 0)
	})
}

// What was done in spite of the order to stop is followed all the same.
func TestAChainOfAWorkerThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		begun := make(chan bool, 1)
		stop := h.worker(workers.Options{OnRun: onRun, DrainTimeout: time.Second}, func(w *workers.Worker) {
			w.HandleFunc("s", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
				begun <- true
				<-ctx.Done()
				return []byte("done all the same"), nil
			})
		})
		h.trigger("s", "", "Bellhop-Policy", `{"on_success":"next"}`)
		<-begun
		stop()
		equal(t, "outcome", take(t, done, 1)[0].Outcome, "ok")
		rings := h.stored("bellhop-rings")
		equal(t, "rings", len(rings), 1)
		equal(t, "payload", string(rings[0].Data), "done all the same")
		equal(t, "unacknowledged", h.consumer("bellhop-triggers", "s").NumAckPending, 0)
	})
}
