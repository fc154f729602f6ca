package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		beWorker()
		return
	}
	natstest.Main(m)
}

// house is a server with every stream, and a connection to it.
type house struct {
	t  testing.TB
	s  *natstest.Server
	nc *nats.Conn
	js jetstream.JetStream
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := newEmptyHouse(t)
	h.setup()
	return h
}

func newEmptyHouse(t testing.TB) *house {
	t.Helper()
	s := natstest.Start(t)
	nc := s.Connect()
	js, err := jetstream.New(nc)
	ok(t, err)
	return &house{t, s, nc, js}
}

func (h *house) setup() {
	h.t.Helper()
	h.triggers()
	ok(h.t, workers.Setup(h.t.Context(), h.js, workers.SetupOptions{}))
}

// triggers makes the trigger log, which is the scheduler's in real life.
func (h *house) triggers() {
	h.t.Helper()
	_, err := h.js.CreateStream(h.t.Context(), jetstream.StreamConfig{
		Name: "bellhop-triggers", Subjects: []string{"bellhop.trigger.>", "bellhop.hand"},
		Discard: jetstream.DiscardNew, AllowRollup: true, AllowAtomicPublish: true,
	})
	ok(h.t, err)
}

// worker runs a worker until stop is called, at the test's end at the latest.
func (h *house) worker(o workers.Options, handle func(*workers.Worker)) (stop func()) {
	h.t.Helper()
	return h.workerOn(h.nc, o, handle)
}

func (h *house) workerOn(nc *nats.Conn, o workers.Options, handle func(*workers.Worker)) (stop func()) {
	h.t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := workers.New(nc, o)
	handle(w)
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.Run(ctx); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			h.t.Errorf("worker ended with %v", err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	h.t.Cleanup(stop)
	return stop
}

// trigger publishes as anybody may: headers are name, value, name, value.
func (h *house) trigger(service, payload string, headers ...string) {
	h.t.Helper()
	m := nats.NewMsg("bellhop.trigger." + service)
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	m.Data = []byte(payload)
	_, err := h.js.PublishMsg(h.t.Context(), m)
	ok(h.t, err)
}

// records reads every run record that is stored now.
func (h *house) records() []workers.Run {
	h.t.Helper()
	var all []workers.Run
	for _, m := range h.stored("bellhop-runs") {
		var r workers.Run
		ok(h.t, json.Unmarshal(m.Data, &r))
		all = append(all, r)
	}
	return all
}

func (h *house) stored(stream string) []*jetstream.RawStreamMsg {
	h.t.Helper()
	s, err := h.js.Stream(h.t.Context(), stream)
	ok(h.t, err)
	var all []*jetstream.RawStreamMsg
	state := s.CachedInfo().State
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		m, err := s.GetMsg(h.t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		ok(h.t, err)
		all = append(all, m)
	}
	return all
}

// consumer looks at a consumer when the server has nothing more to do with
// acknowledgements; only in a bubble.
func (h *house) consumer(stream, name string) *jetstream.ConsumerInfo {
	h.t.Helper()
	synctest.Wait()
	c, err := h.js.Consumer(h.t.Context(), stream, name)
	ok(h.t, err)
	return c.CachedInfo()
}

// watch gives an OnRun and the channel that it fills.
func watch() (func(workers.Run), chan workers.Run) {
	c := make(chan workers.Run, 10_000)
	return func(r workers.Run) { c <- r }, c
}

// take waits for n values.
func take[T any](t testing.TB, c <-chan T, n int) []T {
	t.Helper()
	var all []T
	stuck := time.NewTimer(2 * time.Hour) // of a bubble's time; else the test's own end
	defer stuck.Stop()
	for len(all) < n {
		select {
		case v := <-c:
			all = append(all, v)
		case <-stuck.C:
			t.Fatalf("got %d of %d: %v", len(all), n, all)
		}
	}
	return all
}

func outcomes(all []workers.Run) string {
	var s []string
	for _, r := range all {
		s = append(s, r.Outcome)
	}
	return strings.Join(s, " ")
}

// journal is a logger and what was logged.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(io.Writer(j), nil)) }

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
