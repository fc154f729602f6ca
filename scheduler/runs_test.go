package scheduler_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

func TestCancelRun(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		ask := func(body string) string {
			m, err := h.nc.Request("bellhop.runs.cancel", []byte(body), time.Minute)
			h.ok(err)
			return string(m.Data)
		}
		h.same("waiting", ask(`{"run":"manual:1"}`), `{"run":"manual:1"}`)
		h.same("twice", ask(`{"run":"manual:1"}`), `{"run":"manual:1"}`)
		for _, outcome := range []string{workers.OutcomeFailed, workers.OutcomeDead} {
			_, err := h.js.Publish(h.Context(), "bellhop.run.j", []byte(`{"run":"j@1","outcome":"`+outcome+`"}`))
			h.ok(err)
		}
		c, err := h.client.CancelRun(h.Context(), "j@1")
		h.ok(err)
		h.same("ended", c, scheduler.Cancelled{Run: "j@1", Outcome: workers.OutcomeDead})
		for _, body := range []string{`{}`, `{"run":""}`, `{"run":"a\tb"}`, `{"run":1}`, `{"id":"x"}`, `[`} {
			if reply := ask(body); !strings.Contains(reply, `"code":400`) {
				t.Errorf("%s: %s", body, reply)
			}
		}
	})
}
