package web

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// why asks for the answer, at so much after midnight.
func (h *house) why(name string, after time.Duration) reasons {
	h.Helper()
	at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(after).Format(time.RFC3339Nano)
	return read[reasons](h, h.want(200, "GET", "/jobs/"+url.PathEscape(name)+"/why?at="+at, ""))
}

// Why a job did or did not run at a time is found out.
func TestWhy(t *testing.T) {
	inBubble(t, func(h *house) {
		time.Sleep(10 * time.Second)
		const minute = time.Minute
		for _, service := range []string{"good", "bad", "slow", "nobody"} {
			h.make(service, service, `{"cron":"* * * * *"}`)
		}
		for _, name := range []string{"stopped", "stopped by put", "edited", "deleted", "stopped, edited and active again", "quiet"} {
			h.make(name, "good", `{"cron":"* * * * *"}`)
		}
		for _, name := range []string{"made inactive", "made inactive, then active"} {
			h.want(200, "PUT", at("/jobs/%s", name), `{"service":"good","schedule":{"cron":"* * * * *"},"active":false}`)
		}
		h.make("daily", "good", `{"cron":"0 12 * * *"}`)
		h.make("once", "good", `{"at":"2000-01-01T00:01:00Z"}`)
		h.work()
		time.Sleep(80 * time.Second) // 00:01:30
		h.want(200, "PATCH", "/jobs/edited", `{"description":"a"}`)
		h.want(200, "PATCH", "/jobs/quiet", `{"history":"none"}`)
		h.want(200, "POST", "/jobs/stopped/deactivate", "", "Test-Name", "bob")
		h.want(200, "PUT", at("/jobs/%s", "stopped by put"), `{"service":"good","schedule":{"cron":"* * * * *"},"active":false}`, "Test-Name", "bob")
		last := at("/jobs/%s", "stopped, edited and active again")
		h.want(200, "POST", last+"/deactivate", "", "Test-Name", "bob")
		h.want(204, "DELETE", "/jobs/deleted", "", "Test-Name", "bob")
		time.Sleep(10 * time.Second)
		h.want(200, "PATCH", last, `{"description":"a"}`, "Test-Name", "eve")
		time.Sleep(50 * time.Second) // 00:02:30
		h.want(200, "POST", last+"/activate", "")
		h.want(200, "POST", at("/jobs/%s/activate", "made inactive, then active"), "")
		h.until("changes are recorded", func() bool {
			return len(read[changePage](h, h.want(200, "GET", "/changes?job="+url.QueryEscape("stopped, edited and active again"), "")).Changes) == 4
		})
		for _, q := range []struct {
			name   string
			after  time.Duration
			answer string
			runs   int
		}{
			{"good", minute, "it was rung, and its last attempt has ended: ok", 1},
			{"good", minute + 20*time.Second, "it was rung, and its last attempt has ended: ok", 1},
			{"bad", minute, "it was rung, and its last attempt has ended: dead: no such account", 1},
			{"slow", minute, "it is under way, at the worker worker", 0},
			{"nobody", minute, "it waits for a worker: none serves nobody, and 2 triggers wait", 0},
			{"edited", 2 * minute, "it was rung, and its last attempt has ended: ok", 1},
			{"stopped", minute, "it was rung, and its last attempt has ended: ok", 1},
			{"stopped", 2 * minute, "it was inactive: deactivate by bob at 2000-01-01T00:01:30", 0},
			{"stopped by put", 2 * minute, "it was inactive: put by bob at 2000-01-01T00:01:30", 0},
			{"stopped, edited and active again", 2 * minute, "it was inactive: deactivate by bob at 2000-01-01T00:01:30", 0},
			{"stopped, edited and active again", 3 * minute, "that time is to come", 0},
			{"once", minute, "it was rung, and its last attempt has ended: ok", 1},
			{"once", 2*minute + 30*time.Second, "it was inactive: completed", 0},
			{"daily", minute, "its schedule names no time within a minute of that", 0},
			{"daily", 12 * time.Hour, "that time is to come", 0},
			{"good", -minute, "it was not there yet: put by alice at 2000-01-01T00:00:10", 0},
			{"deleted", 2 * minute, "it was deleted: delete by bob at 2000-01-01T00:01:30", 0},
			{"deleted", minute, "it was rung, and its last attempt has ended: ok", 1},
			{"deleted", minute + time.Second, "there is no such job any more", 0},
			{"made inactive", minute, "it is inactive: deactivated", 0},
			{"made inactive, then active", 2 * minute, "it was inactive: put by alice at 2000-01-01T00:00:10", 0},
			{"made inactive, then active", minute, "it was inactive: put by alice at 2000-01-01T00:00:10", 0},
			{"quiet", 2 * minute, "its job keeps no records of such runs (history: none)", 0},
		} {
			v := h.why(q.name, q.after)
			if !strings.HasPrefix(v.Answer, q.answer) || len(v.Runs) != q.runs || len(v.Facts) == 0 || v.Job != q.name {
				h.Errorf("%s, %v: %q with %d runs, not %q with %d\n%q", q.name, q.after, v.Answer, len(v.Runs), q.answer, q.runs, v.Facts)
			}
		}
		h.refused(404, "name", "GET", "/jobs/missing/why?at=2000-01-01T00:01:00Z", "")
		h.leave()
		time.Sleep(10 * minute)
		h.start()
		h.until("what was missed is recorded", func() bool {
			return strings.HasPrefix(h.why("good", 8*minute).Answer, "nobody was there to ring: ")
		})
		if v := h.why("good", 8*minute); len(v.Runs) != 1 || v.Runs[0].Missed == nil {
			h.Errorf("%+v", v)
		}
		time.Sleep(minute)
		h.until("it goes on", func() bool {
			return h.why("good", 13*minute).Answer == "it was rung, and its last attempt has ended: ok"
		})
	})
}
