package scheduler

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// accepted checks what must hold of a definition that was accepted: it
// compiles, its payload is found, its trigger fits, and it is read again.
func accepted(t *testing.T, j *Job, o object, def []byte) {
	t.Helper()
	if _, err := j.Schedule.Compile(0); err != nil {
		t.Fatalf("%q is accepted and does not compile: %v", def, err)
	}
	if err := workers.CheckService(j.Service); err != nil {
		t.Fatalf("%q is accepted: %v", def, err)
	}
	want, err := j.Bytes()
	if err != nil {
		t.Fatalf("%q is accepted: %v", def, err)
	}
	k := newBook().read(kv.Entry[[]byte]{Key: workers.Escape(j.Name), Value: o.bytes()})
	if got := k.payload(nil); string(got) != string(want) {
		t.Fatalf("%q: the payload is %q, and %q by the job", def, got, want)
	}
	if len(j.policy().Header()) > maxPolicyLen {
		t.Fatalf("%q is accepted with a policy of %d bytes", def, len(j.policy().Header()))
	}
}

var definitions = []string{
	`{"name":"My Sample","service":"log-input","schedule":{"every":"30m","start":"2026-12-07T09:00:00Z","max_runs":12},"payload":"any\nthing","active":true}`,
	`{"name":"x","service":"a.b","schedule":{"cron":"*/5 2 * * MON","time_zone":"Europe/Berlin","jitter":"10s"},"payload":{"a": [1, 2]},"missed":"all","overlap":"skip","timeout":"1d","retry":{"attempts":3,"backoff":"1s","max_backoff":"1m"},"expires":"1h","history":"none","on_success":"s","on_failure":"job:é","labels":{"a":"b"},"description":"d"}`,
	`{"name":"é","service":"s","schedule":{"at":"2026-01-01T00:00:00.5+01:00"},"payload_base64":"AAE=","anchor":"2026-01-01T00:00:00Z","activated":"2026-01-01T00:00:00Z","reason":"r"}`,
	`{"name":"x","service":"s","schedule":{"at":"0000-01-01T00:00:00Z"}}`, `{"name":"x","service":"s","schedule":{"cron":"TZ=UTC * * * * *"}}`, `{"name":"x","service":"s","schedule":{"every":"1ms","end":"9999-12-31T23:59:59Z"}}`,
	`{"schedule":{}}`, `{"name":null,"payload":null}`, `{}`, `{"retry":{"attempts":-1}}`, `{"labels":{"":""}}`, `[`, ``,
}

func FuzzParseRequest(f *testing.F) {
	for _, d := range definitions {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		j, o, err := parseRequest(data)
		if err != nil {
			if Code(err) != 400 {
				t.Fatalf("%q: %v is not a 400", data, err)
			}
			return
		}
		stored := o.bytes()
		again, fields, err := parseStored(workers.Escape(j.Name), stored)
		if err != nil {
			t.Fatalf("%q is accepted and stored as %q: %v", data, stored, err)
		}
		accepted(t, again, fields, stored)
		sent, err := j.Definition() // what the client would send
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		back, _, err := parseRequest(sent)
		if err != nil {
			t.Fatalf("%q is sent as %q: %v", data, sent, err)
		}
		if a, _ := j.Bytes(); back.Name != j.Name || back.Schedule != j.Schedule {
			t.Fatalf("%q is sent as %q", data, sent)
		} else if b, _ := back.Bytes(); string(a) != string(b) {
			t.Fatalf("%q is sent with the payload %q", data, b)
		}
	})
}

func FuzzParseStored(f *testing.F) {
	for _, d := range definitions {
		f.Add("My=20Sample", []byte(d))
	}
	f.Add("=", []byte(definitions[1]))
	f.Add("a.b", []byte(`{"service":"s","schedule":{"every":"1s"}}`))
	f.Fuzz(func(t *testing.T, key string, data []byte) {
		j, o, err := parseStored(key, data)
		if err == nil {
			if workers.Escape(j.Name) != key {
				t.Fatalf("%q is accepted under %q", j.Name, key)
			}
			accepted(t, j, o, data)
		}
		b := newBook() // whatever it is, it is shown
		k := b.read(kv.Entry[[]byte]{Key: key, Value: data, Revision: 1, Created: time.Unix(0, 0)})
		if (k.kind == broken) != (err != nil) {
			t.Fatalf("%q: invalid is %t, %v", data, k.kind == broken, err)
		}
		asRead(t, b, key, data)
		if shown := answer(&k, o).bytes(); !json.Valid(shown) {
			t.Fatalf("%q is shown as %q", data, shown)
		}
		if string(k.definition()) != string(data) {
			t.Fatalf("%q is kept as %q", data, k.definition())
		}
		if plan := k.plan(); k.kind != broken && plan.Next(key, 0) < 0 {
			t.Fatalf("%q is due before 1970", data)
		}
	})
}

// What the client sends of a job is the job.
func TestDefinitionRoundTrip(t *testing.T) {
	no := false
	for _, j := range []Job{
		{Name: "x", Service: "s", Schedule: Schedule{Every: Duration(time.Hour)}},
		{Name: "é \"x\"", Service: "a.b", Schedule: Schedule{Cron: "@daily", TimeZone: "Asia/Tokyo", Jitter: Duration(time.Minute)},
			Payload: json.RawMessage("{ \"a\" : \"<\u2028>\" }"), Active: &no, Missed: MissedOnce, Overlap: "queue", Timeout: Duration(time.Second),
			Retry: &Retry{Attempts: 2, Backoff: Duration(time.Second)}, Expires: Duration(day), History: "failures", OnSuccess: "s", OnFailure: "job:x y",
			Labels: map[string]string{"k": "v<>"}, Description: "d"},
		{Name: "b", Service: "s", Schedule: Schedule{At: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)}, PayloadBase64: []byte{0, 255}},
	} {
		def, err := j.Definition()
		if err != nil {
			t.Fatal(err)
		}
		back, o, err := parseRequest(def)
		if err != nil {
			t.Fatalf("%s: %v", def, err)
		}
		if diff := cmp.Diff(&j, back); diff != "" {
			t.Error(diff)
		}
		if j.Payload != nil && string(o.get("payload")) != string(j.Payload) {
			t.Errorf("payload %s", o.get("payload"))
		}
	}
	if _, err := (&Job{Name: "x", Payload: json.RawMessage("no json")}).Definition(); Code(err) != 400 {
		t.Errorf("a payload that is not JSON: %v", err)
	}
}

func TestPositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([]string{"a", "b", "c"})
		at := rapid.Int64Range(0, 4)
		p := position{stamp(at.Draw(t, "time")), rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "cursor")}
		k, due := key.Draw(t, "key"), at.Draw(t, "due")
		// after is the argument with which Next, which is strict, gives exactly
		// what p has not passed.
		if passed := due <= p.after(k); passed != p.past(due, k) {
			t.Fatalf("%v after(%s) = %d, past(%d) = %t", p, k, p.after(k), due, p.past(due, k))
		}
	})
}

func TestStamps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := stamp(rapid.Int64Range(0, maxTime).Draw(t, "ms"))
		b, err := s.MarshalText()
		if err != nil || len(b) != len(workers.DueLayout) {
			t.Fatalf("%d: %s, %v", s, b, err)
		}
		var back stamp
		if err := back.UnmarshalText(b); err != nil || back != s {
			t.Fatalf("%d is written %s and read %d: %v", s, b, back, err)
		}
	})
	var s stamp
	if err := s.UnmarshalText([]byte("2026-01-01T01:00:00.0019+01:00")); err != nil || s != stamp(ms("2026-01-01T00:00:00.001Z")) {
		t.Errorf("%v, %v", s, err)
	}
	if s.UnmarshalText([]byte("yesterday")) == nil {
		t.Error("yesterday is a time")
	}
}

func TestRunIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := occurrence{workers.Escape(rapid.StringN(1, 20, -1).Draw(t, "name")), rapid.Int64Range(0, maxTime).Draw(t, "due")}
		if o.key == "" {
			return
		}
		if back, ok := parseRunID(o.runID()); !ok || back != o {
			t.Fatalf("%s is read as %v", o.runID(), back)
		}
	})
	for _, id := range []string{"", "@", "a", "a@", "@5", "a@b", "a@5.5", "a@5@6", "a@99999999999999999999", "manual:x"} {
		if o, ok := parseRunID(id); ok {
			t.Errorf("%q is read as %v", id, o)
		}
	}
}

func TestHandJSON(t *testing.T) {
	h := hand{Leader: "a", Epoch: 3, Time: stamp(ms("2026-01-01T00:00:00.001Z")), Cursor: "My=20Job", Revision: 7, Seq: 9, State: 2, Judged: 5,
		Missed: []stretch{{1, 2}}, Released: true}
	var back hand
	if err := json.Unmarshal(h.bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, back); diff != "" {
		t.Error(diff)
	}
	if s := string(h.bytes()); !strings.Contains(s, `"time":"2026-01-01T00:00:00.001Z"`) {
		t.Errorf("a hand that people cannot read: %s", s)
	}
}

// A tally counts for the activation that it belongs to, and no other.
func TestTallies(t *testing.T) {
	b := newBook()
	b.learnState(kv.Entry[[]byte]{Key: "count.a", Value: tally{Runs: 5, Seq: 9, Activated: 1000}.bytes(), Revision: 3})
	b.learnState(kv.Entry[[]byte]{Key: "count.b", Value: []byte("nonsense"), Revision: 4})
	b.learnState(kv.Entry[[]byte]{Key: "floor.s", Value: []byte("{}"), Revision: 5})
	b.learnState(kv.Entry[[]byte]{Key: "count.a", Value: tally{Runs: 1, Seq: 1, Activated: 1000}.bytes(), Revision: 2}) // late
	for _, c := range []struct {
		key       string
		activated int64
		runs      int64
		seq       uint64
	}{{"a", 1000, 5, 9}, {"a", 1001, 0, 0}, {"b", 1000, 0, 0}, {"c", 0, 0, 0}} {
		if runs, seq := b.tallies[c.key].counted(&job{activated: c.activated}); runs != c.runs || seq != c.seq {
			t.Errorf("%+v: %d at %d", c, runs, seq)
		}
	}
	if b.viewState() != 5 {
		t.Errorf("view at %d", b.viewState())
	}
	b.learnState(kv.Entry[[]byte]{Key: "count.a", Deleted: true, Revision: 6})
	if runs, _ := b.tallies["a"].counted(&job{activated: 1000}); runs != 0 {
		t.Errorf("%d runs of a deleted count", runs)
	}
}

// What was learned late by another way does not come back.
func TestLearnInOrder(t *testing.T) {
	b := newBook()
	def := []byte(`{"service":"s","schedule":{"every":"1s"}}`)
	put := kv.Entry[[]byte]{Key: "a", Value: def, Revision: 1}
	b.learn(put)
	b.learn(kv.Entry[[]byte]{Key: "a", Deleted: true, Revision: 2})
	b.learn(put)
	if _, ok := b.lookup("a"); ok || b.view() != 2 || len(b.order()) != 0 {
		t.Errorf("a deleted job is back; the view is at %d", b.view())
	}
}
