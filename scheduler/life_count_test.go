package scheduler_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
)

// max_runs counts triggers in the log, exactly, over edits, rings by hand,
// activations and restarts of every kind.
func TestMaxRuns(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.lead(scheduler.Options{})
		h.do("create", `{"name":"c","service":"s","schedule":{"every":"1s","start":"2000-01-01T00:00:01Z","max_runs":12}}`)
		h.do("create", `{"name":"one","service":"s","schedule":{"every":"1s","max_runs":1}}`)
		h.byHand("hand", `{"service":"s","schedule":{"every":"1s","start":"2000-01-01T00:00:01Z","max_runs":5}}`)
		// Restarts within the second between two runs, at many instants of it.
		for i := range 11 {
			h.until(fmt.Sprintf("2000-01-01T00:00:%02dZ", i+1))
			time.Sleep(time.Duration(i*i*4) * time.Millisecond) // right after a run, and later
			switch i % 4 {
			case 0:
				e.stop()
				e = h.lead(scheduler.Options{})
			case 1:
				e.kill()
				e = h.lead(scheduler.Options{Embedded: true})
			case 2:
				h.do("run", `{"name":"c"}`)
				h.do("update", `{"name":"c","payload":"edited"}`)
				h.do("update", `{"name":"c","schedule":{"every":"1000ms","start":"2000-01-01T00:00:01Z","max_runs":12}}`)
				standby := h.engine(scheduler.Options{})
				time.Sleep(20 * time.Millisecond)
				e.stop()
				<-standby.Ready()
				e = standby
			}
			if got := h.get("c").num("runs"); got != i+1 {
				t.Fatalf("after %d runs: %d", i+1, got)
			}
		}
		h.until("2000-01-01T00:00:15Z")
		if n := len(h.fired("c")); n != 12 {
			t.Errorf("%d runs, not 12", n)
		}
		for name, runs := range map[string]int{"c": 12, "hand": 5, "one": 1} {
			h.inactive(name, "completed")
			if r := h.get(name); r.num("runs") != runs || len(h.fired(name)) != runs {
				t.Errorf("%s has run %d times, and tells of %d: want %d", name, len(h.fired(name)), r.num("runs"), runs)
			}
		}
		e.stop()
		e = h.lead(scheduler.Options{})
		if got := h.get("c").num("runs"); got != 12 {
			t.Errorf("after a restart the completed job shows %d runs", got)
		}

		// Made active again, it counts from zero, also by hand and by put.
		if got := h.do("activate", `{"name":"c"}`); got["runs"] != 0.0 {
			t.Errorf("activated: %v", got)
		}
		h.byHand("hand", `{"service":"s","schedule":{"every":"1s","start":"2000-01-01T00:00:01Z","max_runs":5},"activated":"`+
			h.get("hand").str("activated")+`","reason":"completed"}`)
		h.do("put", `{"name":"one","service":"s","schedule":{"every":"1s","max_runs":1}}`)
		time.Sleep(3500 * time.Millisecond)
		e.kill()
		e = h.lead(scheduler.Options{Embedded: true})
		h.do("deactivate", `{"name":"c"}`)
		h.do("activate", `{"name":"c","schedule":{"every":"1s","start":"2000-01-01T00:00:00.5Z","max_runs":2}}`)
		time.Sleep(10 * time.Second)
		for name, runs := range map[string]int{"c": 12 + 3 + 2, "hand": 10, "one": 2} {
			h.inactive(name, "completed")
			if n := len(h.fired(name)); n < runs || n > runs+1 {
				t.Errorf("%s has run %d times in all, want %d", name, n, runs)
			}
		}

		// Deleted and made again, nothing of the count is left.
		h.do("delete", `{"name":"c"}`)
		h.refuses("get", `{"name":"c"}`, 404, "name", "no job")
		state, err := h.js.KeyValue(h.Context(), "bellhop-state")
		h.ok(err)
		if _, err := state.Get(h.Context(), "count.c"); err == nil {
			t.Error("the count of a deleted job is still there")
		}
		if got := h.do("create", `{"name":"c","service":"s","schedule":{"every":"1s","max_runs":3}}`); got["runs"] != 0.0 {
			t.Errorf("created again: %v", got)
		}
		time.Sleep(2500 * time.Millisecond)
		if got := h.get("c").num("runs"); got != 2 {
			t.Errorf("created again: %d runs", got)
		}
		// Fewer than have been, at once complete; more, and it goes on.
		h.do("update", `{"name":"c","schedule":{"every":"1s","max_runs":1}}`)
		time.Sleep(time.Second)
		h.inactive("c", "completed")
		h.onceEach()
		e.stop()
	})
}

// Many counted jobs at once, through polite and impolite ends.
func TestManyCounts(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.lead(scheduler.Options{})
		const n = 80
		for i := range n {
			h.do("create", fmt.Sprintf(`{"name":"j%d","service":"s","missed":"all","schedule":{"every":"100ms","start":"2000-01-01T00:00:01Z","max_runs":%d}}`, i, i%40+1))
		}
		for i, d := range []time.Duration{1300, 200, 450, 777, 333, 501} {
			time.Sleep(d * time.Millisecond)
			if i%2 == 0 {
				e.kill()
			} else {
				e.stop()
			}
			e = h.lead(scheduler.Options{Embedded: true})
		}
		time.Sleep(5 * time.Second)
		counts := map[string]int{}
		for _, r := range h.log() {
			counts[r.run[:len(r.run)-len("@946684802000")]]++
		}
		for i := range n {
			name := fmt.Sprintf("j%d", i)
			if counts[name] != i%40+1 {
				t.Errorf("%s has run %d times, not %d", name, counts[name], i%40+1)
			}
			if r := h.get(name); r.str("reason") != "completed" || r.num("runs") != i%40+1 {
				t.Errorf("%s: %v", name, r)
			}
		}
		h.onceEach()
	})
}
