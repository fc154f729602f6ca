package scheduler_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// Whatever people send: a clear answer, and a canary that is rung on time all
// the while.
func TestHostileRequests(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.do("create", `{"name":"canary","service":"canary","schedule":{"every":"1s","start":"2000-01-01T00:00:00Z"}}`)
		const rest = `"service":"s","schedule":{"at":"2000-01-01T00:00:20Z"}`

		names := []string{
			strings.Repeat("n", 200), strings.Repeat("\"", 200), strings.Repeat("é", 100), strings.Repeat("🛎", 50), "🛎️ bell", "日本語", "naïve", "a b", " ", "  lead",
			`"quoted"`, `back\slash`, "../../etc/passwd", "/", ".", "..", "a.b.c", "*", ">", "bellhop.hand", "$JS.API.>", "$KV.x", "=", "=41", "a=b", "<script>", "&amp;", "%s%d%n", "null", "0", "-", "_", "{}", "--help", "CON",
		}
		for _, name := range names {
			r := h.do("create", `{"name":`+string(scheduler.Text(name))+`,`+rest+`}`)
			if r.str("name") != name || h.get(name).str("name") != name {
				t.Errorf("%q came back as %q", name, r.str("name"))
			}
			h.refuses("create", `{"name":`+string(scheduler.Text(name))+`,`+rest+`}`, 409, "name", "exists")
		}
		for _, name := range []string{
			strings.Repeat("n", 201), strings.Repeat("🛎", 51), strings.Repeat("x", 1<<15), "tab\t", "line\nbreak", "\x00", "\x1b[31m", "\u200b", "\u202e", "\u00a0", "\ufeff", "\ufffd", "\u2028", "\ue000", "\U000e0001",
		} {
			for _, verb := range []string{"create", "put", "update", "get", "delete", "activate", "deactivate", "run", "next"} {
				h.refuses(verb, `{"name":`+string(scheduler.Text(name))+`}`, 400, "name", "")
			}
		}
		h.refuses("create", `{"name":"\ud800",`+rest+`}`, 400, "name", "printed")
		h.refuses("create", "{\"name\":\"\xc3\",\"x\":1}", 400, "", "UTF-8")
		for _, service := range []string{"", ".", "a.", ".a", "a..b", "a b", "*", ">", "a.*", "a.>", "é", "a\n", "$SYS", strings.Repeat("s", 129), strings.Repeat("s", 1<<15)} {
			h.refuses("create", `{"name":"x","service":`+string(scheduler.Text(service))+`,"schedule":{"every":"1h"}}`, 400, "service", "")
		}
		h.do("create", `{"name":"long service","service":"`+strings.Repeat("s", 128)+`","schedule":{"at":"2000-01-01T00:00:20Z"}}`)

		long := strings.Repeat("y", 1<<15)
		for _, body := range []string{
			`{"name":"x","service":"s","schedule":{"every":"1h"},"` + long + `":1}`,
			`{"name":"x","service":"s","schedule":{"` + long + `":1}}`,
			`{"name":"x","service":"s","schedule":{"at":"` + long + `"}}`,
			`{"name":"x","service":"s","schedule":{"cron":"` + long + `"}}`,
			`{"name":"x","service":"s","schedule":{"cron":"` + strings.Repeat("1,", 1<<14) + `1 * * * *"}}`,
			`{"name":"x","service":"s","schedule":{"every":"` + strings.Repeat("9", 1<<14) + `h"}}`,
			`{"name":"x","service":"s","schedule":{"cron":"* * * * *","time_zone":"` + long + `"}}`,
			`{"name":"x","service":"s","schedule":{"every":"1s","max_runs":` + strings.Repeat("9", 1<<14) + `}}`,
			`{"name":"x","service":"s","schedule":{"every":"1h"},"missed":"` + long + `"}`,
			`{"name":"x","service":"s","schedule":{"every":"1h"},"on_success":"` + long + `"}`,
			`{"name":"x","service":"s","schedule":{"every":"1h"},"timeout":"` + long + `"}`,
			`{"name":"x","service":"s","schedule":{"every":"1h"},"labels":{"` + long + `":""}}`,
			`{"name":"x","service":"s","schedule":{"every":"1h"},"labels":{"a":"` + long + `"}}`,
			`{"name":"x","service":"s","schedule":{"every":"1h"},"description":"` + long + `"}`,
			`{"name":"x","service":"s","schedule":{"every":"1h"},"payload_base64":"*` + long + `"}`,
			`{"name":"x","service":"s","schedule":{"every":"1h"},"retry":{"` + long + `":1}}`,
			`{"name":"x","service":"s","schedule":{"every":"1h"},"payload":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`,
			`{"name":"x","service":"s","schedule":` + strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat("}", 10_000) + `}`,
			strings.Repeat("[", 10_000), strings.Repeat(`{"a":`, 10_000), strings.Repeat("[", 1<<15), strings.Repeat("\"", 1<<15), strings.Repeat("\\", 1<<15), long,
			`{"name":"x\`, `{"name":"\u12`, `{"a":1,}`, `{"a" 1}`, `{,}`, `{"a":tru}`, `{"a":01}`, `{"a":.5}`, `{'a':1}`, "{\"a\":\"\x01\"}", `{"a":1}x`, "\ufeff{}", "\x00", "{}\x00",
			`{"name":"x","service":"s","schedule":{"every":"1h"},"on_success":"job:` + strings.Repeat("<", 200) + `","on_failure":"job:` + strings.Repeat("<", 200) + `"}`,
		} {
			for _, verb := range []string{"create", "put", "update"} {
				_, e := h.try(verb, body)
				if e == nil || e.Code != 400 && !(verb == "update" && e.Code == 404) || len(e.Error()) > 2000 {
					t.Errorf("%s %.60q: %v", verb, body, e)
				}
			}
			for _, verb := range []string{"get", "delete", "activate", "deactivate", "run", "next", "list"} {
				_, e := h.try(verb, body)
				if e == nil || e.Code != 400 || len(e.Error()) > 2000 {
					t.Errorf("%s %.60q: %v", verb, body, e)
				}
			}
		}
		for _, body := range []string{
			`{"schedule":{"every":"876600h"},"count":1000}`, `{"schedule":{"cron":"0 0 29 2 *"},"count":1000,"after":"2096-03-01T00:00:00Z"}`,
			`{"schedule":{"cron":"59 59 23 31 12 *"},"count":1000,"after":"9999-01-01T00:00:00Z"}`, `{"schedule":{"every":"1ms"},"count":1,"after":"0001-01-01T00:00:00Z"}`,
			`{"schedule":{"every":"1ms"},"count":1,"after":"9999-12-31T23:59:59.999999999Z"}`, `{"schedule":{"every":"1ms"},"count":1,"after":"9999-12-31T23:59:59-23:59"}`,
		} {
			h.try("next", body)
		}

		h.until("2000-01-01T00:00:21Z")
		for _, name := range names {
			key := workers.Escape(name)
			h.rang(key, "00:00:20.000")
			if r := h.get(name); r.str("reason") != "completed" {
				t.Errorf("%q: %v", name, r)
			}
		}
		h.canary()
	})
}

// What fits is delivered, at its largest too, and what does not is refused:
// definition, reply and trigger all fit into the server's max_payload.
func TestSizes(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.do("create", `{"name":"canary","service":"canary","schedule":{"every":"1s","start":"2000-01-01T00:00:00Z"}}`)
		// The longest headers that a trigger can have.
		name := strings.Repeat(`"`, 200)
		head := `{"name":` + string(scheduler.Text(name)) + `,"service":"` + strings.Repeat("s", 128) + `","schedule":{"every":"1s","max_runs":3},` +
			`"on_success":"job:` + strings.Repeat("x", 200) + `","on_failure":"job:` + strings.Repeat("<", 195) + `","timeout":"52w1ms","expires":"52w1ms","overlap":"replace","history":"failures",` +
			`"retry":{"attempts":1000,"backoff":"52w1ms","max_backoff":"52w1ms"},"payload":"`
		size := func(n int) string { return head + strings.Repeat("p", n) + `"}` }
		too := 1<<20 - len(head) - 2
		var has, limit int
		e := h.refuses("create", size(too), 413, "", "at most")
		if _, err := fmt.Sscanf(e.Message, "the definition has %d bytes: at most %d", &has, &limit); err != nil || limit != 1<<20-4096 {
			t.Fatalf("%s: %v", e.Message, err)
		}
		fits := too - (has - limit)
		h.refuses("create", size(fits+1), 413, "", "at most")
		h.do("put", size(fits))
		h.do("deactivate", `{"name":`+string(scheduler.Text(name))+`}`)
		h.do("activate", `{"name":`+string(scheduler.Text(name))+`}`)
		time.Sleep(4 * time.Second) // in a bubble: it is due meanwhile
		n := 0
		for _, r := range h.log() {
			if r.service != "canary" {
				n++
				if len(r.payload) != fits {
					t.Errorf("%d bytes", len(r.payload))
				}
			}
		}
		if n != 3 {
			t.Errorf("rung %d times", n)
		}
		if r := h.get(name); r.str("reason") != "completed" || len(r.str("payload")) != fits {
			t.Errorf("%.300v", r)
		}
		h.do("run", `{"name":`+string(scheduler.Text(name))+`,"payload":"x"}`)
		// A list of jobs with as many labels as may be.
		var labels []string
		for i := range scheduler.MaxLabels {
			labels = append(labels, fmt.Sprintf(`"%s%02d":"%s"`, strings.Repeat(`\u0022`, 198), i, strings.Repeat(`\u0022`, 200)))
		}
		for i := range 8 {
			h.do("create", fmt.Sprintf(`{"name":"labels%d","service":"s","schedule":{"every":"1h"},"labels":{%s},"description":"%s"}`, i, strings.Join(labels, ","), strings.Repeat(`\u0001`, 4096)))
		}
		h.do("create", `{"name":"long","service":"s","schedule":{"every":"`+strings.Repeat("1m", 1<<17)+`"}}`)
		seen, cursor := 0, ""
		for {
			raw := h.ask("list", `{"cursor":"`+cursor+`"}`)
			if len(raw) > 256_000 {
				t.Errorf("a list of %d bytes", len(raw))
			}
			seen += strings.Count(raw, `"state":`)
			_, rest, more := strings.Cut(raw, `"cursor":"`)
			if !more {
				break
			}
			cursor, _, _ = strings.Cut(rest, `"`)
		}
		h.same("listed", seen, 11)
		h.canary()
	})
}
