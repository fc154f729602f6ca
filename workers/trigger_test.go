package workers

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

func TestParseTrigger(t *testing.T) {
	due := time.Date(2026, 12, 7, 9, 0, 0, 5e6, time.UTC)
	tests := []struct {
		name string
		h    nats.Header
		want Trigger
		bad  string // headers that are ignored
	}{
		{"none", nil, Trigger{Run: "S:7"}, ""},
		{"all", nats.Header{
			HeaderRun: {"My=20Sample@1"}, HeaderJob: {"My=20Sample"}, HeaderDue: {"2026-12-07T09:00:00.005Z"},
			HeaderChannel: {"scheduler"}, HeaderPolicy: {`{"timeout":"3s"}`},
		}, Trigger{Run: "My=20Sample@1", Job: "My=20Sample", Due: due, Channel: "scheduler", Policy: Policy{Timeout: "3s"}}, ""},
		{"another zone", nats.Header{HeaderDue: {"2026-12-07T10:00:00.005+01:00"}}, Trigger{Run: "S:7", Due: due}, ""},
		{"others", nats.Header{"Color": {"red", "blue"}, "traceparent": {"x"}, "Nats-Msg-Id": {"1"}},
			Trigger{Run: "S:7", Header: nats.Header{"Color": {"red", "blue"}, "traceparent": {"x"}}}, ""},
		{"first of many", nats.Header{HeaderRun: {"a", "b"}}, Trigger{Run: "a"}, ""},
		{"no value", nats.Header{HeaderRun: nil}, Trigger{Run: "S:7"}, ""},
		{"chain", nats.Header{HeaderParent: {"chain:a:1"}, HeaderDepth: {"16"}}, Trigger{Run: "S:7", Parent: "chain:a:1", Depth: 16}, ""},
		{"hostile parent", nats.Header{HeaderParent: {"a\nb"}}, Trigger{Run: "S:7"}, HeaderParent},
		{"no depth", nats.Header{HeaderDepth: {"0"}}, Trigger{Run: "S:7"}, HeaderDepth},
		{"absurd depth", nats.Header{HeaderDepth: {"10000"}}, Trigger{Run: "S:7"}, HeaderDepth},
		{"depth of words", nats.Header{HeaderDepth: {"deep"}}, Trigger{Run: "S:7"}, HeaderDepth},
		{"hostile run", nats.Header{HeaderRun: {"a\tb"}}, Trigger{Run: "S:7"}, HeaderRun},
		{"not UTF-8", nats.Header{HeaderRun: {"a\xff"}}, Trigger{Run: "S:7"}, HeaderRun},
		{"endless run", nats.Header{HeaderRun: {strings.Repeat("a", 1025)}}, Trigger{Run: "S:7"}, HeaderRun},
		{"hostile job", nats.Header{HeaderJob: {"a.>"}}, Trigger{Run: "S:7"}, HeaderJob},
		{"endless job", nats.Header{HeaderJob: {strings.Repeat("a", 601)}}, Trigger{Run: "S:7"}, HeaderJob},
		{"no time", nats.Header{HeaderDue: {"tomorrow"}}, Trigger{Run: "S:7"}, HeaderDue},
		{"year 10000", nats.Header{HeaderDue: {"9999-12-31T23:59:59-01:00"}}, Trigger{Run: "S:7"}, HeaderDue},
		{"channel", nats.Header{HeaderChannel: {"a b"}}, Trigger{Run: "S:7"}, HeaderChannel},
		{"policy", nats.Header{HeaderPolicy: {"[" + strings.Repeat("[", 4000)}}, Trigger{Run: "S:7"}, HeaderPolicy},
		{"endless policy", nats.Header{HeaderPolicy: {"{" + strings.Repeat(" ", 4096) + "}"}}, Trigger{Run: "S:7"}, HeaderPolicy},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Service, tt.want.Attempt, tt.want.Payload = "s", 1, []byte("p")
			got, err := parseTrigger("s", tt.h, []byte("p"), "S:7")
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if (err == nil) != (tt.bad == "") || err != nil && !strings.HasPrefix(err.Error(), tt.bad) {
				t.Errorf("got error %v, want one about %q", err, tt.bad)
			}
		})
	}
}

func FuzzParseTrigger(f *testing.F) {
	f.Add("r", "j", "2026-12-07T09:00:00.005Z", "amqp", `{"retry":{"attempts":3,"backoff":"1s"},"expires":"1h"}`, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", []byte("p"))
	f.Add("\x00", ">", "0000-01-01T00:00:00+23:59", "*", `{"timeout":"-1h","retry":{"attempts":-1}}`, "--", []byte(nil))
	o := Options{}.withDefaults()
	d := o.defaults(&ServiceOptions{})
	f.Fuzz(func(t *testing.T, run, job, due, channel, policy, trace string, payload []byte) {
		h := nats.Header{HeaderRun: {run}, HeaderJob: {job}, HeaderDue: {due}, HeaderChannel: {channel}, HeaderPolicy: {policy}, "traceparent": {trace}}
		got, _ := parseTrigger("s", h, payload, "S:1")
		if got.Run == "" || len(got.Run) > maxRunLen {
			t.Errorf("run id %q", got.Run)
		}
		if strings.ContainsAny(Namespace("").RunSubject(got.Job, "s"), " *>\r\n\t\x00") {
			t.Errorf("job %q in a subject", got.Job)
		}
		r := d.rules(&got.Policy)
		if r.timeout <= 0 || r.timeout > maxTimeout || r.attempts < 1 || r.attempts > maxAttempts || r.backoff <= 0 || r.expires < 0 {
			t.Errorf("rules %+v of %q", r, policy)
		}
		for attempt := range 70 {
			if w := r.wait(attempt); w < 0 || w > maxBackoff || w > r.maxBackoff {
				t.Errorf("wait %s of %+v", w, r)
			}
		}
		rec := Run{Run: got.Run, Due: got.Due, Trace: traceID(strings.Join(h["traceparent"], ""))}
		rec.setOutput(payload)
		if _, err := json.Marshal(rec); err != nil {
			t.Errorf("record: %v", err)
		}
		m := deadLetter("", &got, "o", "S:1", run+policy)
		if _, err := json.Marshal(readLetter("", m.Subject, 1, time.Now(), m.Header)); err != nil {
			t.Errorf("letter: %v", err)
		}
		if l := readLetter("", m.Subject, 1, time.Now(), m.Header); l.Run != got.Run || l.Job != got.Job || !l.Due.Equal(got.Due.Truncate(time.Millisecond)) || l.Channel != got.Channel {
			t.Errorf("letter %+v of %+v", l, got)
		}
		for name, values := range m.Header {
			if strings.ContainsAny(values[0], "\r\n") && name != "traceparent" {
				t.Errorf("header %s: %q", name, values[0])
			}
		}
	})
}

func TestRules(t *testing.T) {
	o := Options{Timeout: time.Minute, Attempts: 4, Backoff: 2 * time.Second, MaxBackoff: 10 * time.Second}.withDefaults()
	o.Attempts = 9
	d := o.defaults(&ServiceOptions{Attempts: 4})
	whole := rules{timeout: time.Minute, attempts: 4, backoff: 2 * time.Second, maxBackoff: 10 * time.Second, history: "all", overlap: "allow"}
	with := func(f func(*rules)) rules { r := whole; f(&r); return r }
	tests := []struct {
		p    Policy
		want rules
	}{
		{Policy{}, whole},
		{Policy{Timeout: "-1s", Expires: "x", History: "some", Retry: &Retry{Attempts: -1, Backoff: "0s"}}, whole},
		{Policy{Timeout: "99999h", History: "none", Expires: "5m"},
			with(func(r *rules) { r.timeout, r.history, r.expires = maxTimeout, "none", 5*time.Minute })},
		{Policy{Retry: &Retry{Attempts: 5000, Backoff: "1h"}},
			with(func(r *rules) { r.attempts, r.backoff, r.maxBackoff = 1000, time.Hour, time.Hour })},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, d.rules(&tt.p), cmp.AllowUnexported(rules{})); d != "" {
			t.Errorf("%+v: %s", tt.p, d)
		}
	}
}

func TestWaitDoublesWithinBounds(t *testing.T) {
	r := rules{backoff: time.Second, maxBackoff: 5 * time.Second}
	for attempt, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 1000: 5 * time.Second} {
		for range 100 {
			if w := r.wait(attempt); w < most/2 || w > most {
				t.Fatalf("attempt %d waits %s, want %s to %s", attempt, w, most/2, most)
			}
		}
	}
}

func TestRecordBounds(t *testing.T) {
	var r Run
	r.setOutput([]byte(strings.Repeat("é", 3000)))
	if r.Output != strings.Repeat("é", 2048) || r.OutputSize != 6000 {
		t.Errorf("%d bytes kept of %d", len(r.Output), r.OutputSize)
	}
	var odd Run
	odd.setOutput([]byte("x" + strings.Repeat("é", 3000)))
	if odd.Output != "x"+strings.Repeat("é", 2047) {
		t.Errorf("%d bytes kept: a character was cut in two", len(odd.Output))
	}
	if got := traceID("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"); got != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("trace id %q", got)
	}
	for _, bad := range []string{"", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"} {
		if got := traceID(bad); got != "" {
			t.Errorf("trace id %q of %q", got, bad)
		}
	}
}
