package scheduler_test

import (
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
)

// A one-time job: refused when its time has passed, rung once, inactive after
// it, and alive again with another time only.
func TestOnce(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.until("2000-01-01T00:01:00Z")
		for _, at := range []string{"1999-12-31T23:59:59Z", "2000-01-01T00:00:59.999Z", "2000-01-01T00:01:00Z", "2000-01-01T01:01:00+01:00"} {
			h.refuses("create", `{"name":"late","service":"s","schedule":{"at":"`+at+`"}}`, 400, "schedule.at", "has passed")
			h.refuses("put", `{"name":"late","service":"s","schedule":{"at":"`+at+`"}}`, 400, "schedule.at", "time that is to come")
		}
		h.refuses("get", `{"name":"late"}`, 404, "name", "late")

		r := h.do("create", `{"name":"once","service":"s","schedule":{"at":"2000-01-01T00:01:05.25Z"}}`)
		if r.str("state") != "active" || r.str("next") != "2000-01-01T00:01:05.250Z" {
			t.Errorf("created: %v", r)
		}
		h.do("create", `{"name":"soon","service":"s","schedule":{"at":"2000-01-01T00:01:00.002Z"}}`)
		h.do("create", `{"name":"never","service":"s","schedule":{"at":"2000-01-01T00:01:06Z"},"active":false}`)
		h.until("2000-01-01T00:01:05.249Z")
		h.rang("once")
		h.until("2000-01-01T00:01:07Z")
		h.rang("once", "00:01:05.250")
		h.rang("soon", "00:01:00.002")
		h.inactive("once", "completed")
		h.inactive("soon", "completed")
		h.inactive("never", "deactivated")

		h.refuses("activate", `{"name":"once"}`, 400, "schedule.at", "has passed")
		h.refuses("activate", `{"name":"never"}`, 400, "schedule.at", "has passed")
		h.refuses("update", `{"name":"once","active":true}`, 400, "schedule.at", "has passed")
		h.refuses("activate", `{"name":"once","schedule":{"at":"2000-01-01T00:01:05.25Z"}}`, 400, "schedule.at", "has passed")
		h.inactive("once", "completed")
		h.do("update", `{"name":"once","payload":"edited","schedule":{"at":"2000-01-01T00:00:01Z"}}`)
		h.inactive("once", "completed") // an edit does not wake it

		r = h.do("activate", `{"name":"once","schedule":{"at":"2000-01-01T00:01:10Z"}}`)
		if r.str("state") != "active" || r["reason"] != nil {
			t.Errorf("activated: %v", r)
		}
		h.do("put", `{"name":"soon","service":"s","schedule":{"at":"2000-01-01T00:01:11Z"}}`)
		h.do("activate", `{"name":"never","schedule":{"every":"3s","max_runs":1}}`)
		time.Sleep(10 * time.Second)
		h.rang("once", "00:01:05.250", "00:01:10.000")
		h.rang("soon", "00:01:00.002", "00:01:11.000")
		h.rang("never", "00:01:10.")
		for _, name := range []string{"once", "soon", "never"} {
			h.inactive(name, "completed")
		}
		if late := h.onceEach(); late != 0 {
			t.Errorf("%v late", late)
		}
	})
}
