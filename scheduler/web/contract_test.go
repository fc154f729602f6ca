package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// node is a part of the description, and its place there as a JSON pointer.
type node struct {
	root any
	at   string
	v    any
}

// get follows names, and references on the way.
func (n node) get(names ...string) node {
	for _, name := range names {
		m, _ := n.v.(map[string]any)
		n = node{n.root, n.at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name), m[name]}.follow()
	}
	return n
}

func (n node) follow() node {
	m, _ := n.v.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		return node{n.root, "", n.root}.get(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return n
}

func (n node) names() []string {
	m, _ := n.v.(map[string]any)
	return slices.Sorted(maps.Keys(m))
}

func (n node) list() (all []node) {
	list, _ := n.v.([]any)
	for i, v := range list {
		all = append(all, node{n.root, n.at + "/" + strconv.Itoa(i), v}.follow())
	}
	return all
}

func (n node) text() string {
	s, _ := n.v.(string)
	return s
}

// contract is the description, made ready to be compared with what happens.
type contract struct {
	t        *testing.T
	root     node
	compiler *jsonschema.Compiler
	next     http.RoundTripper

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
	seen    map[string]bool // method, path and status
}

func newContract(t *testing.T) *contract {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(description, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v) // numbers and times as JSON has them
	if err != nil {
		t.Fatal(err)
	}
	if v, err = jsonschema.UnmarshalJSON(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	c := &contract{t: t, root: node{v, "", v}, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}, seen: map[string]bool{}}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource("mem:///openapi", v); err != nil {
		t.Fatal(err)
	}
	return c
}

// operation is one of the description.
type operation struct {
	name   string // "GET /jobs"
	params []node
	node
}

func (c *contract) operations() (all []operation) {
	for _, path := range c.root.get("paths").names() {
		item := c.root.get("paths", path)
		for _, method := range item.names() {
			if method != "parameters" {
				op := item.get(method)
				all = append(all, operation{strings.ToUpper(method) + " " + path, slices.Concat(item.get("parameters").list(), op.get("parameters").list()), op})
			}
		}
	}
	return all
}

// find gives the operation of a request.
func (c *contract) find(r *http.Request) (operation, bool) {
	path, below := strings.CutPrefix(r.URL.EscapedPath(), Base)
	for _, op := range c.operations() {
		method, template, _ := strings.Cut(op.name, " ")
		if below && method == r.Method && matches(template, path) {
			return op, true
		}
	}
	return operation{}, false
}

func matches(template, path string) bool {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	for i := range min(len(want), len(have)) {
		if want[i] != have[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return len(want) == len(have)
}

// check validates a value against the schema at a node.
func (c *contract) check(schema node, value any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.schemas[schema.at]
	if s == nil {
		var pointer strings.Builder
		for part := range strings.SplitSeq(schema.at, "/") {
			if pointer.Len() > 0 || part != "" {
				pointer.WriteString("/" + url.PathEscape(part))
			}
		}
		var err error
		if s, err = c.compiler.Compile("mem:///openapi#" + pointer.String()); err != nil {
			return err
		}
		c.schemas[schema.at] = s
	}
	return s.Validate(value)
}

func (c *contract) checkJSON(schema node, text []byte) error {
	if schema.v == nil {
		return fmt.Errorf("there is no schema at %s", schema.at)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return c.check(schema, v)
}

// RoundTrip compares what is sent and what comes with the description.
func (c *contract) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	op, ok := c.find(r)
	if !ok {
		c.t.Errorf("%s %s is not described", r.Method, r.URL)
		return resp, nil
	}
	say := func(err error) {
		if err != nil {
			c.t.Errorf("%s: %d: %v", op.name, resp.StatusCode, err)
		}
	}
	if resp.StatusCode < http.StatusBadRequest {
		say(c.request(op, r, sent))
	}
	status := strconv.Itoa(resp.StatusCode)
	answer := op.get("responses", status)
	if answer.v == nil {
		say(fmt.Errorf("the status is not described"))
		return resp, nil
	}
	c.mu.Lock()
	c.seen[op.name+" "+status] = true
	c.mu.Unlock()
	say(c.headers(answer, resp.Header))
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	content := answer.get("content", kind)
	switch {
	case answer.get("content").v == nil:
		body, err := io.ReadAll(resp.Body)
		say(err)
		if len(body) > 0 {
			say(fmt.Errorf("a body that is not described: %s", body))
		}
	case content.v == nil:
		say(fmt.Errorf("the type %q is not described", kind))
	case kind == "text/event-stream":
		copied, w := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			readEvents(copied, func(e told) {
				if err := c.checkJSON(content.get("x-events", e.name), []byte(e.data)); err != nil {
					c.t.Errorf("%s: event %q: %v\n%s", op.name, e.name, err, e.data)
				}
			})
		}()
		resp.Body = &watched{io.TeeReader(resp.Body, w), resp.Body, func() { w.Close(); <-done }}
	case strings.HasSuffix(kind, "json"):
		body, err := io.ReadAll(resp.Body)
		say(err)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if err := c.checkJSON(content.get("schema"), body); err != nil {
			say(fmt.Errorf("%w\n%s", err, body))
		}
	}
	return resp, nil
}

// watched is a body of which somebody else sees what is read.
type watched struct {
	io.Reader
	body io.Closer
	done func()
}

func (w *watched) Close() error {
	err := w.body.Close()
	w.done()
	return err
}

// request looks whether all of a request is described.
func (c *contract) request(op operation, r *http.Request, sent []byte) error {
	find := func(in, name string) node {
		for _, p := range op.params {
			if p.get("in").text() == in && strings.EqualFold(p.get("name").text(), name) {
				return p.get("schema")
			}
		}
		return node{}
	}
	for name, all := range r.URL.Query() {
		schema := find("query", name)
		var v any = all[0]
		switch schema.get("type").text() {
		case "integer":
			v = json.Number(all[0])
		case "array":
			list := make([]any, len(all))
			for i := range all {
				list[i] = all[i]
			}
			v = list
		}
		if schema.v == nil {
			return fmt.Errorf("the parameter %s is not described", name)
		}
		if err := c.check(schema, v); err != nil {
			return fmt.Errorf("parameter %s: %w", name, err)
		}
	}
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if v := r.Header.Get(name); v != "" {
			if schema := find("header", name); schema.v == nil {
				return fmt.Errorf("%s is not described", name)
			} else if err := c.check(schema, v); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if len(sent) == 0 {
		if required, _ := op.get("requestBody", "required").v.(bool); required {
			return fmt.Errorf("it takes a body")
		}
		return nil
	}
	if err := c.checkJSON(op.get("requestBody", "content", r.Header.Get("Content-Type"), "schema"), sent); err != nil {
		return fmt.Errorf("the request: %w\n%s", err, sent)
	}
	return nil
}

func (c *contract) headers(answer node, have http.Header) error {
	for _, name := range answer.get("headers").names() {
		if err := c.check(answer.get("headers", name, "schema"), have.Get(name)); err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	for _, name := range []string{"ETag", "Location", "Retry-After"} {
		if have.Get(name) != "" && answer.get("headers", name).v == nil {
			return fmt.Errorf("the header %s is not described", name)
		}
	}
	return nil
}

// What is described is what there is, and for the same roles.
func TestDescriptionIsComplete(t *testing.T) {
	c := newContract(t)
	described := map[string]string{}
	ids := map[string]bool{}
	for _, op := range c.operations() {
		described[op.name] = op.get("x-role").text()
		if id := op.get("operationId").text(); id == "" || ids[id] || op.get("summary").text() == "" {
			t.Errorf("%s: it takes a summary and an operationId of its own, not %q", op.name, id)
		} else {
			ids[id] = true
		}
		_, path, _ := strings.Cut(op.name, " ")
		for _, p := range op.params {
			if p.get("in").text() == "path" && !strings.Contains(path, "{"+p.get("name").text()+"}") {
				t.Errorf("%s has no %s", op.name, p.get("name").text())
			}
		}
	}
	served := map[string]string{}
	for _, r := range new(Handler).routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		served[method+" "+strings.ReplaceAll(strings.TrimPrefix(path, Base), "=2E", ".")] = r.role.String()
	}
	if d := cmp.Diff(served, described); d != "" {
		t.Errorf("served and described (-, +):\n%s", d)
	}
}

// Every schema can be read, and every example is one of its kind.
func TestDescriptionExamples(t *testing.T) {
	c := newContract(t)
	for _, name := range c.root.get("components", "schemas").names() {
		schema := c.root.get("components", "schemas", name)
		if err := c.check(schema, nil); err != nil && strings.Contains(err.Error(), "failed to compile") {
			t.Errorf("%s: %v", name, err)
		}
		for i, e := range schema.get("examples").list() {
			if err := c.check(schema, e.v); err != nil {
				t.Errorf("%s: example %d: %v", name, i, err)
			}
		}
	}
	for _, op := range c.operations() {
		for _, p := range op.params {
			if err := c.check(p.get("schema"), p.get("example").v); err != nil {
				t.Errorf("%s: the example of %s: %v", op.name, p.get("name").text(), err)
			}
		}
		content := op.get("requestBody", "content")
		for _, kind := range content.names() {
			if err := c.check(content.get(kind, "schema"), content.get(kind, "example").v); err != nil {
				t.Errorf("%s: the example of a body: %v", op.name, err)
			}
		}
	}
}

// Every operation does what is described, and nothing else.
func TestContract(t *testing.T) {
	h := newHouse(t)
	c := newContract(t)
	c.next = h.client.Transport
	h.client.Transport = c
	h.work()
	contractJobs(h)
	contractRuns(h)
	contractLetters(h)
	contractFleet(h)
	contractEvents(h)
	for _, r := range h.rest.routes() { // nobody may do anything
		method, path, _ := strings.Cut(r.pattern, " ")
		path = strings.NewReplacer("=2E", ".", Base, "", "{", "", "}", "").Replace(path)
		h.refused(http.StatusForbidden, "", method, path, "", "Test-Role", "0")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, op := range c.operations() {
		for _, status := range op.get("responses").names() {
			if status < "400" && !c.seen[op.name+" "+status] {
				t.Errorf("%s never answered %s", op.name, status)
			}
		}
	}
}

func contractJobs(h *house) {
	h.want(200, "GET", "/openapi.yaml", "")
	full := `{"name":"a/b","service":"good","schedule":{"cron":"0 3 * * *","time_zone":"Europe/Prague","start":"2026-01-01T00:00:00Z","end":"2100-01-01T00:00:00Z","max_runs":9,"jitter":"1m"},
		"payload":{"n": 1e400},"active":true,"missed":"once","overlap":"skip","timeout":"1m30s","retry":{"attempts":3,"backoff":"1s","max_backoff":"1m"},"expires":"1h","history":"all",
		"on_success":"good","on_failure":"job:other","labels":{"team":"x"},"description":"all there is"}`
	made := h.want(201, "POST", "/jobs", full)
	h.refused(409, "name", "POST", "/jobs", full)
	h.refused(400, "service", "POST", "/jobs", `{"name":"x","service":"a b","schedule":{"every":"1h"}}`)
	h.refused(415, "", "POST", "/jobs", full, "Content-Type", "text/plain")
	h.refused(413, "", "POST", "/jobs", strings.Repeat(" ", 2<<20))
	h.want(200, "GET", at("/jobs/%s", "a/b"), "")
	h.want(304, "GET", at("/jobs/%s", "a/b"), "", "If-None-Match", made.Header.Get("ETag"))
	h.refused(404, "name", "GET", "/jobs/missing", "")
	h.want(201, "PUT", "/jobs/once", `{"service":"good","schedule":{"at":"2100-01-01T00:00:00Z"},"payload_base64":"/w=="}`, "If-None-Match", "*")
	h.refused(412, "name", "PUT", "/jobs/once", `{"service":"good","schedule":{"every":"1h"}}`, "If-None-Match", "*")
	h.want(200, "PUT", "/jobs/once", `{"service":"good","schedule":{"every":"1h","start":"2026-01-01T00:00:00Z"}}`)
	h.refused(412, "revision", "PUT", "/jobs/once", `{"service":"good","schedule":{"every":"1h"}}`, "If-Match", `"1"`)
	h.want(200, "PATCH", "/jobs/once", `{"timeout":"1m","labels":{"a":"b"},"description":null}`)
	h.want(200, "PATCH", "/jobs/once", `{"payload":"text"}`, "Content-Type", "application/merge-patch+json")
	h.refused(404, "name", "PATCH", "/jobs/missing", `{}`)
	h.want(200, "POST", "/jobs/once/deactivate", "")
	h.want(200, "POST", "/jobs/once/activate", "")
	h.want(200, "POST", "/jobs/once/activate", `{"schedule":{"every":"2h"}}`)
	h.refused(404, "name", "POST", "/jobs/missing/activate", "")
	h.refused(404, "name", "POST", "/jobs/missing/deactivate", "")
	h.want(200, "GET", "/jobs/once/next?count=3&after=2030-01-01T00:00:00Z", "")
	h.refused(400, "count", "GET", "/jobs/once/next?count=0", "")
	history := read[struct{ Revisions []struct{ Revision uint64 } }](h, h.want(200, "GET", "/jobs/once/history", ""))
	h.refused(404, "name", "GET", "/jobs/missing/history", "")
	h.want(200, "POST", "/jobs/once/restore", fmt.Sprintf(`{"revision":%d}`, history.Revisions[len(history.Revisions)-1].Revision))
	h.refused(404, "revision", "POST", "/jobs/once/restore", `{"revision":1000000}`)
	h.put("broken", `{"schedule":{"cron":"never"}}`)
	h.put("garbage", `no JSON`)
	h.want(200, "GET", "/jobs/broken", "")
	h.want(200, "GET", "/jobs/garbage", "")
	h.until("the index has all", func() bool { return read[struct{ Total int }](h, h.want(200, "GET", "/jobs", "")).Total == 4 })
	h.want(200, "GET", "/jobs?state=active&label=a%3Db&label=c%3Dd&order=-next&limit=1&search=x&prefix=o&service=good&outcome=ok", "")
	h.want(200, "GET", "/counts", "")
	h.want(200, "POST", "/schedule", `{"schedule":{"cron":"30 2 * * *","time_zone":"Europe/Prague"},"after":"2026-03-01T00:00:00Z","count":400}`)
	h.refused(400, "schedule.cron", "POST", "/schedule", `{"schedule":{"cron":"never"}}`)
	bulk := h.want(200, "POST", "/bulk", `{"action":"deactivate","names":["once","missing","a/b"]}`)
	if !strings.Contains(bulk.text, `"error":`) {
		h.Error(bulk.text)
	}
	h.want(200, "POST", "/bulk", `{"action":"run","names":["once"]}`)
	h.refused(400, "action", "POST", "/bulk", `{"action":"explode","names":[]}`)
	h.want(200, "POST", "/apply", `{"put":[{"name":"ap/1","service":"good","schedule":{"every":"1h"},"payload":{"n": 1e400}}],"delete":["never"],"dry_run":true}`)
	h.want(200, "POST", "/apply", `{"put":[{"name":"ap/1","service":"good","schedule":{"every":"1h"},"payload":{"n": 1e400}}],"delete":["never"]}`)
	h.want(200, "POST", "/apply", `{"put":[{"name":"ap/1","service":"good","schedule":{"every":"1h"},"payload":{"n": 1e400}}]}`)
	h.want(200, "POST", "/apply", `{"delete":["ap/1"]}`)
	h.want(200, "POST", "/apply", `{}`)
	h.refused(400, "put[1].schedule.cron", "POST", "/apply", `{"put":[{"name":"x","service":"s","schedule":{"every":"1h"}},{"name":"y","service":"s","schedule":{"cron":"never"}}]}`)
	h.refused(400, "put[0].schedule.at", "POST", "/apply", `{"put":[{"name":"x","service":"s","schedule":{"at":"2001-01-01T00:00:00Z"}}]}`)
	h.refused(400, "If-Match", "POST", "/apply", `{}`, "If-Match", `"1"`)
	h.want(204, "DELETE", "/jobs/garbage", "")
	h.refused(404, "name", "DELETE", "/jobs/garbage", "")
	h.want(200, "GET", "/jobs/once/why?at=2026-01-01T00:00:00Z", "")
	h.refused(400, "at", "GET", "/jobs/once/why", "")
	h.until("changes are recorded", func() bool {
		return strings.Contains(h.want(200, "GET", "/changes?job=once&by=alice&limit=5&since=2020-01-01T00:00:00Z", "").text, "deactivate")
	})
	h.refused(400, "limit", "GET", "/changes?limit=1001", "")
}

func contractRuns(h *house) {
	h.make("good", "good", `{"every":"1h"}`)
	h.make("shaky", "shaky", `{"every":"1h"}`)
	h.make("slow", "slow", `{"every":"1h"}`)
	run := h.run("good")
	h.want(202, "POST", "/jobs/good/run", `{"payload":{"a": 1}}`)
	h.refused(404, "name", "POST", "/jobs/missing/run", "")
	h.ended(run)
	h.ended(h.run("shaky"))
	h.refused(404, "run", "GET", "/runs/missing", "")
	events := h.listen(at("/runs/%s/events", run))
	h.next(events, "end")
	slow := h.run("slow")
	h.until("slow runs", func() bool {
		return strings.Contains(h.want(200, "GET", "/active?job=slow&service=slow", "").text, `"started"`)
	})
	h.refused(400, "jobs", "GET", "/active?jobs=slow", "")
	h.want(200, "GET", at("/runs/%s", slow), "")
	events = h.listen(at("/runs/%s/events", slow))
	h.next(events, "log")
	h.want(202, "POST", at("/runs/%s/cancel", slow), "")
	h.next(events, "end")
	h.want(202, "POST", at("/runs/%s/cancel", slow), "")
	h.refused(400, "run", "POST", at("/runs/%s/cancel", "no\nid"), "")
	h.want(200, "GET", "/runs?job=good&service=good&outcome=ok&limit=1&since=2020-01-01T00:00:00Z&until=2100-01-01T00:00:00Z", "")
	h.want(200, "GET", "/runs", "")
	h.until("jobs show how their runs have ended", func() bool {
		return strings.Contains(h.want(200, "GET", "/jobs?outcome=ok", "").text, `"took"`)
	})
	h.refused(400, "outcome", "GET", "/runs?outcome=okay", "")
}

func contractLetters(h *house) {
	h.want(200, "PUT", "/jobs/bad", `{"service":"bad","schedule":{"every":"1h"},"payload_base64":"/w==","timeout":"1m","retry":{"attempts":3}}`)
	letters := func() []*workers.Letter {
		h.Helper()
		return read[struct{ Letters []*workers.Letter }](h, h.want(200, "GET", "/dead?service=bad&job=bad&reason=account&limit=10", "")).Letters
	}
	one := func() string {
		h.Helper()
		h.until("there is a letter", func() bool { return len(letters()) > 0 })
		return strconv.FormatUint(letters()[0].ID, 10)
	}
	h.run("bad")
	id := one()
	h.refused(400, "until", "GET", "/dead?until=soon", "")
	h.want(200, "GET", "/dead/"+id, "")
	h.refused(404, "id", "GET", "/dead/1000000", "")
	h.refused(400, "id", "GET", "/dead/x", "")
	h.want(202, "POST", "/dead/"+id+"/redrive", "")
	h.refused(404, "id", "POST", "/dead/"+id+"/redrive", "")
	id = one()
	h.want(204, "DELETE", "/dead/"+id, "")
	h.refused(404, "id", "DELETE", "/dead/"+id, "")
}

func contractFleet(h *house) {
	if a := h.want(200, "GET", "/services", ""); !strings.Contains(a.text, `"good"`) {
		h.Error(a.text)
	}
	if a := h.want(200, "GET", "/channels", ""); !strings.Contains(a.text, `"connection refused"`) {
		h.Error(a.text)
	}
	if a := h.want(200, "GET", "/schedulers", ""); !strings.Contains(a.text, `"leading":true`) {
		h.Error(a.text)
	}
}

func contractEvents(h *house) {
	events := h.listen("/events?job=good")
	var have []string
	h.until("there are a change and a run", func() bool {
		h.want(200, "PATCH", "/jobs/good", fmt.Sprintf(`{"description":"%d"}`, len(have)))
		h.run("good")
		for len(events) > 0 {
			have = append(have, (<-events).name)
		}
		return slices.Contains(have, "change") && slices.Contains(have, "run")
	})
	h.refused(400, "jobs", "GET", "/events?jobs=good", "")
}
