package scheduler_test

import (
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
)

func TestSmoke(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.Log(h.ask("create", `{"name":"My Sample","service":"log-input","schedule":{"every":"2s"},"payload":"hello"}`))
		time.Sleep(10*time.Second + time.Millisecond)
		for _, r := range h.log() {
			h.Log(r)
		}
		h.Log(time.Now());h.Log(h.ask("list", `{}`))
		h.Log(h.ask("deactivate", `{"name":"My Sample"}`))
		h.Log(time.Now());h.Log(h.ask("get", `{"name":"My Sample"}`))
		h.Log(h.ask("activate", `{"name":"My Sample"}`))
		h.Log(h.ask("next", `{"name":"My Sample"}`))
		h.Log(h.ask("delete", `{"name":"My Sample"}`))
		h.Log(h.ask("delete", `{"name":"My Sample"}`))
	})
}
