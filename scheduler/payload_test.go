package scheduler_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats.go/jetstream"
)

var payloads = []struct{ name, field, want string }{
	{"text", `"payload":"hello"`, "hello"},
	{"empty text", `"payload":""`, ""},
	{"escapes", `"payload":"a\"b\\c\/d\b\f\n\r\t"`, "a\"b\\c/d\b\f\n\r\t"},
	{"unicode", `"payload":"Zoë 🛎 日本"`, "Zoë 🛎 日本"},
	{"unicode escapes", `"payload":"\u005a\u00eb \u2028 \u0000"`, "Zë \u2028 \x00"},
	{"surrogates", `"payload":"\ud83d\udece"`, "🛎"},
	{"half a surrogate", `"payload":"a\ud83dz"`, "a\ufffdz"},
	{"text like JSON", `"payload":"{\"a\": 1}"`, `{"a": 1}`},
	{"html", `"payload":"<a href='x'>&</a>"`, "<a href='x'>&</a>"},
	{"line separators", "\"payload\":\"\u2028\u2029\"", "\u2028\u2029"},
	{"object", "\"payload\": { \"b\" : 1 ,\n\t\"a\":[ 1,2 , {} ],\"a\":2 }", "{ \"b\" : 1 ,\n\t\"a\":[ 1,2 , {} ],\"a\":2 }"},
	{"object with html", "\"payload\":{\"x\":\"<>&\u2028\\u2028\\/\"}", "{\"x\":\"<>&\u2028\\u2028\\/\"}"},
	{"big numbers", `"payload":[12345678901234567890123,1.0,1e400,-0,0.10]`, `[12345678901234567890123,1.0,1e400,-0,0.10]`},
	{"number", `"payload": 1.50 `, "1.50"},
	{"true", `"payload":true`, "true"},
	{"null", `"payload":null`, "null"},
	{"array", `"payload":[ ]`, "[ ]"},
	{"absent", ``, ""},
	{"binary", `"payload_base64":"AAEC/f7/"`, "\x00\x01\x02\xfd\xfe\xff"},
	{"empty binary", `"payload_base64":""`, ""},
	{"binary, and null", `"payload_base64":"AA==","payload_base64x":null`, ""}, // refused
	{"nested", `"payload":` + strings.Repeat("[", 990) + strings.Repeat("]", 990), strings.Repeat("[", 990) + strings.Repeat("]", 990)},
}

// The service is given the very bytes that were sent: through create, get, put
// of what was got, the Go client, a restart, the schedule and a ring.
func TestPayloadBytes(t *testing.T) {
	inBubble(t, func(h *house) {
		e := h.lead(scheduler.Options{})
		want := map[string]string{}
		for i, p := range payloads {
			field := p.field
			if field != "" {
				field += ","
			}
			body := fmt.Sprintf(`{"name":"p%d","service":"s",%s"schedule":{"at":"2000-01-01T00:00:10Z"}}`, i, field)
			if strings.Contains(field, "base64x") {
				h.refuses("create", body, 400, "payload_base64x", "unknown")
				continue
			}
			want[fmt.Sprintf("p%d", i)] = p.want
			raw := h.ask("create", body)
			if !strings.Contains(raw, strings.TrimSpace(strings.TrimPrefix(p.field, `"payload": `))) {
				t.Errorf("%s: created %s", p.name, raw)
			}
			got := h.ask("get", fmt.Sprintf(`{"name":"p%d"}`, i))
			again := h.ask("put", got)
			if value(t, got) != value(t, raw) || value(t, again) != value(t, raw) {
				t.Errorf("%s: created %s\ngot %s\nput %s", p.name, raw, got, again)
			}
			j, err := h.client.Get(h.Context(), fmt.Sprintf("p%d", i))
			h.ok(err)
			if b, err := j.Bytes(); err != nil || string(b) != p.want {
				t.Errorf("%s: the client reads %q, %v", p.name, b, err)
			}
			j, err = h.client.Put(h.Context(), j)
			h.ok(err)
			if b, err := j.Bytes(); err != nil || string(b) != p.want {
				t.Errorf("%s: the client reads %q after put, %v", p.name, b, err)
			}
			h.ask("update", fmt.Sprintf(`{"name":"p%d","labels":{"a":"b"}}`, i))
			h.do("run", fmt.Sprintf(`{"name":"p%d"}`, i))
		}
		e.stop()
		e = h.lead(scheduler.Options{})
		h.until("2000-01-01T00:00:11Z")
		e.stop()
		for _, name := range []string{"bellhop-triggers", "bellhop-rings"} {
			stream, err := h.js.Stream(h.Context(), name)
			h.ok(err)
			n := 0
			for seq := uint64(1); ; seq++ {
				m, err := stream.GetMsg(h.Context(), seq, jetstream.WithGetMsgSubject("bellhop.*.>"))
				if err != nil {
					break
				}
				seq = m.Sequence
				if m.Subject == "bellhop.hand" {
					continue
				}
				n++
				key := m.Header.Get("Bellhop-Job")
				if string(m.Data) != want[key] {
					t.Errorf("%s %s: %q, want %q", name, key, m.Data, want[key])
				}
			}
			if n != len(want) {
				t.Errorf("%s holds %d of %d", name, n, len(want))
			}
		}
		for key := range want {
			raw := h.stored(key)
			if !strings.Contains(raw, `"completed"`) || !json.Valid([]byte(raw)) {
				t.Errorf("stored: %s", raw)
			}
		}
		time.Sleep(time.Second)
	})
}

// value is the payload in a job's JSON, as it stands there.
func value(t *testing.T, raw string) string {
	t.Helper()
	var j struct {
		Payload json.RawMessage `json:"payload"`
		Base64  json.RawMessage `json:"payload_base64"`
	}
	if err := json.Unmarshal([]byte(raw), &j); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return string(j.Payload) + "|" + string(j.Base64)
}
