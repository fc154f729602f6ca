package scheduler_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
)

// Every verb, its replies and its refusals.
func TestVerbs(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		const sched = `"schedule":{"every":"1h"}`

		// create and put
		r := h.do("create", `{"name":"a","service":"s",`+sched+`,"payload":{"k":1},"labels":{"team":"x"},"retry":{"attempts":3,"backoff":"1s"},"timeout":"1m30s","description":"d"}`)
		if r.num("revision") != 1 || r.str("state") != "active" || r.str("next") == "" || r["runs"] != nil || r["reason"] != nil || r.str("timeout") != "1m30s" {
			t.Errorf("created: %v", r)
		}
		e := h.refuses("create", `{"name":"a","service":"s",`+sched+`}`, 409, "name", "put")
		if e.Revision != 1 {
			t.Errorf("at revision %d", e.Revision)
		}
		for _, c := range []struct{ body, field, words string }{
			{``, "", "JSON object"},
			{`[]`, "", "JSON object"},
			{`{`, "", "broken JSON"},
			{`{} {}`, "", "broken JSON"},
			{"{\"name\":\"\xff\"}", "", "UTF-8"},
			{`{"name":"x","name":"y"}`, "name", "twice"},
			{`{"name":"x","na\u006de":"y"}`, "name", "twice"},
			{`{}`, "name", "missing"},
			{`{"name":5}`, "name", "number"},
			{`{"name":"x"}`, "service", "empty"},
			{`{"name":"x","service":"s"}`, "schedule", "exactly one"},
			{`{"name":"x","service":"s","schedule":null}`, "schedule", "exactly one"},
			{`{"name":"x","service":"s","schedule":[]}`, "schedule", "JSON object"},
			{`{"name":"x","service":"s","schedule":{"every":"1s","cron":"* * * * *"}}`, "schedule", "2 of"},
			{`{"name":"x","service":"s","schedule":{"every":"1s","every":"2s"}}`, "schedule.every", "twice"},
			{`{"name":"x","service":"s","schedule":{"every":"1s","evry":"2s"}}`, "schedule.evry", "unknown"},
			{`{"name":"x","service":"s","schedule":{"every":"-1s"}}`, "schedule.every", "negative"},
			{`{"name":"x","service":"s","schedule":{"every":"200y"}}`, "schedule.every", "duration"},
			{`{"name":"x","service":"s","schedule":{"every":"1us"}}`, "schedule.every", ""},
			{`{"name":"x","service":"s","schedule":{"every":"1s","max_runs":-1}}`, "schedule.max_runs", ""},
			{`{"name":"x","service":"s","schedule":{"every":"1s","max_runs":1e999}}`, "schedule.max_runs", ""},
			{`{"name":"x","service":"s","schedule":{"every":"1s","jitter":"1s"}}`, "schedule.jitter", "less"},
			{`{"name":"x","service":"s","schedule":{"cron":"@every 1s"}}`, "schedule.cron", "every"},
			{`{"name":"x","service":"s","schedule":{"cron":"* * * * *","time_zone":"Mars/Base"}}`, "schedule.time_zone", "IANA"},
			{`{"name":"x","service":"s","schedule":{"at":"9999999-01-01T00:00:00Z"}}`, "schedule.at", "RFC 3339"},
			{`{"name":"x","service":"s",` + sched + `,"colour":"red"}`, "colour", "unknown field"},
			{`{"name":"x","service":"s",` + sched + `,"Active":true}`, "Active", "unknown field"},
			{`{"name":"x","service":"s",` + sched + `,"retry":{"attempts":3,"often":1}}`, "retry.often", "unknown"},
			{`{"name":"x","service":"s",` + sched + `,"retry":{"attempts":1001}}`, "retry.attempts", "1000"},
			{`{"name":"x","service":"s",` + sched + `,"retry":{"backoff":"soon"}}`, "retry.backoff", "duration"},
			{`{"name":"x","service":"s",` + sched + `,"retry":5}`, "retry", "JSON object"},
			{`{"name":"x","service":"s",` + sched + `,"timeout":"0s"}`, "timeout", ""},
			{`{"name":"x","service":"s",` + sched + `,"expires":7}`, "expires", ""},
			{`{"name":"x","service":"s",` + sched + `,"missed":"never"}`, "missed", "skip, once, all"},
			{`{"name":"x","service":"s",` + sched + `,"overlap":"x"}`, "overlap", "allow, skip, queue, replace"},
			{`{"name":"x","service":"s",` + sched + `,"history":"x"}`, "history", "all, failures, none"},
			{`{"name":"x","service":"s",` + sched + `,"on_success":"not a service"}`, "on_success", "job:NAME"},
			{`{"name":"x","service":"s",` + sched + `,"on_failure":"job:"}`, "on_failure", "job:NAME"},
			{`{"name":"x","service":"s",` + sched + `,"labels":{"a":5}}`, "labels", "number"},
			{`{"name":"x","service":"s",` + sched + `,"labels":{"":"v"}}`, "labels", ""},
			{`{"name":"x","service":"s",` + sched + `,"active":"yes"}`, "active", "string"},
			{`{"name":"x","service":"s",` + sched + `,"payload":1,"payload_base64":"AA=="}`, "payload_base64", "one"},
			{`{"name":"x","service":"s",` + sched + `,"payload_base64":"*"}`, "payload_base64", "base64"},
			{`{"name":"x","service":"s",` + sched + `,"description":"` + strings.Repeat("x", 5000) + `"}`, "description", "4096"},
		} {
			h.refuses("create", c.body, 400, c.field, c.words)
			h.refuses("put", c.body, 400, c.field, c.words)
		}
		r = h.do("put", `{"name":"b","service":"s.t",`+sched+`,"revision":77,"state":"inactive","next":"x","runs":-5,"error":"e","reason":"r","anchor":"1999-01-01T00:00:00Z","activated":"x"}`)
		if r.str("state") != "active" || r.num("revision") != 2 || r["error"] != nil || strings.HasPrefix(r.str("anchor"), "1999") {
			t.Errorf("put with a reply's fields: %v", r)
		}

		// update
		r = h.do("update", `{"name":"a","payload":null,"labels":{"team":"y"},"revision":1}`)
		if r["payload"] != nil || r.str("description") != "d" || r["labels"].(map[string]any)["team"] != "y" || r.num("revision") != 3 {
			t.Errorf("updated: %v", r)
		}
		e = h.refuses("update", `{"name":"a","description":"e","revision":1}`, 409, "revision", "at revision 3")
		if e.Revision != 3 {
			t.Errorf("conflict at %d", e.Revision)
		}
		h.refuses("update", `{"name":"a","revision":"one"}`, 400, "revision", "string")
		h.refuses("update", `{"name":"a","revision":-1}`, 400, "revision", "")
		h.refuses("update", `{"name":"a","color":1}`, 400, "color", "unknown field")
		h.refuses("update", `{"name":"a","service":null}`, 400, "service", "empty")
		h.refuses("update", `{"name":"a","schedule":null}`, 400, "schedule", "exactly one")
		h.refuses("update", `{"name":"zz","payload":1}`, 404, "name", "zz")
		h.refuses("update", `{"payload":1}`, 400, "name", "missing")
		h.refuses("update", `{"name":null}`, 400, "name", "missing")
		h.do("update", `{"name":"a","payload_base64":"AAE="}`)
		h.do("update", `{"name":"a","payload":null}`) // not there, and leaves the other alone
		if r := h.get("a"); r.str("payload_base64") != "AAE=" || r["payload"] != nil {
			t.Errorf("payload_base64: %v", r)
		}
		h.do("update", `{"name":"a","payload":"text"}`) // takes the other's place
		if r := h.do("update", `{"name":"a","payload_base64":null}`); r.str("payload") != "text" || r["payload_base64"] != nil {
			t.Errorf("payload: %v", r)
		}

		// deactivate, activate: as often as one likes
		revision := h.do("deactivate", `{"name":"a"}`).num("revision")
		h.inactive("a", "deactivated")
		if r := h.do("deactivate", `{"name":"a"}`); r.num("revision") != revision {
			t.Errorf("deactivated again: %v", r)
		}
		revision = h.do("activate", `{"name":"a"}`).num("revision")
		if r := h.do("activate", `{"name":"a"}`); r.num("revision") != revision || r.str("state") != "active" || r["reason"] != nil {
			t.Errorf("activated again: %v", r)
		}
		h.refuses("activate", `{"name":"a","schedule":{"every":"x"}}`, 400, "schedule.every", "")
		h.refuses("activate", `{"name":"a","payload":1}`, 400, "payload", "unknown field")
		h.do("update", `{"name":"a","active":false}`)
		h.inactive("a", "deactivated")
		h.do("update", `{"name":"a","active":true}`)
		h.do("update", `{"name":"a","active":null}`)

		// what needs a job that is there
		for _, verb := range []string{"get", "delete", "activate", "deactivate", "run", "next"} {
			h.refuses(verb, `{"name":"nobody"}`, 404, "name", "nobody")
			h.refuses(verb, `{"name":""}`, 400, "name", "")
			h.refuses(verb, `{"name":5}`, 400, "name", "number")
			h.refuses(verb, ``, 400, "name", "")
			h.refuses(verb, `x`, 400, "", "JSON object")
			h.refuses(verb, `{"name":"a","bogus":1}`, 400, "bogus", "unknown field")
			h.refuses(verb, `{"name":"`+strings.Repeat("n", 300)+`"}`, 400, "name", "200")
		}

		// delete
		if raw := h.ask("delete", `{"name":"b"}`); raw != "{}" {
			t.Errorf("delete answers %s", raw)
		}
		h.refuses("delete", `{"name":"b"}`, 404, "name", "b")
		h.refuses("update", `{"name":"b","payload":1}`, 404, "name", "b")
		h.do("create", `{"name":"b","service":"s",`+sched+`}`)

		// a request without a reply subject is carried out
		h.ok(h.nc.Publish("bellhop.jobs.create", []byte(`{"name":"quiet","service":"s",`+sched+`}`)))
		h.ok(h.nc.Publish("bellhop.jobs.delete", []byte(`{"name":"b"}`)))
		h.ok(h.nc.Publish("bellhop.jobs.delete", []byte(`{"nme":"b"}`)))
		time.Sleep(time.Second) // in a bubble: until all three are carried out, which nobody is told of
		h.get("quiet")
		h.refuses("get", `{"name":"b"}`, 404, "name", "b")
	})
}

// next tells due times of what is stored and of what is not.
func TestNextVerb(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.until("2000-01-01T00:00:30Z")
		next := func(body string) string {
			t.Helper()
			var r struct{ Next []string }
			h.ok(json.Unmarshal([]byte(h.ask("next", body)), &r))
			return strings.ReplaceAll(strings.Join(r.Next, " "), "2000-01-01T", "")
		}
		h.do("create", `{"name":"j","service":"s","schedule":{"every":"10s","start":"2000-01-01T00:00:00Z","max_runs":3}}`)
		h.same("j", next(`{"name":"j"}`), "00:00:40.000Z 00:00:50.000Z 00:01:00.000Z")
		h.same("j later", next(`{"name":"j","count":2,"after":"2000-01-01T01:00:00+01:00"}`), "00:00:10.000Z 00:00:20.000Z")
		h.until("2000-01-01T00:00:51Z")
		h.same("j after two runs", next(`{"name":"j"}`), "00:01:00.000Z")
		h.until("2000-01-01T00:01:01Z")
		h.same("j at its end", next(`{"name":"j"}`), "")
		h.same("every", next(`{"schedule":{"every":"1m"},"count":2}`), "00:02:01.000Z 00:03:01.000Z")
		h.same("cron", next(`{"schedule":{"cron":"0 12 * * *","time_zone":"Asia/Kolkata"},"count":1}`), "06:30:00.000Z")
		h.same("at", next(`{"schedule":{"at":"2000-01-01T05:00:00Z"}}`), "05:00:00.000Z")
		h.same("past", next(`{"schedule":{"at":"1999-01-01T05:00:00Z"}}`), "")
		h.same("limited", next(`{"schedule":{"every":"1h","start":"2000-01-01T00:00:00Z","max_runs":2},"count":9}`), "01:00:00.000Z 02:00:00.000Z")
		if n := len(strings.Fields(next(`{"schedule":{"every":"1ms"},"count":1000}`))); n != 1000 {
			t.Errorf("%d times", n)
		}
		h.refuses("next", `{}`, 400, "name", "exactly one")
		h.refuses("next", `{"name":"j","schedule":{"every":"1s"}}`, 400, "name", "exactly one")
		h.refuses("next", `{"name":"j","count":0}`, 400, "count", "1 to 1000")
		h.refuses("next", `{"name":"j","count":1001}`, 400, "count", "1 to 1000")
		h.refuses("next", `{"name":"j","count":"x"}`, 400, "count", "string")
		h.refuses("next", `{"name":"j","after":"tomorrow"}`, 400, "after", "")
		h.refuses("next", `{"schedule":{"cron":"0 0 30 2 *"}}`, 400, "schedule.cron", "")
		h.refuses("next", `{"schedule":{"evry":"1s"}}`, 400, "schedule.evry", "unknown")
	})
}

// run rings on the channel manual, at once, and is no run of the schedule.
func TestRunVerb(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.do("create", `{"name":"my job","service":"a.b","schedule":{"every":"1h","max_runs":3},"payload":"stored","timeout":"5s"}`)
		h.do("create", `{"name":"off","service":"a.b","schedule":{"every":"1h"},"active":false,"payload_base64":"AP8="}`)
		ids := map[string]bool{}
		for _, body := range []string{`{"name":"my job"}`, `{"name":"my job","payload":{"a": 1}}`, `{"name":"my job","payload":null}`, `{"name":"my job","payload":""}`, `{"name":"off"}`} {
			id := h.do("run", body).str("run")
			if !strings.HasPrefix(id, "manual:") || ids[id] {
				t.Errorf("run id %q", id)
			}
			ids[id] = true
		}
		rings, err := h.js.Stream(h.Context(), "bellhop-rings")
		h.ok(err)
		var got []string
		for seq := uint64(1); ; seq++ {
			m, err := rings.GetMsg(h.Context(), seq, jetstream.WithGetMsgSubject(">"))
			if err != nil {
				break
			}
			if !ids[m.Header.Get(workers.HeaderRun)] || m.Header.Get(workers.HeaderChannel) != "manual" || m.Subject != "bellhop.ring.manual.a.b" {
				t.Errorf("%s %v", m.Subject, m.Header)
			}
			got = append(got, fmt.Sprintf("%s %q %s", m.Header.Get(workers.HeaderJob), m.Data, m.Header.Get(workers.HeaderPolicy)))
		}
		const policy = ` {"timeout":"5s"}`
		h.same("rings", got, []string{`my=20job "stored"` + policy, `my=20job "{\"a\": 1}"` + policy, `my=20job "null"` + policy, `my=20job ""` + policy, `off "\x00\xff" `})
		if r := h.get("my job"); r.num("runs") != 0 || len(h.log()) != 0 {
			t.Errorf("after rings by hand: %v", r)
		}
		h.refuses("run", `{"name":"my job","payload":"`+strings.Repeat("x", 1<<20-4000)+`"}`, 413, "payload", "max_payload")
	})
}

// list filters, and pages through what one reply cannot hold.
func TestList(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.same("nothing", h.ask("list", ""), `{"jobs":[]}`)
		b, err := kv.Open[[]byte](h.Context(), h.js, "bellhop-jobs")
		h.ok(err)
		const n = 2500
		var all []kv.Change[[]byte]
		for i := range n {
			all = append(all, kv.Change[[]byte]{Key: fmt.Sprintf("bulk-%04d", i), Value: fmt.Appendf(nil,
				`{"service":"s%d","schedule":{"cron":"0 0 1 1 *"},"payload":"%s","labels":{"mod":"%d","all":"yes"},"active":%t}`, i%5, strings.Repeat("p", 300), i%7, i%2 == 0)})
		}
		for some := range slices.Chunk(all, 500) {
			_, err := b.Apply(h.Context(), some)
			h.ok(err)
		}
		h.do("create", `{"name":"Zoë's job","service":"s","schedule":{"every":"1h"}}`)
		count := func(filter string) int {
			t.Helper()
			cursor, seen := "", map[string]bool{}
			for {
				body := `{"limit":1000` + filter + `,"cursor":"` + cursor + `"}`
				raw := h.ask("list", body)
				if len(raw) > 256_000 || strings.Contains(raw, "ppp") {
					t.Errorf("a reply of %d bytes", len(raw))
				}
				var r struct {
					Jobs   []struct{ Name string }
					Cursor string
				}
				h.ok(json.Unmarshal([]byte(raw), &r))
				for _, j := range r.Jobs {
					if seen[j.Name] {
						t.Errorf("%s is listed twice", j.Name)
					}
					seen[j.Name] = true
				}
				if cursor = r.Cursor; cursor == "" {
					return len(seen)
				}
			}
		}
		h.same("all", count(``), n+1)
		h.same("prefix", count(`,"prefix":"bulk-12"`), 100)
		h.same("a prefix within a character", count(`,"prefix":"Zo"`), 1)
		h.same("a prefix with an escape", count(`,"prefix":"Zoë'"`), 1)
		h.same("no such prefix", count(`,"prefix":"zzz"`), 0)
		h.same("service", count(`,"service":"s3"`), n/5)
		h.same("active", count(`,"state":"active"`), n/2+1)
		h.same("inactive", count(`,"state":"inactive"`), n/2)
		h.same("labels", count(`,"labels":{"mod":"3"}`), 357)
		h.same("both labels", count(`,"labels":{"mod":"3","all":"yes"}`), 357)
		h.same("other labels", count(`,"labels":{"mod":"3","all":"no"}`), 0)
		h.same("together", count(`,"prefix":"bulk-0","service":"s0","state":"active","labels":{"mod":"0"}`), 15)
		if r := h.do("list", `{"limit":3}`); len(r["jobs"].([]any)) != 3 || r.str("cursor") == "" {
			t.Errorf("three: %v", r)
		}
		if r := h.do("list", ``); len(r["jobs"].([]any)) != 100 {
			t.Errorf("%d jobs", len(r["jobs"].([]any)))
		}
		names := 0
		for j, err := range h.client.List(h.Context(), scheduler.Filter{Service: "s1", Limit: 7}) {
			h.ok(err)
			if j.Service != "s1" || j.Labels["all"] != "yes" || j.Payload != nil {
				t.Errorf("%+v", j)
			}
			names++
		}
		h.same("client", names, n/5)
		for range h.client.List(h.Context(), scheduler.Filter{}) {
			break
		}
		h.refuses("list", `{"limit":0}`, 400, "limit", "1 to 1000")
		h.refuses("list", `{"limit":1001}`, 400, "limit", "1 to 1000")
		h.refuses("list", `{"limit":1.5}`, 400, "limit", "number")
		h.refuses("list", `{"state":"asleep"}`, 400, "state", "active, inactive")
		h.refuses("list", `{"labels":[]}`, 400, "labels", "array")
		h.refuses("list", `{"page":2}`, 400, "page", "unknown field")
	})
}
