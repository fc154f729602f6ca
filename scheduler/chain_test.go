package scheduler_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

// work runs a worker until stop is called, at the test's end at the latest.
func (h *house) work(services map[string]workers.ServiceFunc) (done chan workers.Run, stop func()) {
	h.Helper()
	done = make(chan workers.Run, 1000)
	nc := h.s.Connect()
	w := workers.New(nc, workers.Options{Logger: slog.New(slog.DiscardHandler), OnRun: func(r workers.Run) { done <- r }})
	for name, f := range services {
		w.Handle(name, f)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			h.Errorf("worker: %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	h.Cleanup(stop)
	return done, stop
}

func echo(_ context.Context, t *workers.Trigger) ([]byte, error) { return t.Payload, nil }

// A job that follows on another is run with its own service and policies, even
// when it is inactive, and its record is its own.
func TestAJobFollowsOnAnother(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		seen := make(chan workers.Trigger, 10)
		done, stop := h.work(map[string]workers.ServiceFunc{
			"fetch": echo,
			"post":  func(_ context.Context, t *workers.Trigger) ([]byte, error) { seen <- *t; return nil, nil },
			"fails": func(context.Context, *workers.Trigger) ([]byte, error) { return nil, errors.New("no luck") },
		})
		h.do("create", `{"name":"Then This","service":"post","schedule":{"every":"1h"},"active":false,"payload":"its own","timeout":"7s"}`)
		h.do("create", `{"name":"first","service":"fetch","schedule":{"every":"1h"},"payload_base64":"AP8=","on_success":"job:Then This"}`)
		h.do("create", `{"name":"broken","service":"fails","schedule":{"every":"1h"},"on_failure":"job:Then This","retry":{"attempts":2}}`)
		h.do("create", `{"name":"empty","service":"fetch","schedule":{"every":"1h"},"on_success":"job:Then This"}`)
		want := map[string]workers.Trigger{
			"first":  {Payload: []byte("\x00\xff")},
			"broken": {Payload: []byte("no luck"), Header: map[string][]string{"Bellhop-Reason": {"no luck"}, "Bellhop-Attempts": {"2"}}},
			"empty":  {Payload: []byte{}},
		}
		for name, w := range want {
			parent := h.do("run", `{"name":"`+name+`"}`).str("run")
			got := <-seen
			if !strings.HasPrefix(got.Run, "chain:"+name+":") {
				h.Errorf("run %s", got.Run)
			}
			w.Run, w.Job, w.Service, w.Channel, w.Attempt = got.Run, "Then=20This", "post", "chain", 1
			w.Parent, w.Depth, w.Policy.Timeout = parent, 1, "7s"
			if len(w.Payload) == 0 {
				w.Payload = got.Payload
				h.same("payload", len(got.Payload), 0)
			}
			if d := cmp.Diff(w, got); d != "" {
				h.Error(d)
			}
		}
		for range 3 + 4 { // one of them was tried twice
			<-done
		}
		stop()
		runs := h.runs("Then=20This")
		h.same("records", len(runs), 3)
		for _, r := range runs {
			if r.Parent == "" || r.Channel != "chain" {
				h.Errorf("record %+v", r)
			}
		}
	})
}

// Two jobs that name one another end with one dead letter, which says so.
func TestACircleOfJobsEnds(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		done, stop := h.work(map[string]workers.ServiceFunc{"s": echo})
		h.do("create", `{"name":"A 1","service":"s","schedule":{"every":"1w"},"on_success":"job:B","on_failure":"job:B"}`)
		h.do("create", `{"name":"B","service":"s","schedule":{"every":"1w"},"on_success":"job:A 1","on_failure":"job:A 1"}`)
		h.do("run", `{"name":"A 1","payload":"around"}`)
		var last workers.Run
		for range 1 + workers.MaxDepth + 1 {
			if r := <-done; r.Outcome == "dead" { // it may overtake the one before
				last = r
			}
		}
		time.Sleep(time.Hour) // in a bubble: another run would come
		stop()
		h.same("more runs", len(done), 0)
		h.same("outcome", last.Outcome, "dead")
		var letters []*workers.Letter
		for l, err := range h.client.Letters(h.Context(), scheduler.LetterFilter{}) {
			h.ok(err)
			letters = append(letters, l)
		}
		h.same("letters", len(letters), 1)
		for _, words := range []string{"the chain is too long", last.Parent, "A=201 and B lead back to each other"} {
			if !strings.Contains(letters[0].Reason, words) {
				h.Errorf("reason %q without %q", letters[0].Reason, words)
			}
		}
		h.same("parent", letters[0].Parent, last.Parent)
	})
}

// A chain waits for a leader.
func TestAChainOutlivesTheLeader(t *testing.T) {
	inBubble(t, func(h *house) {
		stop := h.start(scheduler.Options{})
		done, _ := h.work(map[string]workers.ServiceFunc{"s": echo})
		h.do("create", `{"name":"next","service":"s","schedule":{"every":"1w"},"active":false}`)
		stop()
		_, err := workers.NewDispatcher(h.js, "").Ring(h.Context(), workers.Ring{Channel: "cli", Service: "s", Policy: workers.Policy{OnSuccess: "job:next"}})
		h.ok(err)
		time.Sleep(5 * time.Minute) // in a bubble: long enough to give up, which it must not
		synctest.Wait()
		h.same("done", len(done), 0)
		h.start(scheduler.Options{})
		got := map[string]string{}
		for range 2 {
			r := <-done
			got[r.Channel+" "+r.Job] += r.Outcome
		}
		if d := cmp.Diff(map[string]string{"cli ": "ok", "chain next": "ok"}, got); d != "" {
			h.Error(d)
		}
	})
}

// A job that is not there, or is broken, is a dead letter, and whoever makes it
// can send the letter back to work.
func TestAJobThatIsNotThere(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		done, _ := h.work(map[string]workers.ServiceFunc{"s": echo, "next": echo})
		h.do("create", `{"name":"first","service":"s","schedule":{"every":"1w"},"payload":"out","on_success":"job:Not There"}`)
		parent := h.do("run", `{"name":"first"}`).str("run")
		r := <-done
		h.same("outcome", r.Outcome, "ok")
		l, err := h.client.Letter(h.Context(), 1)
		h.ok(err)
		want := &workers.Letter{
			ID: 1, Time: l.Time, Run: l.Run, Service: "s", Job: "first", Channel: "chain", Parent: parent, Depth: 1, Target: "job:Not There",
			Reason: "not rung after " + parent + `: run job "Not There": ring refused: there is no job "Not There"`, Origin: "bellhop.jobs.run", Size: 3, Payload: "out",
		}
		if d := cmp.Diff(want, l); d != "" {
			h.Error(d)
		}
		if _, err := h.client.RedriveLetter(h.Context(), 1); scheduler.Code(err) != 400 {
			h.Errorf("redriven to nowhere: %v", err)
		}
		h.do("create", `{"name":"Not There","service":"next","schedule":{"every":"1w"}}`)
		run, err := h.client.RedriveLetter(h.Context(), 1)
		h.ok(err)
		h.same("run", run, l.Run)
		r = <-done
		if r.Service != "next" || r.Job != "Not=20There" || r.Output != "out" || r.Parent != parent || r.Run != l.Run {
			h.Errorf("after it was sent back: %+v", r)
		}
		n, err := h.client.CountLetters(h.Context(), scheduler.LetterFilter{})
		h.ok(err)
		h.same("letters", n, 0)
	})
}

func TestRunVerbOfAChain(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.do("create", `{"name":"j","service":"s","schedule":{"every":"1w"},"payload":"own"}`)
		for range 2 { // asked twice is rung once
			h.same("id", h.do("run", `{"name":"j","id":"7"}`).str("run"), "manual:7")
			h.same("id", h.do("run", `{"name":"j","id":"7","source":"x y","parent":"p","depth":3,"payload_base64":"","headers":{"Color":["red"],"Nats-Rollup":["all"]}}`).str("run"), "chain:x=20y:7")
		}
		rings, err := h.js.Stream(h.Context(), "bellhop-rings")
		h.ok(err)
		h.same("rings", rings.CachedInfo().State.Msgs, uint64(2))
		m, err := rings.GetMsg(h.Context(), 2)
		h.ok(err)
		h.same("payload", len(m.Data), 0)
		for name, want := range map[string]string{"Bellhop-Parent": "p", "Bellhop-Depth": "3", "Bellhop-Channel": "chain", "Color": "red", "Nats-Rollup": ""} {
			h.same(name, m.Header.Get(name), want)
		}
		h.refuses("run", `{"name":"j","payload":"x","payload_base64":"AA=="}`, 400, "payload_base64", "two payloads")
		h.refuses("run", `{"name":"j","id":"`+strings.Repeat("x", 256)+`"}`, 400, "", "256")
		h.refuses("run", `{"name":"j","depth":-1}`, 400, "", "depth")
		h.refuses("run", `{"name":"j","depth":"x"}`, 400, "depth", "")
		h.refuses("run", `{"name":"j","headers":{"A":["b\r\nc"]}}`, 400, "", "line break")
		h.refuses("run", `{"name":"j","colour":"x"}`, 400, "colour", "unknown")
	})
}
