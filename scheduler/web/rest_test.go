package web

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

const hourly = `{"service":"good","schedule":{"every":"1h"}}`

// A name is any text: nothing in it means anything to a path.
func TestNames(t *testing.T) {
	inBubble(t, func(h *house) {
		h.work()
		for _, name := range []string{
			"plain", ".", "..", "...", "a/b", "a//b", "/", "//", "../../etc/passwd", "a/../b", "openapi.yaml", "a=2Fb", "=2F", "=", "%2F", "100%", "a+b c",
			"ü &?%#=2F", "<script>alert(1)</script>", `"'\`, "日本語", "run", "next", ";,:@$", strings.Repeat("x", 200), strings.Repeat("ü", 100),
		} {
			quoted, err := json.Marshal(name)
			h.ok(err)
			made := h.want(201, "POST", "/jobs", fmt.Sprintf(`{"name":%s,"service":"good","schedule":{"every":"1h"}}`, quoted))
			u, err := made.Location() // which resolves dots, as clients do
			h.ok(err)
			a := h.want(200, "GET", strings.TrimPrefix(u.EscapedPath(), Base), "")
			if got := read[scheduler.Job](h, a); got.Name != name || a.Header.Get("ETag") != made.Header.Get("ETag") {
				h.Errorf("%q is %q", name, got.Name)
			}
			h.want(200, "PUT", at("/jobs/%s", name), hourly)
			h.want(200, "PATCH", at("/jobs/%s", name), `{"description":"<b>"}`)
			h.want(200, "POST", at("/jobs/%s/deactivate", name), "")
			h.want(200, "GET", at("/jobs/%s/history", name), "")
			run := h.run(name)
			h.ended(run)
			if all := read[runPage](h, h.want(200, "GET", "/runs?job="+url.QueryEscape(name), "")).Runs; len(all) != 1 || all[0].Run != run {
				h.Errorf("%q: runs %v", name, all)
			}
			h.until("the job is listed", func() bool {
				return read[struct{ Total int }](h, h.want(200, "GET", "/jobs?prefix="+url.QueryEscape(name), "")).Total == 1
			})
			h.want(204, "DELETE", at("/jobs/%s", name), "")
			h.refused(404, "name", "GET", at("/jobs/%s", name), "")
			h.until("the job is gone from the list", func() bool {
				return read[struct{ Total int }](h, h.want(200, "GET", "/jobs?prefix="+url.QueryEscape(name), "")).Total == 0
			})
		}
		for _, name := range []string{"\xff", "a\x00b", "a\nb", strings.Repeat("x", 201)} {
			h.refused(400, "name", "GET", at("/jobs/%s", name), "")
			h.refused(400, "name", "PUT", at("/jobs/%s", name), hourly)
		}
	})
}

// Paths that name nothing are not found, whatever a router would make of them.
func TestNoSuchPath(t *testing.T) {
	h := newHouse(t)
	h.make("x", "good", `{"every":"1h"}`)
	for _, path := range []string{"", "/", "/jobs/", "/jobs//", "//jobs", "/jobs//run", "/jobs/x/", "/jobs/x/nothing", "/jobs/x/run/", "/jobs/../jobs", "/openapi", "/JOBS"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			h.refused(404, "", method, path, "")
		}
	}
	for _, wrong := range []string{"DELETE /jobs", "PATCH /jobs", "POST /jobs/x", "GET /jobs/x/run", "PUT /bulk", "POST /runs", "DELETE /runs/x", "PUT /dead/1", "POST /events"} {
		method, path, _ := strings.Cut(wrong, " ")
		h.refused(404, "", method, path, "")
	}
	a := h.want(200, "HEAD", "/jobs/x", "")
	if a.text != "" || a.ContentLength < 10 {
		t.Errorf("%d bytes, %d announced", len(a.text), a.ContentLength)
	}
	h.want(200, "HEAD", "/events", "") // which does not go on for ever
}

// The bytes of a payload come back as they were sent, and reach the service.
func TestPayloads(t *testing.T) {
	inBubble(t, func(h *house) {
		h.work()
		for _, payload := range []string{
			`{ "a" : [ 1,  2 ] }`, `1e400`, `-0.0`, `12345678901234567890123456789`, `"<b>\u00e9\ud83d\ude00 é/\/"`, `null`, `""`, `{"a":1,"a":2}`, "[\n\t1\r\n]", `"\ud800"`,
		} {
			for _, method := range []string{"PUT", "PATCH", "POST"} {
				sent, path, status := `{"service":"good","schedule":{"every":"1h"},"payload":`+payload+"}", "/jobs/x", 200
				switch method {
				case "PATCH":
					sent = `{"payload":` + payload + ` }`
				case "POST":
					h.want(204, "DELETE", "/jobs/x", "")
					sent, path, status = `{"name":"x",`+sent[1:], "/jobs", 201
				}
				if method == "PATCH" && payload == "null" {
					continue // which removes it
				}
				for _, text := range []string{h.want(status, method, path, sent).text, h.want(200, "GET", "/jobs/x", "").text} {
					if !strings.Contains(text, `"payload":`+payload) {
						h.Errorf("%s %s: %s", method, payload, text)
					}
				}
			}
			want := (&scheduler.Job{Payload: json.RawMessage(payload)})
			b, err := want.Bytes()
			h.ok(err)
			other := read[rung](h, h.want(202, "POST", "/jobs/x/run", `{"payload": `+payload+`}`)).Run
			for _, run := range []string{h.run("x"), other} {
				v := h.ended(run)
				got := []byte(v.Attempts[0].Output)
				if v.Attempts[0].OutputBase64 != nil {
					got = v.Attempts[0].OutputBase64
				}
				if !bytes.Equal(got, append([]byte("got "), b...)) {
					h.Errorf("%s: the service has %q, not %q", payload, got, b)
				}
			}
		}
		binary := []byte{0, 0xff, '\r', '\n', 0xc3}
		text := base64.StdEncoding.EncodeToString(binary)
		h.want(200, "PATCH", "/jobs/x", `{"payload_base64":"`+text+`"}`)
		a := h.want(200, "GET", "/jobs/x", "")
		if !strings.Contains(a.text, `"payload_base64":"`+text+`"`) || strings.Contains(a.text, `"payload":`) {
			h.Error(a.text)
		}
		if v := h.ended(h.run("x")); !bytes.Equal(v.Attempts[0].OutputBase64, append([]byte("got "), binary...)) {
			h.Errorf("%+v", v.Attempts[0])
		}
		h.refused(400, "payload_base64", "PATCH", "/jobs/x", `{"payload_base64":"no base64"}`)
		h.refused(400, "payload_base64", "PATCH", "/jobs/x", `{"payload":1,"payload_base64":"AA=="}`)
		// Whatever its size, it is taken or too large, and nothing else.
		for _, size := range []int{900 << 10, 1<<20 - 100, 1<<20 - 60, 1<<20 - 50, 1 << 20, 2 << 20} {
			body := `{"service":"good","schedule":{"every":"1h"},"payload":"` + strings.Repeat("x", size-56) + `"}`
			if a := h.ask("PUT", "/jobs/large", body); a.StatusCode != http.StatusRequestEntityTooLarge && (a.StatusCode != http.StatusOK || size > 1<<20-50) {
				h.Errorf("%d bytes: %s: %.200s", len(body), a.Status, a.text)
			}
			body = `{"payload":"` + strings.Repeat("x", size-14) + `"}`
			for _, request := range []string{"PATCH /jobs/x", "POST /jobs/x/run"} {
				method, path, _ := strings.Cut(request, " ")
				if a := h.ask(method, path, body); a.StatusCode != http.StatusRequestEntityTooLarge && a.StatusCode/100 != 2 {
					h.Errorf("%s, %d bytes: %s: %.200s", request, len(body), a.Status, a.text)
				}
			}
		}
	})
}

// A change may depend on what the job is.
func TestConditions(t *testing.T) {
	inBubble(t, func(h *house) {
		first := h.want(201, "PUT", "/jobs/x", hourly, "If-None-Match", "*")
		tag := first.Header.Get("ETag")
		p := h.refused(412, "name", "PUT", "/jobs/x", hourly, "If-None-Match", "*")
		if etag(p.Revision) != tag {
			h.Errorf("revision %d, not %s", p.Revision, tag)
		}
		for _, known := range []string{tag, "W/" + tag, `"999", ` + tag, "*"} {
			a := h.want(304, "GET", "/jobs/x", "", "If-None-Match", known)
			if a.Header.Get("ETag") != tag || a.text != "" {
				h.Errorf("%v: %s", a.Header, a.text)
			}
		}
		h.want(200, "GET", "/jobs/x", "", "If-None-Match", `"999"`)
		second := h.want(200, "PATCH", "/jobs/x", `{"description":"a"}`, "If-Match", tag)
		h.want(200, "GET", "/jobs/x", "", "If-None-Match", tag)
		now := second.Header.Get("ETag")
		if now == tag {
			h.Error("the revision is the same")
		}
		for _, change := range []struct{ method, path, body string }{
			{"PUT", "", hourly}, {"PATCH", "", `{"description":"b"}`}, {"DELETE", "", ""}, {"POST", "/activate", ""}, {"POST", "/deactivate", ""},
			{"POST", "/restore", fmt.Sprintf(`{"revision":%d}`, p.Revision)},
		} {
			p := h.refused(412, "revision", change.method, "/jobs/x"+change.path, change.body, "If-Match", tag)
			if etag(p.Revision) != now {
				h.Errorf("%v: the job is said to be at %d, not %s", change, p.Revision, now)
			}
			for _, broken := range []string{"soon", `"0"`, `"-1"`, `W/"1"`, `"1", "2"`, `"99999999999999999999"`} {
				h.refused(400, "If-Match", change.method, "/jobs/x"+change.path, change.body, "If-Match", broken)
			}
		}
		if got := h.want(200, "GET", "/jobs/x", ""); got.text != second.text {
			h.Errorf("what was refused has changed the job:\n%s\n%s", second.text, got.text)
		}
		h.want(200, "POST", "/jobs/x/restore", fmt.Sprintf(`{"revision":%d}`, p.Revision), "If-Match", now)
		h.want(200, "PATCH", "/jobs/x", `{}`, "If-Match", "*")
		h.refused(412, "name", "PUT", "/jobs/missing", hourly, "If-Match", "*")
		h.refused(404, "name", "PATCH", "/jobs/missing", "{}", "If-Match", tag)
	})
}

// What makes no sense is refused, and the field is named.
func TestRefusals(t *testing.T) {
	inBubble(t, func(h *house) {
		h.make("x", "good", `{"every":"1h"}`)
		for _, r := range []struct {
			field, method, path, body string
		}{
			{"name", "POST", "/jobs", hourly},
			{"", "POST", "/jobs", ""},
			{"", "POST", "/jobs", "[]"},
			{"servce", "POST", "/jobs", `{"name":"y","servce":"good"}`},
			{"schedule.evry", "PUT", "/jobs/y", `{"service":"good","schedule":{"evry":"1h"}}`},
			{"schedule.every", "PUT", "/jobs/y", `{"service":"good","schedule":{"every":"often"}}`},
			{"retry.attempts", "PUT", "/jobs/y", `{"service":"good","schedule":{"every":"1h"},"retry":{"attempts":1001}}`},
			{"name", "PUT", "/jobs/y", `{"name":"z","service":"good","schedule":{"every":"1h"}}`},
			{"name", "PATCH", "/jobs/x", `{"name":"z"}`},
			{"", "PATCH", "/jobs/x", "null"},
			{"", "PATCH", "/jobs/x", ""},
			{"", "PATCH", "/jobs/x", `{"description":"a"} {}`},
			{"servce", "PATCH", "/jobs/x", `{"servce":"good"}`},
			{"missed", "PATCH", "/jobs/x", `{"missed":"never"}`},
			{"schedule", "PATCH", "/jobs/x", `{"schedule":null}`},
			{"schedule.cron", "POST", "/jobs/x/activate", `{"schedule":{"cron":"never"}}`},
			{"schedule.evry", "POST", "/jobs/x/activate", `{"schedule":{"evry":"1h","every":"2h"}}`},
			{"", "POST", "/jobs/x/activate", `{"sched":{}}`},
			{"revision", "POST", "/jobs/x/restore", ""},
			{"", "POST", "/jobs/x/restore", `{"revision":-1}`},
			{"", "POST", "/jobs/x/run", `{"paylod":1}`},
			{"", "POST", "/jobs/x/run", `1`},
			{"schedule", "POST", "/schedule", ""},
			{"schedule.zone", "POST", "/schedule", `{"schedule":{"cron":"0 3 * * *","zone":"Europe/Prague"}}`},
			{"schedule.time_zone", "POST", "/schedule", `{"schedule":{"cron":"0 3 * * *","time_zone":"Mars"}}`},
			{"count", "POST", "/schedule", `{"schedule":{"every":"1h"},"count":1001}`},
			{"action", "POST", "/bulk", ""},
			{"", "POST", "/bulk", `{"action":"run"}}`},
			{"", "POST", "/bulk", `{"action":"run"} x`},
			{"", "GET", "/jobs?prefix=100%", ""},
			{"", "GET", "/runs?job=x;limit=1", ""},
			{"names", "POST", "/bulk", `{"action":"run","names":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`},
			{"count", "GET", "/jobs/x/next?count=many", ""},
			{"count", "GET", "/jobs/x/next?count=1001", ""},
			{"after", "GET", "/jobs/x/next?after=now", ""},
			{"at", "GET", "/jobs/x/why?at=now", ""},
			{"limit", "GET", "/jobs?limit=0", ""},
			{"state", "GET", "/jobs?state=on", ""},
			{"reason", "GET", "/jobs?reason=none", ""},
			{"outcome", "GET", "/jobs?outcome=okay", ""},
			{"label", "GET", "/jobs?label=team", ""},
			{"order", "GET", "/jobs?order=size", ""},
			{"cursor", "GET", "/jobs?cursor=x", ""},
			{"limit", "GET", "/runs?limit=-1", ""},
			{"cursor", "GET", "/runs?cursor=x", ""},
			{"outcome", "GET", "/runs?outcome=okay", ""},
			{"since", "GET", "/runs?since=2026-13-01T00:00:00Z", ""},
			{"cursor", "GET", "/changes?cursor=-1", ""},
			{"until", "GET", "/changes?until=1", ""},
			{"cursor", "GET", "/dead?cursor=x", ""},
			{"limit", "GET", "/dead?limit=1001", ""},
			{"id", "GET", "/dead/0", ""},
			{"id", "POST", "/dead/-1/redrive", ""},
			{"limit", "GET", "/jobs?limit=1&limit=2", ""},
		} {
			h.refused(400, r.field, r.method, r.path, r.body)
		}
		for _, path := range []string{"/jobs", "/runs", "/active", "/dead", "/changes", "/events", "/jobs/x/next", "/jobs/x/why"} {
			h.refused(400, "nam", "GET", path+"?nam=x", "")
		}
		for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "application/jsonx", "", "a/b/c"} {
			for _, r := range []string{"POST /jobs", "PUT /jobs/x", "PATCH /jobs/x", "POST /jobs/x/activate", "POST /jobs/x/run", "POST /jobs/x/restore", "POST /bulk", "POST /schedule"} {
				method, path, _ := strings.Cut(r, " ")
				h.refused(415, "", method, path, hourly, "Content-Type", kind)
			}
		}
		h.want(200, "PUT", "/jobs/x", hourly, "Content-Type", "Application/JSON; charset=utf-8")
		for _, r := range []string{"GET /jobs/y", "GET /jobs/y/next", "GET /jobs/y/history", "GET /jobs/y/why?at=2000-01-01T00:00:00Z", "DELETE /jobs/y", "POST /jobs/y/activate", "POST /jobs/y/deactivate", "POST /jobs/y/run"} {
			method, path, _ := strings.Cut(r, " ")
			h.refused(404, "name", method, path, "")
		}
		for path, stream := range map[string]string{"/runs": "bellhop-runs", "/changes": "bellhop-changes"} {
			h.ok(h.js.DeleteStream(h.Context(), stream)) // as before the first start
			h.refused(503, "", "GET", path, "")
		}
		h.leave()
		p := h.refused(503, "", "GET", "/jobs/x", "")
		if p.Detail != scheduler.ErrNoLeader.Error() {
			h.Error(p)
		}
	})
}

// Each may do what his role allows, and nothing more.
func TestRoles(t *testing.T) {
	h := newHouse(t)
	for _, op := range h.rest.routes() {
		method, path, _ := strings.Cut(op.pattern, " ")
		path = strings.NewReplacer("=2E", ".", Base, "", "{job}", "missing", "{run}", "missing", "{id}", "1000000").Replace(path)
		for role := Nobody; role <= Admin; role++ {
			resp := h.send(t.Context(), method, path, "", "Test-Role", fmt.Sprint(int(role)))
			resp.Body.Close()
			if refused := resp.StatusCode == http.StatusForbidden; refused != (role < op.role) {
				t.Errorf("%s, %s: %s", op.pattern, role, resp.Status)
			}
		}
	}
	h.refused(403, "", "GET", "/nothing", "", "Test-Role", "0")
	h.make("x", "good", `{"every":"1h"}`)
	h.refused(403, "", "POST", "/bulk", `{"action":"delete","names":["x"]}`, "Test-Role", fmt.Sprint(int(Operator)))
	h.want(200, "GET", "/jobs/x", "")
	h.want(200, "POST", "/bulk", `{"action":"deactivate","names":["x"]}`, "Test-Role", fmt.Sprint(int(Operator)))
	h.want(200, "POST", "/bulk", `{"action":"delete","names":["x"]}`)
	h.refused(404, "name", "GET", "/jobs/x", "")
}

// walk reads a list page by page.
func walk[T any](h *house, path, field string) (all []T) {
	h.Helper()
	for cursor, pages := "", 0; ; pages++ {
		var page map[string]json.RawMessage
		var list []T
		var next string
		page = read[map[string]json.RawMessage](h, h.want(200, "GET", path+"&cursor="+url.QueryEscape(cursor), ""))
		h.ok(json.Unmarshal(page[field], &list))
		if page["cursor"] != nil {
			h.ok(json.Unmarshal(page["cursor"], &next))
		}
		all = append(all, list...)
		if cursor = next; cursor == "" {
			return all
		}
		if pages > 1000 {
			h.Fatal("there is no end of pages")
		}
	}
}

// A walk from page to page meets everything once.
func TestPages(t *testing.T) {
	inBubble(t, func(h *house) {
		const n = 250
		var names []string
		for i := range n {
			name := fmt.Sprintf("job %03d", i)
			names = append(names, name)
			h.want(201, "PUT", at("/jobs/%s", name), fmt.Sprintf(`{"service":"s%d","schedule":{"every":"%dh"},"labels":{"n":"%d"}}`, i%3, i%7+1, i%5), "If-None-Match", "*")
			h.record(workers.Run{Run: fmt.Sprintf("r%03d", i), Job: workers.Escape(name), Service: fmt.Sprint("s", i%3), Outcome: outcomes[i%2], Finished: time.Now()})
			time.Sleep(time.Second)
		}
		h.until("the index has all", func() bool {
			return read[struct{ Total int }](h, h.want(200, "GET", "/jobs?limit=1", "")).Total == n
		})
		h.until("all changes are recorded", func() bool { return len(walk[scheduler.Change](h, "/changes?limit=1000", "changes")) == n })
		for _, limit := range []int{7, 100, 249, 250, 251, 1000} {
			for _, order := range []string{"name", "-name", "next", "-next", "changed", "-changed", "service", "-service"} {
				var got []string
				for _, j := range walk[listed](h, fmt.Sprintf("/jobs?limit=%d&order=%s", limit, order), "jobs") {
					got = append(got, j.Name)
				}
				if order == "-name" {
					slices.Reverse(got)
				} else if order != "name" {
					slices.Sort(got)
				}
				if d := cmp.Diff(names, got); d != "" {
					h.Errorf("limit %d, order %s (-want +got):\n%s", limit, order, d)
				}
			}
			var runs, changes []string
			for _, r := range slices.Backward(walk[workers.Run](h, fmt.Sprintf("/runs?limit=%d", limit), "runs")) {
				runs = append(runs, strings.Replace(r.Run, "r", "job ", 1))
			}
			for _, c := range slices.Backward(walk[scheduler.Change](h, fmt.Sprintf("/changes?limit=%d", limit), "changes")) {
				changes = append(changes, c.Job)
			}
			if d := cmp.Diff(names, runs) + cmp.Diff(names, changes); d != "" {
				h.Errorf("limit %d (-want +got):\n%s", limit, d)
			}
		}
		filters(h)
	})
}

// filters are tried on what TestPages has made.
func filters(h *house) {
	h.Helper()
	count := func(want int, path, field string) {
		h.Helper()
		if got := len(walk[json.RawMessage](h, path+"&limit=10", field)); got != want {
			h.Errorf("%s: %d, not %d", path, got, want)
		}
	}
	count(84, "/jobs?service=s0", "jobs")
	count(50, "/jobs?label=n%3D3", "jobs")
	count(0, "/jobs?label=n%3D3&label=m%3D3", "jobs")
	count(10, "/jobs?prefix=job+01", "jobs")
	count(4, "/jobs?search=S0+JOB+n%3D1+2&order=-changed&prefix=job+2", "jobs")
	count(250, "/jobs?state=active", "jobs")
	count(0, "/jobs?state=inactive", "jobs")
	count(125, "/jobs?outcome=ok", "jobs")
	count(0, "/jobs?reason=expired", "jobs")
	count(125, "/runs?outcome=failed", "runs")
	count(83, "/runs?service=s1", "runs")
	count(1, "/runs?job=job+007", "runs")
	count(1, "/runs?run=r007", "runs")
	count(10, "/runs?since=2000-01-01T00:01:00Z&until=2000-01-01T00:01:09.999Z", "runs")
	count(1, "/changes?job=job+007", "changes")
	count(250, "/changes?by=alice", "changes")
	count(0, "/changes?by=bob", "changes")
	count(10, "/changes?since=2000-01-01T00:01:00Z&until=2000-01-01T00:01:09.999Z", "changes")
}

// A letter is found, sent back and dropped by whoever is allowed to.
func TestLetters(t *testing.T) {
	inBubble(t, func(h *house) {
		h.work()
		var ids []uint64
		for i := range 25 {
			name := fmt.Sprintf("a/%d", i%2)
			h.want(200, "PUT", at("/jobs/%s", name), fmt.Sprintf(`{"service":"bad","schedule":{"every":"1h"},"payload":"no %d"}`, i))
			run := h.run(name)
			h.ended(run)
		}
		for _, l := range walk[workers.Letter](h, "/dead?limit=4", "letters") {
			ids = append(ids, l.ID)
			if l.Payload != "" || l.Reason != "no such account" {
				h.Errorf("%+v", l)
			}
		}
		if !slices.IsSortedFunc(ids, func(a, b uint64) int { return int(b) - int(a) }) || len(ids) != 25 {
			h.Errorf("letters %v", ids)
		}
		for path, want := range map[string]int{"job=a%2F0": 13, "job=a": 0, "service=bad": 25, "service=good": 0, "reason=ACCOUNT": 25, "reason=other": 0, "since=2001-01-01T00:00:00Z": 0} {
			p := read[struct{ Total int }](h, h.want(200, "GET", "/dead?limit=1&"+path, ""))
			if p.Total != want {
				h.Errorf("%s: %d letters, not %d", path, p.Total, want)
			}
		}
		last := fmt.Sprintf("/dead/%d", ids[0])
		if l := read[workers.Letter](h, h.want(200, "GET", last, "")); l.Payload != "no 24" {
			h.Errorf("%+v", l)
		}
		a := h.want(202, "POST", last+"/redrive", "")
		run := read[rung](h, a).Run
		h.want(200, "GET", strings.TrimPrefix(a.Header.Get("Location"), Base), "")
		h.refused(404, "id", "GET", last, "")
		h.until("it fails again", func() bool { return read[struct{ Total int }](h, h.want(200, "GET", "/dead", "")).Total == 25 })
		if v := h.ended(run); len(v.Attempts) != 2 {
			h.Errorf("%+v", v)
		}
	})
}

// Of many jobs, each is changed or refused for itself, in the order of the names.
func TestBulk(t *testing.T) {
	inBubble(t, func(h *house) {
		h.work()
		names := []string{"missing"}
		for i := range 40 {
			names = append(names, fmt.Sprintf("a/%d", i))
			h.make(names[i+1], "good", `{"every":"1h"}`)
		}
		names = append(names, "", strings.Repeat("x", 201))
		for _, action := range []string{"deactivate", "activate", "run", "delete"} {
			body, err := json.Marshal(map[string]any{"action": action, "names": names})
			h.ok(err)
			all := read[map[string][]done](h, h.want(200, "POST", "/bulk", string(body), "Test-Name", "bob"))["results"]
			if len(all) != len(names) {
				h.Fatalf("%s: %d results", action, len(all))
			}
			for i, d := range all {
				want := map[int]int{0: 404, 41: 400, 42: 400}[i]
				if d.Name != names[i] || d.OK != (want == 0) || (d.Run != "") != (want == 0 && action == "run") || !d.OK && (d.Error == nil || d.Error.Status != want) {
					h.Errorf("%s: %+v %+v", action, d, d.Error)
				}
			}
		}
		h.until("it is recorded who did it", func() bool { return len(walk[scheduler.Change](h, "/changes?by=bob", "changes")) == 3*40 })
		if all := h.want(200, "POST", "/bulk", `{"action":"run"}`).text; all != `{"results":[]}` {
			h.Error(all)
		}
	})
}

// Each change is recorded with who made it, and how he came.
func TestChanges(t *testing.T) {
	inBubble(t, func(h *house) {
		first := h.want(201, "POST", "/jobs", `{"name":"x","service":"good","schedule":{"every":"1h"},"payload":"secret"}`, "Test-Name", "ann")
		h.want(200, "PUT", "/jobs/x", hourly, "Test-Name", "bea")
		h.want(200, "PATCH", "/jobs/x", `{"timeout":"1m"}`, "Test-Name", "cid")
		h.want(200, "POST", "/jobs/x/deactivate", "", "Test-Name", "dan")
		h.want(200, "POST", "/jobs/x/activate", "", "Test-Name", "eve")
		h.want(200, "POST", "/jobs/x/restore", `{"revision":`+strings.Trim(first.Header.Get("ETag"), `"`)+`}`, "Test-Name", "fay")
		h.want(204, "DELETE", "/jobs/x", "", "Test-Name", "gus")
		want := []string{"delete by gus", "restore by fay", "activate by eve", "deactivate by dan", "update by cid", "put by bea", "create by ann"}
		var got []string
		h.until("all are recorded", func() bool {
			got = nil
			a := h.want(200, "GET", "/changes?job=x", "")
			if strings.Contains(a.text, "secret") {
				h.Fatal(a.text)
			}
			for _, c := range read[changePage](h, a).Changes {
				if c.Via != "http" {
					h.Errorf("%+v", c)
				}
				got = append(got, c.Verb+" by "+c.By)
			}
			return len(got) == len(want)
		})
		if d := cmp.Diff(want, got); d != "" {
			h.Error(d)
		}
		all := read[changePage](h, h.want(200, "GET", "/changes?by=cid", "")).Changes
		if len(all) != 1 || len(all[0].Fields) != 1 || all[0].Fields[0].Field != "timeout" || string(all[0].Fields[0].To) != `"1m"` {
			h.Errorf("%+v", all)
		}
	})
}

// Streams tell what happens while it happens.
func TestEvents(t *testing.T) {
	h := newHouse(t)
	h.work()
	h.make("x", "good", `{"every":"1h"}`)
	h.make("y", "slow", `{"every":"1h"}`)
	all, one := h.listen("/events"), h.listen("/events?job=x")
	// A stream may begin to listen a moment after it has answered.
	heard := map[string]bool{}
	h.until("both streams tell of both", func() bool {
		h.want(200, "PATCH", "/jobs/x", fmt.Sprintf(`{"description":"%d"}`, time.Now().UnixNano()))
		h.want(200, "PATCH", "/jobs/y", fmt.Sprintf(`{"description":"%d"}`, time.Now().UnixNano()))
		h.run("x")
		for len(all) > 0 {
			e := <-all
			heard["all "+e.name] = true
		}
		for len(one) > 0 {
			e := <-one
			heard["one "+e.name] = true
			if !strings.Contains(e.data, `"job":"x"`) {
				t.Errorf("%v", e)
			}
		}
		return len(heard) == 4
	})
	slow := h.run("y")
	events := h.listen(at("/runs/%s/events", slow))
	if e := h.next(events, "log"); !strings.Contains(e.data, `"begun"`) {
		t.Errorf("%v", e)
	}
	h.want(202, "POST", at("/runs/%s/cancel", slow), "")
	if e := h.next(events, "ended"); !strings.Contains(e.data, `"outcome":"cancelled"`) {
		t.Errorf("%v", e)
	}
	h.next(events, "end")
	if e, more := <-events; more {
		t.Errorf("after the end: %v", e)
	}
	h.make("z", "shaky", `{"every":"1h"}`)
	twice := h.run("z")
	h.ended(twice)
	var names []string
	for e := range h.listen(at("/runs/%s/events", twice)) {
		names = append(names, e.name)
	}
	if d := cmp.Diff([]string{"ended", "ended", "end"}, names); d != "" {
		t.Error(d)
	}
}
