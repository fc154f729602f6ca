package scheduler_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
)

// A definition put into the bucket by hand is as good as any.
func TestByHand(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.lead(scheduler.Options{})
		h.do("create", `{"name":"canary","service":"canary","schedule":{"every":"1s","start":"2000-01-01T00:00:00Z"}}`)
		h.until("2000-01-01T00:00:10Z")

		// The name is the key's, the anchor the entry's timestamp, the payload's
		// bytes and unknown fields stay through whatever the scheduler writes.
		const payload = `{ "b" : 1.0e2,"a":"<&>\u2028", "b2":[ ] }`
		h.byHand("My=20Job", `{ "service":"s", "schedule":{"every":"7s","max_runs":2}, "payload": `+payload+`, "x-owner":{"team": "a"} }`)
		r := h.get("My Job")
		if r.str("name") != "My Job" || r.str("anchor") != "2000-01-01T00:00:10.000Z" || r.str("activated") != "2000-01-01T00:00:10.000Z" || r.str("next") != "2000-01-01T00:00:17.000Z" {
			t.Errorf("by hand: %v", r)
		}
		if s := h.stored("My=20Job"); !strings.Contains(s, `"anchor":"2000-01-01T00:00:10.000Z"`) || !strings.Contains(s, payload) || !strings.Contains(s, `"x-owner":{"team": "a"}`) {
			t.Errorf("stored: %s", s)
		}
		h.until("2000-01-01T00:00:12Z")
		h.do("update", `{"name":"My Job","labels":{"a":"b"}}`) // does not move the grid
		e.kill()
		e = h.lead(scheduler.Options{Embedded: true})
		h.until("2000-01-01T00:00:25Z")
		h.rang("My=20Job", "00:17.000", "00:24.000")
		h.inactive("My Job", "completed")
		if s := h.stored("My=20Job"); !strings.Contains(s, payload) || !strings.Contains(s, `"x-owner":{"team": "a"}`) || !strings.Contains(s, `"active":false,"reason":"completed"`) && !strings.Contains(s, `"reason":"completed"`) {
			t.Errorf("stored at the end: %s", s)
		}
		for _, r := range h.log() {
			if r.service == "s" && r.payload != payload {
				t.Errorf("payload %s", r.payload)
			}
		}

		// An anchor of one's own stays; one-time jobs in the past are missed;
		// an empty name and null fields are absent ones.
		h.until("2000-01-01T00:00:30Z")
		h.byHand("anchored", `{"service":"s","schedule":{"every":"20s","max_runs":1},"anchor":"2000-01-01T00:00:15Z"}`)
		h.byHand("late", `{"service":"s","schedule":{"at":"1999-12-31T00:00:00Z"}}`)
		h.byHand("nulls", `{"name":null,"service":"s","schedule":{"at":null,"cron":"* * * * * *","every":null},"payload":null,"active":null,"retry":null,"timeout":null,"labels":null}`)
		h.byHand("off", `{"service":"s","schedule":{"every":"1s"},"active":false}`)
		h.until("2000-01-01T00:00:37Z")
		h.rang("anchored", "00:35.000")
		h.rang("late")
		h.inactive("late", "missed")
		h.rang("off")
		h.inactive("off", "deactivated")
		if got := h.fired("nulls"); len(got) != 7 && len(got) != 6 {
			t.Errorf("nulls: %v", got)
		}
		h.do("activate", `{"name":"off"}`)

		// A deletion by hand ends a job, and its name is free again.
		b, err := h.js.KeyValue(h.Context(), "bellhop-jobs")
		h.ok(err)
		h.ok(b.Delete(h.Context(), "nulls"))
		h.ok(b.Purge(h.Context(), "late"))
		time.Sleep(100 * time.Millisecond)
		n := len(h.fired("nulls"))
		time.Sleep(3 * time.Second)
		if got := len(h.fired("nulls")); got != n {
			t.Errorf("%d triggers after the deletion", got-n)
		}
		h.refuses("get", `{"name":"nulls"}`, 404, "name", "no job")
		h.do("create", `{"name":"nulls","service":"s","schedule":{"every":"1h"}}`)
		h.do("create", `{"name":"late","service":"s","schedule":{"every":"1h"}}`)
		h.canary()
		e.stop()
	})
}

// canary checks that the job of that name was rung every second, on time.
func (h *house) canary() {
	h.Helper()
	rings := h.fired("canary")
	first, err := time.Parse(time.RFC3339, rings[0])
	h.ok(err)
	if want := int(time.Since(first)/time.Second) + 1; len(rings) != want {
		h.Errorf("the canary was rung %d times since %s, not %d", len(rings), rings[0], want)
	}
	if late := h.onceEach(); late > 0 {
		h.Errorf("%v late", late)
	}
}

// A broken definition stays as it is, says what is wrong, harms nobody, and
// heals when it is corrected.
func TestBrokenByHand(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.lead(scheduler.Options{})
		h.do("create", `{"name":"canary","service":"canary","schedule":{"every":"1s","start":"2000-01-01T00:00:00Z"}}`)
		const good = `"service":"s","schedule":{"every":"1s"}`
		broken := map[string]struct{ def, says string }{
			"empty":                            {"", "JSON object"},
			"nonsense":                         {"hello", "JSON object"},
			"half":                             {`{"service":"s",`, "broken JSON"},
			"array":                            {`[` + good + `]`, "JSON object"},
			"two":                              {`{` + good + `}{}`, "broken JSON"},
			"deep":                             {`{"payload":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `,` + good + `}`, "deeper"},
			"deepest":                          {strings.Repeat(`{"a":`, 100_000), "deeper"},
			"latin":                            {"{\"payload\":\"\xe9\"," + good + `}`, "UTF-8"},
			"twice":                            {`{"service":"t",` + good + `}`, "twice"},
			"noservice":                        {`{"schedule":{"every":"1s"}}`, "service"},
			"badservice":                       {`{"service":"a b","schedule":{"every":"1s"}}`, "service"},
			"wildcard":                         {`{"service":">","schedule":{"every":"1s"}}`, "service"},
			"noschedule":                       {`{"service":"s"}`, "schedule"},
			"text":                             {`{"service":"s","schedule":"every day"}`, "schedule"},
			"number":                           {`{"service":"s","schedule":{"every":5}}`, "every"},
			"cron":                             {`{"service":"s","schedule":{"cron":"99 * * * *"}}`, "cron"},
			"tz":                               {`{"service":"s","schedule":{"cron":"TZ="}}`, "cron"},
			"february":                         {`{"service":"s","schedule":{"cron":"0 0 30 2 *"}}`, "cron"},
			"huge":                             {`{"service":"s","schedule":{"every":"1s","max_runs":1e400}}`, "max_runs"},
			"year":                             {`{"service":"s","schedule":{"at":"+10000-01-01T00:00:00Z"}}`, "at"},
			"labels":                           {`{"labels":5,` + good + `}`, "labels"},
			"othername":                        {`{"name":"somebody else",` + good + `}`, "another key"},
			"payloads":                         {`{"payload":1,"payload_base64":"AA==",` + good + `}`, "two payloads"},
			"base64":                           {`{"payload_base64":"!",` + good + `}`, "base64"},
			"missed":                           {`{"missed":"maybe",` + good + `}`, "skip, once, all"},
			"oversize":                         {`{"payload":"` + strings.Repeat("x", 1<<20-200) + `",` + good + `}`, "too large"},
			"oversize2":                        {`{"x":"` + strings.Repeat("x", 1<<20-200) + `",` + good + `}`, ""},
			"a.b":                              {`{` + good + `}`, "escape"},
			"a/b":                              {`{` + good + `}`, "escape"},
			"=41":                              {`{` + good + `}`, "escape"},
			"long-" + strings.Repeat("x", 200): {`{` + good + `}`, "200"},
			"=00":                              {`{` + good + `}`, "printed"},
			"=FF":                              {`{` + good + `}`, "UTF-8"},
		}
		for key, c := range broken {
			h.byHand(key, c.def)
		}
		time.Sleep(3 * time.Second)
		e.kill()
		h.lead(scheduler.Options{Embedded: true})
		time.Sleep(3 * time.Second)
		h.same("rung", h.keys(), []string{"canary"})
		seen := 0
		for j, err := range h.client.List(h.Context(), scheduler.Filter{State: scheduler.StateInactive}) {
			h.ok(err)
			seen++
			c, ok := broken[strings.ReplaceAll(j.Name, "=", "=3D")] // names are unescaped keys, or the keys where those cannot be
			_ = ok
			if j.Reason != scheduler.ReasonInvalid || j.Error == "" || c.says != "" && !strings.Contains(j.Error, c.says) || len(j.Error) > 1000 {
				t.Errorf("%q: %s: %s", j.Name, j.Reason, j.Error)
			}
		}
		if seen != len(broken) {
			t.Errorf("%d of %d broken jobs are listed", seen, len(broken))
		}
		for key, c := range broken {
			if h.stored(key) != c.def {
				t.Errorf("%s was changed", key)
			}
		}
		r := h.get("cron")
		if r.str("reason") != "invalid" || r["active"] != nil || !strings.Contains(r.str("error"), "schedule.cron") || r.str("state") != "inactive" {
			t.Errorf("get cron: %v", r)
		}
		h.refuses("get", `{"name":"oversize"}`, 413, "", "nats kv get")
		h.refuses("run", `{"name":"cron"}`, 409, "", "correct it")
		h.refuses("run", `{"name":"nonsense"}`, 409, "", "correct it")
		h.refuses("activate", `{"name":"cron"}`, 400, "schedule.cron", "")
		h.refuses("update", `{"name":"cron","payload":1}`, 400, "schedule.cron", "")
		h.refuses("activate", `{"name":"nonsense"}`, 409, "", "put")
		h.refuses("deactivate", `{"name":"nonsense"}`, 409, "", "put")
		h.refuses("create", `{"name":"cron",`+good+`}`, 409, "name", "put")
		h.same("next of an invalid one", h.do("next", `{"name":"cron"}`)["next"], any([]any{}))

		// Each way to heal.
		h.do("update", `{"name":"cron","schedule":{"cron":"* * * * * *"}}`)
		h.do("put", `{"name":"nonsense",`+good+`}`)
		h.do("update", `{"name":"half",`+good+`}`)
		h.do("activate", `{"name":"tz","schedule":{"every":"1s"}}`)
		h.byHand("labels", `{"labels":{"a":"5"},`+good+`}`)
		h.do("update", `{"name":"oversize","payload":"small"}`)
		for _, name := range []string{"huge", "deep", "oversize2"} {
			h.do("delete", `{"name":"`+name+`"}`)
		}
		time.Sleep(2500 * time.Millisecond)
		h.same("healed", h.keys(), []string{"canary", "cron", "half", "labels", "nonsense", "oversize", "tz"})
		h.do("deactivate", `{"name":"year"}`) // of a broken one: it stays broken
		if r := h.get("year"); r.str("reason") != "invalid" {
			t.Errorf("year: %v", r)
		}
		if late := h.onceEach(); late > time.Second {
			t.Errorf("%v late", late)
		}
		b, err := json.Marshal(h.do("list", `{"limit":1000}`))
		h.ok(err)
		if len(b) > 256<<10 {
			t.Errorf("a list of %d bytes", len(b))
		}
	})
}
