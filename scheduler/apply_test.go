package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// applied asks, and gives what was done as "name action revision".
func (h *house) applied(body string) (done []string) {
	h.Helper()
	var r struct{ Results []scheduler.Applied }
	b, err := json.Marshal(h.do("apply", body))
	h.ok(err)
	h.ok(json.Unmarshal(b, &r))
	for _, a := range r.Results {
		done = append(done, strings.TrimSuffix(fmt.Sprintf("%s %s %d", a.Name, a.Action, a.Revision), " 0"))
	}
	return done
}

// bucketLast is the last revision in the bucket.
func (h *house) bucketLast() uint64 {
	h.Helper()
	s, err := h.js.Stream(h.Context(), "KV_bellhop-jobs")
	h.ok(err)
	return s.CachedInfo().State.LastSeq
}

func TestApply(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.same("nothing", h.applied(``), []string(nil))
		h.same("nothing", h.applied(`{"put":[],"delete":null}`), []string(nil))
		h.same("deletion of nothing", h.applied(`{"delete":["a"]}`), []string{"a absent"})
		const a, b = `{"name":"a","service":"s","schedule":{"every":"1h"}}`, `{"name":"b","service":"s","schedule":{"cron":"0 9 * * *"},"payload":{"n": 1.50}}`
		h.same("dry run", h.applied(`{"put":[`+a+`,`+b+`],"delete":["c"],"dry_run":true}`), []string{"a created", "b created", "c absent"})
		h.same("last revision", h.bucketLast(), uint64(0))
		h.same("made", h.applied(`{"put":[`+a+`,`+b+`],"delete":["c"]}`), []string{"a created 1", "b created 2", "c absent"})
		h.same("again", h.applied(`{"put":[`+b+`,`+a+`]}`), []string{"b unchanged 2", "a unchanged 1"})
		h.same("last revision", h.bucketLast(), uint64(2))
		if r := h.get("b"); r.num("revision") != 2 || r.str("next") == "" || r.str("state") != "active" {
			t.Errorf("b: %v", r)
		}
		if !strings.Contains(h.stored("b"), `"payload":{"n": 1.50}`) {
			t.Error(h.stored("b"))
		}
		const changed = `{"name":"a","service":"t","schedule":{"every":"1h"}}`
		h.same("mixed, dry", h.applied(`{"put":[`+changed+`],"delete":["b","c"],"dry_run":true}`), []string{"a updated", "b deleted", "c absent"})
		h.same("mixed", h.applied(`{"put":[`+changed+`],"delete":["b","c"]}`), []string{"a updated 3", "b deleted 4", "c absent"})
		h.refuses("get", `{"name":"b"}`, 404, "name", "")
		h.same("what was deleted", h.applied(`{"put":[`+b+`,`+changed+`]}`), []string{"b created 5", "a unchanged 3"})
		h.same("one deletion", h.applied(`{"delete":["b"]}`), []string{"b deleted 6"})
		h.same("one that was deleted", h.applied(`{"put":[`+b+`]}`), []string{"b created 7"})

		var records []string
		for _, c := range h.recorded(7) {
			records = append(records, fmt.Sprintf("%d<%d %s", c.Revision, c.Was, told(c.Change)))
		}
		h.same("records", records, []string{
			"1<0 a create /nats", "2<0 b create /nats", `3<1 a put /nats service:"s">"t"`, "4<2 b delete /nats",
			"5<0 b create /nats", "6<5 b delete /nats", "7<0 b create /nats",
		})
	})
}

// TestApplyIsAllOrNothing: what cannot be right is told with its place, and keeps
// everything else back.
func TestApplyIsAllOrNothing(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.do("create", `{"name":"there","service":"s","schedule":{"every":"1h"}}`)
		const good = `{"name":"good","service":"s","schedule":{"every":"1h"}}`
		name := func(n int, rest string) string {
			return fmt.Sprintf(`{"name":"n%d","service":"s",%s}`, n, rest)
		}
		for _, c := range []struct {
			body         string
			code         int
			field, words string
		}{
			{`{"put":[` + good + `,` + name(1, `"schedule":{"cron":"99 * * * *"}`) + `]}`, 400, "put[1].schedule.cron", `(job "n1")`},
			{`{"put":[` + good + `,` + name(1, `"schedule":{"at":"1999-01-01T00:00:00Z"}`) + `]}`, 400, "put[1].schedule.at", "has passed"},
			{`{"put":[` + good + `,` + name(1, `"schedule":{"every":"1h"},"servise":1`) + `]}`, 400, "put[1].servise", "unknown field"},
			{`{"put":[` + good + `,` + name(1, `"schedule":{"every":"1h"},"payload":"`+strings.Repeat("x", 1<<20-4150)+`"`) + `]}`, 413, "put[1]", "at most"},
			{`{"put":[` + good + `,7]}`, 400, "put[1]", "not a JSON object"},
			{`{"put":[` + good + `,{"service":"s","schedule":{"every":"1h"}}]}`, 400, "put[1].name", "is missing"},
			{`{"put":[` + good + `,` + good + `]}`, 400, "put[1]", "put[0]"},
			{`{"put":[` + good + `],"delete":["there","good"]}`, 400, "delete[1]", "put[0]"},
			{`{"put":[` + good + `],"delete":["there","there"]}`, 400, "delete[1]", "delete[0]"},
			{`{"put":[` + good + `],"delete":[""]}`, 400, "delete[0].name", "is missing"},
			{`{"put":[` + good + `],"delete":[1]}`, 400, "delete[0]", "number"},
			{`{"put":` + good + `}`, 400, "put", "array"},
			{`{"put":[` + good + `],"dryrun":true}`, 400, "dryrun", "unknown field"},
			{`{"put":[` + good + `],"dry_run":1}`, 400, "dry_run", "number"},
			{`{"put":[` + good, 400, "", "broken JSON"},
			{`[` + good + `]`, 400, "", "one JSON object"},
		} {
			h.refuses("apply", c.body, c.code, c.field, c.words)
		}
		h.same("last revision", h.bucketLast(), uint64(1))
		m := nats.NewMsg("bellhop.jobs.apply")
		m.Data, m.Header = []byte(`{"put":[`+good+`]}`), nats.Header{scheduler.HeaderRevision: {"1"}}
		r, err := h.nc.RequestMsg(m, time.Minute)
		h.ok(err)
		if r.Header.Get("Nats-Service-Error-Code") != "400" || !strings.Contains(string(r.Data), `"field":"Bellhop-Revision"`) {
			t.Errorf("with a revision: %s", r.Data)
		}
		h.same("last revision", h.bucketLast(), uint64(1))
	})
}

// TestApplyUnchanged: what is stored as it is sent is left alone, whatever only
// the scheduler has written into it.
func TestApplyUnchanged(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		const rest = `"service":"s","schedule":{"every":"1h"}`
		cases := []struct{ put, apply, want string }{
			{rest, rest, "unchanged"},
			{rest, `"schedule": {"every" : "1h"} , "service":"s"`, "unchanged"},
			{rest, rest + `,"active":true,"timeout":null`, "unchanged"},
			{rest + `,"active":true,"description":null`, rest, "unchanged"},
			{rest, rest + `,"revision":7,"state":"inactive","reason":"x","anchor":"1990-01-01T00:00:00Z","next":"1990-01-01T00:00:00Z"`, "unchanged"},
			{rest + `,"payload":{"a":1}`, rest + `,"payload":{"a":1}`, "unchanged"},
			{rest + `,"payload":{"a":1}`, rest + `,"payload":{"a": 1}`, "updated"},
			{rest + `,"payload":null`, rest + `,"payload":null`, "unchanged"},
			{rest + `,"payload":null`, rest, "updated"},
			{rest, rest + `,"payload":null`, "updated"},
			{rest + `,"payload_base64":"/w=="`, rest + `,"payload_base64":"/w=="`, "unchanged"},
			{rest + `,"labels":{"a":"b"}`, rest + `,"labels":{ "a":"b" }`, "unchanged"},
			{rest + `,"labels":{"a":"b"}`, rest + `,"labels":{"a":"c"}`, "updated"},
			{rest + `,"labels":{"a":"b"}`, rest, "updated"},
			{rest, `"service":"s","schedule":{"every":"2h"}`, "updated"},
			{rest + `,"active":false`, rest + `,"active":false`, "unchanged"},
			{rest + `,"active":false`, rest, "updated"},
			{rest, rest + `,"active":false`, "updated"},
			{`"service":"s","schedule":{"at":"2000-01-01T00:00:20Z"}`, `"service":"s","schedule":{"at":"2000-01-01T00:00:20Z"}`, "unchanged"},
			{`"service":"s","schedule":{"at":"2000-01-01T00:00:20Z"}`, `"service":"s","schedule":{"at":"2000-01-01T00:00:20Z"},"active":false`, "unchanged"},
			{`"service":"s","schedule":{"every":"1s","max_runs":2}`, `"service":"s","schedule":{"every":"1s","max_runs":2}`, "unchanged"},
			{`"service":"s","schedule":{"every":"1s","max_runs":2}`, `"service":"s","schedule":{"every":"1s","max_runs":3}`, "updated"},
			{`"service":"s","schedule":{"every":"1s","end":"2000-01-01T00:00:20Z"}`, `"service":"s","schedule":{"every":"1s","end":"2000-01-01T00:00:20Z"}`, "unchanged"},
		}
		define := func(i int, rest string) string { return fmt.Sprintf(`{"name":"job %d",%s}`, i, rest) }
		for i, c := range cases {
			h.do("put", define(i, c.put))
		}
		h.until("2000-01-01T00:01:00Z")
		h.inactive("job 18", "completed")
		h.inactive("job 20", "completed")
		h.inactive("job 22", "expired")
		for i, c := range cases {
			was := h.stored(fmt.Sprintf("job=20%d", i))
			got := h.applied(`{"put":[` + define(i, c.apply) + `]}`)
			if !strings.HasPrefix(got[0], fmt.Sprintf("job %d %s ", i, c.want)) {
				t.Errorf("%s, then %s: %s; want %s", c.put, c.apply, got, c.want)
			}
			if is := h.stored(fmt.Sprintf("job=20%d", i)); c.want == "unchanged" && is != was {
				t.Errorf("%s, then %s: is %s", c.put, c.apply, is)
			}
		}
	})
}

// TestApplyIsPut: what a put of one job keeps and what it writes, a batch does.
func TestApplyIsPut(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		steps := []string{
			`"schedule":{"every":"10s"}`,
			`"schedule":{"every":"10s"},"description":"the grid stays"`,
			`"schedule":{"every":"10s"},"active":false`,
			`"schedule":{"every":"10s"},"active":false,"description":"still"`,
			`"schedule":{"every":"10s"}`,
			`"schedule":{"every":"11s","max_runs":1}`,
			`"schedule":{"every":"11s","max_runs":1},"description":"once more"`,
		}
		for i, step := range steps {
			h.do("put", `{"name":"a","service":"s",`+step+`}`)
			h.applied(`{"put":[{"name":"b","service":"s",` + step + `},{"name":"other","service":"s","schedule":{"every":"` + fmt.Sprint(i+1) + `h"}}]}`)
			// The two are some milliseconds apart at most, the steps seconds.
			cut := func(s string) string {
				var o map[string]any
				h.ok(json.Unmarshal([]byte(s), &o))
				for _, f := range []string{"anchor", "activated"} {
					if at, err := time.Parse(time.RFC3339, fmt.Sprint(o[f])); err == nil {
						o[f] = at.Truncate(time.Second)
					}
				}
				delete(o, "name")
				return fmt.Sprint(o)
			}
			if d := cmp.Diff(cut(h.stored("a")), cut(h.stored("b"))); d != "" {
				t.Errorf("step %d: put and apply (-, +):\n%s", i, d)
			}
			time.Sleep(7*time.Second + 300*time.Millisecond) // in a bubble: some are due meanwhile
		}
		h.same("dues", len(h.fired("a")), len(h.fired("b")))
	})
}

// What was put into the bucket by hand counts as soon as it is there.
func TestApplyAfterAHand(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		const def = `{"name":"a","service":"s","schedule":{"cron":"0 9 * * *"}}`
		h.same("made", h.applied(`{"put":[`+def+`]}`), []string{"a created 1"})
		b, err := h.js.KeyValue(h.Context(), "bellhop-jobs")
		h.ok(err)
		_, err = b.PutString(h.Context(), "a", `{"service":"other","schedule":{"cron":"0 9 * * *"}}`)
		h.ok(err)
		h.same("put right", h.applied(`{"put":[`+def+`]}`), []string{"a updated 3"})
		_, err = b.PutString(h.Context(), "a", `broken`)
		h.ok(err)
		h.same("mended", h.applied(`{"put":[`+def+`]}`), []string{"a updated 5"})
		_, err = b.PutString(h.Context(), "a", `{"schedule":{"cron":"0 9 * * *"},"service":"s"}`)
		h.ok(err)
		h.same("as it should be", h.applied(`{"put":[`+def+`]}`), []string{"a unchanged 6"})
		h.ok(b.Delete(h.Context(), "a"))
		h.same("gone", h.applied(`{"delete":["a"]}`), []string{"a absent"})
		_, err = b.PutString(h.Context(), "x", `{"service":"s","schedule":{"cron":"0 9 * * *"}}`)
		h.ok(err)
		h.same("not known yet", h.applied(`{"put":[{"name":"x","service":"s","schedule":{"cron":"0 9 * * *"}},`+def+`]}`), []string{"x unchanged 8", "a created 9"})
	})
}

func TestApplyLimits(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		const rest = `"service":"s","schedule":{"every":"1h"}`
		many := func(n, from int) string {
			var defs []string
			for i := range n {
				defs = append(defs, fmt.Sprintf(`{"name":"job %d",%s}`, from+i, rest))
			}
			return strings.Join(defs, ",")
		}
		h.refuses("apply", `{"put":[`+many(1001, 0)+`]}`, 400, "", "at most 1000")
		h.refuses("apply", `{"put":[`+many(999, 0)+`],"delete":["a","b"]}`, 400, "", "at most 1000")
		h.same("last revision", h.bucketLast(), uint64(0))
		if n := len(h.applied(`{"put":[` + many(1000, 0) + `]}`)); n != 1000 {
			t.Errorf("%d results", n)
		}
		h.same("last revision", h.bucketLast(), uint64(1000))

		names := []string{
			strings.Repeat("n", 200), strings.Repeat("\"", 200), strings.Repeat("é", 100), "🛎️ bell", " ", `back\slash`, "../../etc/passwd", "/", ".", "..", "*", ">",
			"bellhop.hand", "$JS.API.>", "=", "=41", "A", "<script>", "%s", "null", "{}", `"],"dry_run":true,"x":["`,
		}
		var puts, quoted []string
		for _, name := range names {
			quoted = append(quoted, string(scheduler.Text(name)))
			puts = append(puts, `{"name":`+string(scheduler.Text(name))+`,`+rest+`}`)
		}
		h.applied(`{"put":[` + strings.Join(puts, ",") + `]}`)
		for _, name := range names {
			if h.get(name).str("name") != name {
				t.Errorf("%q is not there", name)
			}
		}
		for i, done := range h.applied(`{"delete":[` + strings.Join(quoted, ",") + `]}`) {
			if !strings.HasPrefix(done, names[i]+" deleted ") {
				t.Errorf("%q: %s", names[i], done)
			}
		}
		for _, name := range []string{strings.Repeat("n", 201), "tab\t", "\x00", "\u202e", "\ufffd"} {
			h.refuses("apply", `{"put":[{"name":`+string(scheduler.Text(name))+`,`+rest+`}]}`, 400, "put[0].name", "")
			h.refuses("apply", `{"delete":[`+string(scheduler.Text(name))+`]}`, 400, "delete[0].name", "")
		}

		// The longest names fit into a reply; written six times as long they do not.
		long := func(n int, r string) string {
			var all []string
			for i := range n {
				all = append(all, `"`+strings.Repeat(r, 196)+fmt.Sprintf("%04d", i)+`"`)
			}
			return strings.Join(all, ",")
		}
		before := h.bucketLast()
		if n := len(h.ask("apply", `{"delete":[`+long(1000, "n")+`]}`)); n > 256<<10 {
			t.Errorf("a reply of %d bytes", n)
		}
		h.refuses("apply", `{"delete":[`+long(500, `\u003c`)+`]}`, 413, "", "fewer")
		h.same("last revision", h.bucketLast(), before)

		// What the client does not send is refused, too.
		big := scheduler.Batch{}
		for i := range 20 {
			big.Put = append(big.Put, job(fmt.Sprint("big ", i), strings.Repeat("x", 100_000)))
		}
		if _, err := h.client.Apply(h.Context(), big); scheduler.Code(err) != 413 {
			t.Errorf("two megabytes: %v", err)
		}
		h.same("last revision", h.bucketLast(), before)
		done := 0
		h.ok(h.client.ApplyAll(h.Context(), big, func(a []scheduler.Applied) { done += len(a) }))
		h.same("in portions", done, 20)
	})
}

func job(name, payload string) *scheduler.Job {
	return &scheduler.Job{Name: name, Service: "s", Schedule: scheduler.Schedule{Every: scheduler.Duration(time.Hour)}, Payload: scheduler.Text(payload)}
}

// TestApplyAll: more than one request takes is sent in several, and a refusal
// names its place in the whole.
func TestApplyAll(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		const n = 2500
		var all scheduler.Batch
		for i := range n {
			all.Put = append(all.Put, job(fmt.Sprint("job ", i), "x"))
		}
		count := func(b scheduler.Batch) (map[string]int, error) {
			counts := map[string]int{}
			err := h.client.ApplyAll(h.Context(), b, func(done []scheduler.Applied) {
				for _, a := range done {
					counts[a.Action]++
				}
			})
			return counts, err
		}
		check := func(b scheduler.Batch, want map[string]int) {
			t.Helper()
			got, err := count(b)
			h.ok(err)
			h.same("counts", got, want)
		}
		check(all, map[string]int{"created": n})
		check(all, map[string]int{"unchanged": n})
		all.Put[2400].Service = "t"
		check(scheduler.Batch{Put: all.Put, DryRun: true}, map[string]int{"unchanged": n - 1, "updated": 1})
		check(all, map[string]int{"unchanged": n - 1, "updated": 1})
		b := scheduler.Batch{Put: all.Put[:1200]}
		for _, j := range all.Put[1200:] {
			b.Delete = append(b.Delete, j.Name)
		}
		check(b, map[string]int{"unchanged": 1200, "deleted": n - 1200})
		check(all, map[string]int{"unchanged": 1200, "created": n - 1200})

		wrong := *all.Put[2300]
		wrong.Schedule = scheduler.Schedule{Cron: "never"}
		all.Put[2300] = &wrong
		_, err := count(all)
		e, ok := errors.AsType[*scheduler.Error](err)
		if !ok || e.Field != "put[2300].schedule.cron" {
			t.Errorf("a wrong one: %v", err)
		}
		all.Put[2300] = all.Put[17]
		_, err = count(all)
		if e, ok := errors.AsType[*scheduler.Error](err); !ok || e.Code != 400 || e.Field != "put[2300]" {
			t.Errorf("one that is named twice: %v", err)
		}
	})
}

// TestApplyPromise: when the reply is there, no trigger of what was deleted or
// replaced follows.
func TestApplyPromise(t *testing.T) {
	for _, n := range []int{100, 500} { // of many the scheduler does not hear from the watch
		promise(t, n)
	}
}

func promise(t *testing.T, jobs int) {
	inBubble(t, func(h *house) {
		cut := &scissors{cuts: make(chan *wire, 1)} // which never come, but the watch lags
		nc, err := nats.Connect("", nats.InProcessServer(&wire{s: cut, srv: h.s}), nats.ReconnectBufSize(-1))
		h.ok(err)
		defer nc.Close()
		s, err := scheduler.New(nc, scheduler.Options{})
		h.ok(err)
		ctx, cancel := context.WithCancel(context.WithoutCancel(h.Context()))
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				h.Error(err)
			}
		})
		<-s.Ready()
		var puts, slow, names []string
		for i := range jobs {
			puts = append(puts, fmt.Sprintf(`{"name":"j%d","service":"s","schedule":{"every":"%dms","start":"2000-01-01T00:00:01Z"}}`, i, 10+i%7))
			slow = append(slow, fmt.Sprintf(`{"name":"j%d","service":"s","schedule":{"every":"1h"}}`, i))
			names = append(names, fmt.Sprintf(`"j%d"`, i))
		}
		h.applied(`{"put":[` + strings.Join(puts, ",") + `]}`)
		h.until("2000-01-01T00:00:03Z")
		cut.lag.Store(int64(400 * time.Millisecond))
		h.applied(`{"put":[` + strings.Join(slow[:jobs/2], ",") + `],"delete":[` + strings.Join(names[jobs/2:], ",") + `]}`)
		n := len(h.log())
		time.Sleep(10 * time.Second) // in a bubble: a thousand would be due
		h.same("triggers after the reply", len(h.log())-n, 0)
	})
}

// TestApplyFight lets batches and single changes fight for the same few jobs. Each
// change that was acknowledged is recorded exactly once, nothing else is, and what
// the last one said is what is there.
func TestApplyFight(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		const fighters, rounds, jobs = 8, 25, 12
		var mu sync.Mutex
		made := map[uint64]string{} // by revision: who made it of which job
		note := func(revision uint64, name, by string) {
			mu.Lock()
			defer mu.Unlock()
			if was := made[revision]; was != "" {
				t.Errorf("revision %d is of %s and of %s by %s", revision, was, name, by)
			}
			made[revision] = name + " by " + by
		}
		var wg sync.WaitGroup
		for f := range fighters {
			wg.Go(func() {
				rnd := rand.New(rand.NewPCG(1, uint64(f)))
				for round := range rounds {
					by := fmt.Sprintf("%d.%d", f, round)
					c := h.client.With(scheduler.Terms{By: by})
					if f%2 == 0 {
						var b scheduler.Batch
						if f == 0 { // so many that the scheduler learns them without the watch
							for i := range 250 {
								b.Put = append(b.Put, job(fmt.Sprint("many ", round, " ", i), by))
							}
						}
						for i := range jobs {
							switch name := fmt.Sprint("j", i); rnd.IntN(4) {
							case 0:
								b.Delete = append(b.Delete, name)
							case 1, 2:
								b.Put = append(b.Put, job(name, by))
							}
						}
						done, err := c.Apply(h.Context(), b)
						if err != nil && scheduler.Code(err) != 409 {
							t.Errorf("%s: %v", by, err)
						}
						for _, a := range done {
							if a.Action != scheduler.ActionAbsent {
								note(a.Revision, a.Name, by)
							}
						}
						continue
					}
					name := fmt.Sprint("j", rnd.IntN(jobs))
					if rnd.IntN(4) == 0 {
						if err := c.Delete(h.Context(), name); err != nil && scheduler.Code(err) != 404 && scheduler.Code(err) != 409 {
							t.Errorf("%s: %v", by, err)
						}
						continue
					}
					j, err := c.Put(h.Context(), job(name, by))
					switch {
					case err == nil:
						note(j.Revision, name, by)
					case scheduler.Code(err) != 409:
						t.Errorf("%s: %v", by, err)
					}
				}
			})
		}
		wg.Wait()
		last := h.bucketLast()
		records := h.recorded(int(last))
		h.same("records", len(records), int(last))
		latest := map[string]scheduler.Placed{}
		for i, r := range records {
			if r.Revision != uint64(i+1) {
				t.Fatalf("record %d is of revision %d", i, r.Revision)
			}
			if who, ok := made[r.Revision]; ok && who != r.Job+" by "+r.By {
				t.Errorf("revision %d: %s; recorded is %s by %s", r.Revision, who, r.Job, r.By)
			}
			delete(made, r.Revision)
			if before := latest[r.Job]; r.Verb != "create" && r.Verb != "put" && r.Was != before.Revision {
				t.Errorf("revision %d of %s: was %d, not %d", r.Revision, r.Job, before.Revision, r.Was)
			}
			latest[r.Job] = r
		}
		h.same("acknowledged and not recorded", made, map[uint64]string{})
		for name, r := range latest {
			j, err := h.client.Get(h.Context(), name)
			switch {
			case r.Verb == "delete" && scheduler.Code(err) != 404:
				t.Errorf("%s was deleted at last, and is %+v", name, j)
			case r.Verb != "delete" && (err != nil || string(j.Payload) != `"`+r.By+`"` || j.Revision != r.Revision):
				t.Errorf("%s was put at last by %s at %d, and is %+v, %v", name, r.By, r.Revision, j, err)
			}
		}
	})
}

// TestApplyWithoutALeader kills the leader while many batches are under way. Each
// was stored as a whole or not at all, and applying again completes what is
// missing; every change is recorded once.
func TestApplyWithoutALeader(t *testing.T) {
	for kill := range 5 {
		inBubble(t, func(h *house) {
			a := h.lead(scheduler.Options{Name: "a"})
			b := h.engine(scheduler.Options{Name: "b"})
			const n = 6000
			var all scheduler.Batch
			for i := range n {
				all.Put = append(all.Put, job(fmt.Sprintf("job %04d", i), "x"))
			}
			portions, done := 0, 0
			err := h.client.ApplyAll(h.Context(), all, func(d []scheduler.Applied) {
				if done += len(d); portions == kill {
					a.kill()
				}
				portions++
			})
			t.Logf("killed after %d portions: %d are acknowledged, %v", kill+1, done, err)
			<-b.Ready()
			synctest.Wait()
			if stored := int(h.bucketLast()); stored%scheduler.MaxBatch != 0 || stored < done {
				t.Errorf("%d are stored, %d acknowledged", stored, done)
			}
			counts := map[string]int{}
			h.ok(h.client.ApplyAll(h.Context(), all, func(d []scheduler.Applied) {
				for _, r := range d {
					counts[r.Action]++
				}
			}))
			if counts["created"]+counts["unchanged"] != n || counts["unchanged"] < done {
				t.Errorf("after %d: %v", done, counts)
			}
			h.same("last revision", h.bucketLast(), uint64(n))
			records := h.recorded(n)
			h.same("records", len(records), n)
			if !slices.IsSortedFunc(records, func(x, y scheduler.Placed) int { return int(x.Revision) - int(y.Revision) }) {
				t.Error("the records are out of order")
			}
		})
	}
}
