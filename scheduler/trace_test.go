package scheduler_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// headers gives one header of every trigger of s in the log, and whether it is
// there at all.
func (h *house) headers(name string) []string {
	h.Helper()
	stream, err := h.js.Stream(h.Context(), "bellhop-triggers")
	h.ok(err)
	var all []string
	for seq := stream.CachedInfo().State.FirstSeq; seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(h.Context(), seq)
		if err == nil && m.Subject == "bellhop.trigger.s" {
			_, there := m.Header[name]
			all = append(all, fmt.Sprint(there, " ", m.Header.Get(name)))
		}
	}
	return all
}

// A trigger carries the trace that it is given, and no header without one.
func TestTrace(t *testing.T) {
	inBubble(t, func(h *house) {
		var asked []string
		h.start(scheduler.Options{Trace: func(service, run string, due time.Time) string {
			asked = append(asked, service+" "+run+" "+due.Format(workers.DueLayout))
			if len(asked) == 2 {
				return "" // not traced
			}
			return fmt.Sprintf("trace %d", len(asked))
		}})
		h.do("create", `{"name":"j","service":"s","schedule":{"every":"1m","start":"2000-01-01T00:01:00Z","max_runs":3}}`)
		time.Sleep(10 * time.Minute)
		want := "[s j@946684860000 2000-01-01T00:01:00.000Z s j@946684920000 2000-01-01T00:02:00.000Z s j@946684980000 2000-01-01T00:03:00.000Z]"
		if got := fmt.Sprint(asked); got != want {
			t.Errorf("asked for %s", got)
		}
		if got := fmt.Sprint(h.headers(workers.HeaderTrace)); got != "[true trace 1 false  true trace 3]" {
			t.Errorf("triggers have %s", got)
		}
	})
}

// Where nothing is traced there is no header: it would cost.
func TestTraceOff(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.do("create", `{"name":"j","service":"s","schedule":{"every":"1m","max_runs":2}}`)
		time.Sleep(10 * time.Minute)
		if got := fmt.Sprint(h.headers(workers.HeaderTrace)); got != "[false  false ]" {
			t.Errorf("triggers have %s", got)
		}
	})
}
