package scheduler_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// reply is what the API has answered.
type reply map[string]any

func (r reply) str(name string) string { s, _ := r[name].(string); return s }
func (r reply) num(name string) int    { n, _ := r[name].(float64); return int(n) }

// try asks, and gives the refusal if there is one.
func (h *house) try(verb, body string) (reply, *scheduler.Error) {
	h.Helper()
	m, err := h.nc.Request("bellhop.jobs."+verb, []byte(body), time.Minute)
	h.ok(err)
	if m.Header.Get("Nats-Service-Error-Code") != "" {
		e := new(scheduler.Error)
		h.ok(json.Unmarshal(m.Data, e))
		if fmt.Sprint(e.Code) != m.Header.Get("Nats-Service-Error-Code") || m.Header.Get("Nats-Service-Error") == "" || e.Message == "" {
			h.Errorf("%s: headers %v do not go with %s", verb, m.Header, m.Data)
		}
		return nil, e
	}
	var r reply
	if err := json.Unmarshal(m.Data, &r); err != nil {
		h.Fatalf("%s answers %q: %v", verb, m.Data, err)
	}
	return r, nil
}

// do asks for what must not be refused.
func (h *house) do(verb, body string) reply {
	h.Helper()
	r, refusal := h.try(verb, body)
	if refusal != nil {
		h.Fatalf("%s %.300s: %d %v", verb, body, refusal.Code, refusal)
	}
	return r
}

// refuses asks for what must be refused, with this code and field, and words
// that message or hint must hold.
func (h *house) refuses(verb, body string, code int, field, words string) *scheduler.Error {
	h.Helper()
	r, e := h.try(verb, body)
	switch {
	case e == nil:
		h.Errorf("%s %.200s is not refused: %v", verb, body, r)
		return &scheduler.Error{}
	case e.Code != code || e.Field != field || !strings.Contains(e.Message+" "+e.Hint, words):
		h.Errorf("%s %.200s: got %d %q: %s (%s); want %d %q with %q", verb, body, e.Code, e.Field, e.Message, e.Hint, code, field, words)
	}
	return e
}

// get is a job as it is answered.
func (h *house) get(name string) reply {
	h.Helper()
	return h.do("get", `{"name":`+string(scheduler.Text(name))+`}`)
}

// inactive checks that a job is so, and why.
func (h *house) inactive(name, reason string) {
	h.Helper()
	r := h.get(name)
	if r.str("state") != "inactive" || r.str("reason") != reason || r["active"] != false || r["next"] != nil {
		h.Errorf("%s: want inactive and %s, got %v", name, reason, r)
	}
}

// until sleeps up to a time, on the bubble's clock.
func (h *house) until(text string) {
	h.Helper()
	t, err := time.Parse(time.RFC3339, text)
	h.ok(err)
	if time.Now().After(t) {
		h.Fatalf("it is %s, after %s already", time.Now(), text)
	}
	time.Sleep(time.Until(t)) // in a bubble: the clock leaps there
}

// fired gives the due times of a job in the log, as they stand there.
func (h *house) fired(key string) []string {
	h.Helper()
	return h.rings()[key]
}

// rings gives the due times in the log, by job.
func (h *house) rings() map[string][]string {
	h.Helper()
	m := map[string][]string{}
	for _, r := range h.log() {
		key, _, _ := strings.Cut(r.run, "@")
		m[key] = append(m[key], r.due)
	}
	return m
}

// rang checks that a job was due at exactly these times, given as
// "15:04:05" or with more on either side.
func (h *house) rang(key string, want ...string) {
	h.Helper()
	h.were(h.fired(key), key, want...)
}

func (h *house) were(dues []string, key string, want ...string) {
	h.Helper()
	got := slices.Clone(dues)
	for i := range min(len(got), len(want)) {
		if strings.Contains(got[i], want[i]) {
			got[i] = want[i]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		h.Errorf("%s rang (-want +got)\n%s", key, diff)
	}
}

// onceEach checks that no trigger is in the log twice and gives their lateness
// at most.
func (h *house) onceEach() time.Duration {
	h.Helper()
	seen, late := map[string]bool{}, time.Duration(0)
	for _, r := range h.log() {
		if seen[r.run] {
			h.Errorf("%s is in the log twice", r.run)
		}
		seen[r.run] = true
		due, err := time.Parse(time.RFC3339, r.due)
		h.ok(err)
		late = max(late, r.at.Sub(due))
	}
	return late
}

// runs reads the records of a job.
func (h *house) runs(key string) []workers.Run {
	h.Helper()
	s, err := h.js.Stream(h.Context(), "bellhop-runs")
	h.ok(err)
	var list []workers.Run
	for seq := uint64(1); ; seq++ {
		m, err := s.GetMsg(h.Context(), seq, jetstream.WithGetMsgSubject("bellhop.run."+key))
		if err != nil {
			return list
		}
		seq = m.Sequence
		var r workers.Run
		h.ok(json.Unmarshal(m.Data, &r))
		list = append(list, r)
	}
}

// byHand puts a definition into the bucket as `nats kv put` does, and lets the
// bubble's clock go on: it stands still while anybody has something to do.
func (h *house) byHand(key, def string) {
	h.Helper()
	b, err := h.js.KeyValue(h.Context(), "bellhop-jobs")
	h.ok(err)
	_, err = b.PutString(h.Context(), key, def)
	h.ok(err)
	time.Sleep(100 * time.Millisecond) // in a bubble: until the scheduler has it, and its hand says so
}

// stored is a definition as it is in the bucket.
func (h *house) stored(key string) string {
	h.Helper()
	b, err := h.js.KeyValue(h.Context(), "bellhop-jobs")
	h.ok(err)
	e, err := b.Get(h.Context(), key)
	h.ok(err)
	return string(e.Value())
}

// engine is a scheduler that can be killed.
type engine struct {
	*scheduler.Scheduler
	nc     *nats.Conn
	cancel func()
	stop   func() // politely, and wait
}

// engine runs a scheduler.
func (h *house) engine(o scheduler.Options) *engine {
	h.Helper()
	nc := h.s.Connect(nats.ReconnectBufSize(-1))
	o.Logger = slog.New(slog.NewTextHandler(testWriter{h.T}, nil))
	s, err := scheduler.New(nc, o)
	h.ok(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	e := &engine{Scheduler: s, nc: nc}
	e.cancel = cancel
	e.stop = sync.OnceFunc(func() {
		alive := !nc.IsClosed()
		cancel()
		if err := <-done; err != nil && alive {
			h.Errorf("scheduler: %v", err)
		}
		nc.Close()
	})
	h.Cleanup(e.stop)
	return e
}

// lead runs a scheduler and waits until it leads.
func (h *house) lead(o scheduler.Options) *engine {
	h.Helper()
	e := h.engine(o)
	<-e.Ready()
	return e
}

// kill ends a scheduler without a word: NATS hears no more of it. The test's
// end waits for it.
func (e *engine) kill() {
	e.nc.Close()
	e.cancel()
}

// keys gives the keys that the log holds triggers of, in order.
func (h *house) keys() []string {
	h.Helper()
	return slices.Sorted(maps.Keys(h.rings()))
}

// within fails the test if f needs more than d of the bubble's time.
func within(t testing.TB, what string, d time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took > d {
		t.Errorf("%s took %v, more than %v", what, took, d)
	}
}

func mustJS(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
