package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"pgregory.net/rapid"
)

// keyed is a job of which nothing is known but its key.
func keyed(key string) *job {
	j := &job{kind: broken, due: Never, place: -1}
	j.keep(key, nil)
	return j
}

// asRead checks that a job of the book is what its definition says when it is read
// whole, whatever kinds the book knows already.
func asRead(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, b *book, key string, data []byte,
) {
	t.Helper()
	const created = 1_700_000_000_000
	j := b.read(kv.Entry[[]byte]{Key: key, Value: data, Revision: 7, Created: time.UnixMilli(created)})
	if got := string(j.definition()); got != string(data) || j.key() != key {
		t.Fatalf("%q under %q is kept as %q under %q", data, key, got, j.key())
	}
	def, _, err := parseStored(key, data)
	if err != nil {
		if j.kind != broken || j.payload(nil) != nil {
			t.Fatalf("%q is invalid (%v) and read as %+v", data, err, j)
		}
		return
	}
	again := def.Enabled() && def.Reason != ""
	anchor, activated, unstamped := int64(created), int64(0), false
	if !again && !def.Anchor.IsZero() {
		anchor = def.Anchor.UnixMilli()
	}
	if !again && !def.Activated.IsZero() {
		activated = def.Activated.UnixMilli()
	}
	anchored := !again && !def.Anchor.IsZero()
	if def.Enabled() && activated == 0 && (def.Schedule.MaxRuns > 0 || !anchored && def.Schedule.floating()) {
		activated, unstamped = created, true
	}
	plan, err := def.Schedule.Compile(anchor)
	if err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	payload, err := def.Bytes()
	if err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	say := func(service, policy, missed string, plan Plan, activated int64, active, unstamped, anchored bool, most int64, payload []byte) string {
		return fmt.Sprint(service, "|", policy, "|", missed, "|", plan, "|", activated, active, unstamped, anchored, most, "|", string(payload))
	}
	var most int64
	if j.count != nil {
		most = j.count.max
	}
	got := say(j.kind.service, j.kind.policy, string(j.kind.missed), j.plan(), j.activated, j.kind.active, j.unstamped, j.kind.anchored, most, j.payload(nil))
	want := say(def.Service, def.policy().Header(), (def.Missed + "s")[:1], plan, activated, def.Enabled(), unstamped, anchored, def.Schedule.MaxRuns, payload)
	if got != want || j.kind == broken {
		t.Fatalf("%q is read as\n%s, want\n%s", data, got, want)
	}
}

// Jobs of one kind that differ in their own values are read as they are, those
// among them that are wrong as broken.
func TestKinds(t *testing.T) {
	pick := func(t *rapid.T, what string, from ...string) string { return rapid.SampledFrom(from).Draw(t, what) }
	rapid.Check(t, func(t *rapid.T) {
		b := newBook()
		for range rapid.IntRange(1, 12).Draw(t, "jobs") {
			name := pick(t, "name", "a", "b", "My Sample", "é", "a\u007f", strings.Repeat("n", 201), "")
			fields := []string{
				pick(t, "names", "", `"name":"a"`, `"name":"\u0061"`, `"name":`+string(appendText(nil, name)), `"name":null`),
				`"service":"s"`,
				`"schedule":` + pick(t, "schedule", `{"every":"1m"}`, `{"every":"1m","start":"2026-01-01T00:00:00Z"}`, `{"every":"1m","max_runs":3}`,
					`{"cron":"@daily"}`, `{"at":"2030-01-01T00:00:00Z"}`, `{"at":"2031-01-01T00:00:00.5+01:00"}`, `{"at":"2030-01-01T00:00:00Z","max_runs":1}`,
					`{"at":"0000-01-01T00:00:00Z"}`, `{"at":1}`, `{"at":null,"every":"1m"}`, `{ "at":"2030-01-01T00:00:00Z"}`),
				pick(t, "payload", "", `"payload":null`, `"payload":"x\ny"`, `"payload": [1, 2]`, `"payload":""`, `"payload":"z"`),
				pick(t, "binary", "", "", `"payload_base64":"AAE="`, `"payload_base64":""`, `"payload_base64":null`, `"payload_base64":"?"`, `"payload_base64":7`),
				pick(t, "description", "", `"description":"d"`, `"description":"d\ne"`, `"description":null`, `"description":1`, `"description":"`+strings.Repeat("d", MaxDescriptionLen+1)+`"`),
				pick(t, "labels", "", `"labels":{"a":"b"}`, `"labels":{"a":"c"}`, `"labels":{"":""}`, `"labels":{"a":1}`, `"labels":null`),
				pick(t, "anchor", "", `"anchor":"2026-01-01T00:00:00.000Z"`, `"anchor":"2026-01-02T00:00:00.123Z"`, `"anchor":"2026-01-01T00:00:00Z"`, `"anchor":"1960-01-01T00:00:00.000Z"`,
					`"anchor":"1970-01-01T00:00:00.000Z"`, `"anchor":"0001-01-01T00:00:00.000Z"`, `"anchor":"2026-02-30T00:00:00.000Z"`, `"anchor":null`),
				pick(t, "activated", "", `"activated":"2026-01-01T00:00:00.000Z"`, `"activated":"2026-01-03T00:00:00.000Z"`, `"activated":"1970-01-01T00:00:00.000Z"`, `"activated":"soon"`),
				pick(t, "active", "", `"active":true`, `"active":false`, `"active":null`, `"active": false`),
				pick(t, "reason", "", `"reason":"completed"`, `"reason":""`, `"reason":null`),
				pick(t, "missed", "", `"missed":"all"`, `"missed":"once"`),
			}
			kept := fields[:0]
			for _, f := range fields {
				if f != "" {
					kept = append(kept, f)
				}
			}
			kept = rapid.Permutation(kept).Draw(t, "order")
			asRead(t, b, workers.Escape(name), []byte("{"+strings.Join(kept, ",")+"}"))
		}
	})
}

// A kind is kept for as long as there are jobs of it.
func TestKindsAreLetGo(t *testing.T) {
	b := newBook()
	rev := uint64(0)
	learn := func(key, def string) {
		rev++
		b.learn(kv.Entry[[]byte]{Key: key, Value: []byte(def), Revision: rev, Deleted: def == ""})
	}
	for i := range 10 {
		learn(fmt.Sprint(i), fmt.Sprintf(`{"service":"s","schedule":{"every":"1m"},"payload":%d}`, i))
	}
	if len(b.kinds.all) != 1 {
		t.Errorf("%d kinds of one", len(b.kinds.all))
	}
	rev = 3
	learn("3", `{"service":"old","schedule":{"every":"1m"}}`) // which is known already
	rev = 10
	learn("3", `{"service":"new","schedule":{"every":"1m"}}`)
	learn("4", `what`)
	if len(b.kinds.all) != 2 {
		t.Errorf("%d kinds, want 2", len(b.kinds.all))
	}
	for i := range 10 {
		learn(fmt.Sprint(i), "")
	}
	if len(b.kinds.all) != 0 || b.jobs.len() != 0 {
		t.Errorf("%d kinds and %d jobs are left", len(b.kinds.all), b.jobs.len())
	}
}

// What is taken for a time as the scheduler writes it is written so again.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		"2026-01-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "2026-02-29T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-01-01T24:00:00.000Z",
		"2026-01-01T00:60:00.000Z", "2026-01-01T00:00:60.000Z", "2026-00-01T00:00:00.000Z", "2026-01-00T00:00:00.000Z", "0000-01-01T00:00:00.000Z",
		"2026-01-01T00:00:00Z", "2026-01-01 00:00:00.000Z", "2026-01-01T00:00:00.000+", "20260-1-01T00:00:00.000Z", "",
	} {
		f.Add([]byte(`"` + s + `"`))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		ms := canonical(raw)
		var want int64
		if len(raw) > 2 && raw[0] == '"' && raw[len(raw)-1] == '"' {
			if at, err := time.Parse(workers.DueLayout, string(raw[1:len(raw)-1])); err == nil && string(appendText(nil, stamp(at.UnixMilli()).String())) == string(raw) {
				want = at.UnixMilli()
			}
		}
		if ms != want {
			t.Fatalf("%q is %d, want %d", raw, ms, want)
		}
	})
}

// A definition is read alike whether the book knows another of its kind or none.
func FuzzAlike(f *testing.F) {
	const every = `{"name":"a","service":"s","schedule":{"every":"1m"},"anchor":"2026-01-01T00:00:00.000Z","activated":"2026-01-01T00:00:00.000Z","payload":`
	for _, s := range [][2]string{
		{every + `"x"}`, every + `"y"}`},
		{every + `"x"}`, every + `"\u0079"}`},
		{every + `"x"}`, every + `[1,{"a":2}]}`},
		{every + `"x"}`, every + `[1,{"a":2]}`},
		{every + `"x"}`, every + `"y}`},
		{every + `"x"}`, every + "\"\x01\"}"},
		{every + `"x"}`, every + "\"\xff\"}"},
		{every + `"x"}`, every + ` 1}`},
		{every + `"x"}`, every + `}`},
		{every + `"x"}`, every + `1,"payload":2}`},
		{every + `"x"}`, every + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`},
		{every + `"x"}`, strings.Replace(every, "2026-01-01", "2026-02-30", 1) + `"x"}`},
		{every + `"x"}`, strings.Replace(every, `"a"`, `"b"`, 1) + `"x"}`},
		{`{"name":"\u0061","service":"s","schedule":{"every":"1m"}}`, `{"name":"\u0061","service":"s","schedule":{"every":"1m"}}`},
		{`{"service":"s","schedule":{"at":"2030-01-01T00:00:00Z"}}`, `{"service":"s","schedule":{"at":"2031-01-01T00:00:00Z"}}`},
		{`{"service":"s","schedule":{"at":"2030-01-01T00:00:00Z"}}`, `{"service":"s","schedule":{"at":"2031-01-01T00:00:00Z","max_runs":2}}`},
		{`{"service":"s","schedule":{"every":"1m"},"labels":{"a":"b"}}`, `{"service":"s","schedule":{"every":"1m"},"labels":{"a":1}}`},
		{`{"service":"s","schedule":{"every":"1m"},"payload_base64":"AAE="}`, `{"service":"s","schedule":{"every":"1m"},"payload_base64":"?"}`},
	} {
		f.Add("a", s[0], "a", s[1])
		f.Add("a", s[0], "b", s[1])
	}
	say := func(j job) string {
		return fmt.Sprintf("%q %+v %d %d %v %v %s", j.kind.text, j.plan(), j.anchor, j.activated, j.unstamped, j.count != nil, j.definition())
	}
	f.Fuzz(func(t *testing.T, key, def, other, data string) {
		entry := kv.Entry[[]byte]{Key: other, Value: []byte(data), Revision: 7, Created: time.UnixMilli(1_700_000_000_000)}
		b := newBook()
		s := new(split)
		b.splits.New = func() any { return s } // it remembers whatever the collector does
		b.read(kv.Entry[[]byte]{Key: key, Value: []byte(def), Revision: 6, Created: entry.Created})
		if got, want := say(b.read(entry)), say(newBook().read(entry)); got != want {
			t.Errorf("after %s\n got %s\nwant %s", def, got, want)
		}
	})
}

// Definitions of one kind are told by their text, without being parsed.
func TestAlike(t *testing.T) {
	s := new(split)
	b := newBook()
	b.splits.New = func() any { return s }
	read := func(key, def string) job { return b.read(kv.Entry[[]byte]{Key: key, Value: []byte(def)}) }
	const def = `{"name":"a","service":"s","schedule":{"at":"2030-01-01T00:00:00Z"},"anchor":"2026-01-01T00:00:00.000Z","labels":{"x":"y"},"payload":"x"}`
	k := read("a", def).kind
	for old, now := range map[string]string{`:"a"`: `:"b"`, "2030": "2031", "2026": "2027", `"y"`: `"z"`, `"payload":"x"`: `"payload":[{}]`} {
		if data := strings.Replace(def, old, now, 1); s.alike(k, "b", []byte(data)) != (now == `:"b"`) || !s.alike(k, "b", []byte(strings.Replace(data, `:"a"`, `:"b"`, 1))) {
			t.Errorf("%s is not told by the kind of %s", data, def)
		}
	}
	if s.alike(k, "a", []byte(strings.Replace(def, `"s"`, `"t"`, 1))) {
		t.Error("another service makes no other kind")
	}
	b.kinds.release(k)
	if again := read("a", def).kind; again == k || b.kinds.all[k.text] != again {
		t.Error("a kind that was let go is made use of")
	}
}
