package workers_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestRing(t *testing.T) {
	h := newHouse(t)
	d := workers.NewDispatcher(h.js, "")
	got := make(chan workers.Trigger, 9)
	stop := h.worker(workers.Options{}, func(w *workers.Worker) {
		w.HandleFunc("a.b", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
			got <- *t
			return nil, nil
		})
	})
	ring := workers.Ring{
		Channel: "amqp", Service: "a.b", ID: "no 1", Source: "q/1", Job: "My=20Job", Payload: []byte{0, 255},
		Policy: workers.Policy{Timeout: "7s"},
		Header: nats.Header{
			"Color": {"red", "blue"}, "Nats-Expected-Last-Msg-Id": {"x"}, "nats-rollup": {"all"},
			"Bellhop-Run": {"forged"}, "Status": {"409"}, "Bad name": {"x"}, "": {"x"},
		},
	}
	for range 3 { // a channel that is not sure rings again
		run, err := d.Ring(t.Context(), ring)
		ok(t, err)
		equal(t, "run", run, "amqp:q=2F1:no=201")
	}
	want := workers.Trigger{
		Run: "amqp:q=2F1:no=201", Job: "My=20Job", Service: "a.b", Channel: "amqp", Attempt: 1, Payload: []byte{0, 255},
		Policy: workers.Policy{Timeout: "7s"}, Header: nats.Header{"Color": {"red", "blue"}},
	}
	if diff := cmp.Diff(want, take(t, got, 1)[0]); diff != "" {
		t.Error(diff)
	}
	ring.Source, ring.Payload = "q/2", nil // the same number in another queue is another ring
	_, err := d.Ring(t.Context(), ring)
	ok(t, err)
	a, err := d.Ring(t.Context(), workers.Ring{Channel: "cli", Service: "a.b"})
	ok(t, err)
	b, err := d.Ring(t.Context(), workers.Ring{Channel: "cli", Service: "a.b"})
	ok(t, err)
	if a == b || !strings.HasPrefix(a, "cli:") {
		t.Errorf("made-up ids: %s, %s", a, b)
	}
	take(t, got, 3)
	stop()
	equal(t, "stored", len(h.stored("bellhop-rings")), 4)
	equal(t, "id", h.stored("bellhop-rings")[0].Header.Get("Nats-Msg-Id"), "amqp:q=2F1:no=201")
}

func TestRingRefuses(t *testing.T) {
	h := newHouse(t)
	limit := int(h.nc.MaxPayload()) - 4<<10
	tests := []struct {
		name string
		ring workers.Ring
		want error
	}{
		{"service", workers.Ring{Channel: "cli", Service: "a..b"}, workers.ErrName},
		{"wildcard", workers.Ring{Channel: "cli", Service: ">"}, workers.ErrName},
		{"channel", workers.Ring{Channel: "a.b", Service: "s"}, workers.ErrName},
		{"no channel", workers.Ring{Service: "s"}, workers.ErrName},
		{"job", workers.Ring{Channel: "cli", Service: "s", Job: "My Job"}, workers.ErrName},
		{"id", workers.Ring{Channel: "cli", Service: "s", ID: strings.Repeat("x", 256)}, workers.ErrName},
		{"header", workers.Ring{Channel: "cli", Service: "s", Header: nats.Header{"A": {"b\r\nNats-Rollup: all"}}}, workers.ErrName},
		{"payload", workers.Ring{Channel: "cli", Service: "s", Payload: make([]byte, limit+1)}, workers.ErrTooLarge},
		{"headers", workers.Ring{Channel: "cli", Service: "s", Header: nats.Header{"A": {strings.Repeat("b", limit)}}}, workers.ErrTooLarge},
		{"parent", workers.Ring{Channel: "cli", Service: "s", Parent: "a\r\nNats-Rollup: all"}, workers.ErrName},
		{"endless parent", workers.Ring{Channel: "cli", Service: "s", Parent: strings.Repeat("x", 1025)}, workers.ErrName},
		{"no depth", workers.Ring{Channel: "cli", Service: "s", Depth: -1}, workers.ErrName},
		{"absurd depth", workers.Ring{Channel: "cli", Service: "s", Depth: 10_000}, workers.ErrName},
		{"policy", workers.Ring{Channel: "cli", Service: "s", Policy: workers.Policy{OnSuccess: strings.Repeat("x", 5000)}}, workers.ErrTooLarge},
	}
	d := workers.NewDispatcher(h.js, "")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := d.Ring(t.Context(), tt.ring)
			if !errors.Is(err, tt.want) || !errors.Is(err, workers.ErrRefused) {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := d.Ring(t.Context(), workers.Ring{Channel: "cli", Service: "s", Payload: make([]byte, limit)})
	ok(t, err)
	equal(t, "stored", len(h.stored("bellhop-rings")), 1)

	// A full stream is passing trouble, and so is one that is not there.
	s, err := h.js.Stream(t.Context(), "bellhop-rings")
	ok(t, err)
	c := s.CachedInfo().Config
	c.MaxMsgs = 1
	_, err = h.js.UpdateStream(t.Context(), c)
	ok(t, err)
	passing := func() {
		t.Helper()
		_, err := d.Ring(t.Context(), workers.Ring{Channel: "cli", Service: "s"})
		if err == nil || errors.Is(err, workers.ErrRefused) {
			t.Errorf("got %v", err)
		}
	}
	passing()
	ok(t, h.js.DeleteStream(t.Context(), "bellhop-rings"))
	passing()
}

func TestSetup(t *testing.T) {
	h := newHouse(t)
	ok(t, workers.Setup(t.Context(), h.js, workers.SetupOptions{RingsAge: time.Hour})) // stays as it is
	s, err := h.js.Stream(t.Context(), "bellhop-rings")
	ok(t, err)
	equal(t, "age of rings", s.CachedInfo().Config.MaxAge, 72*time.Hour)
	ok(t, workers.Setup(t.Context(), h.js, workers.SetupOptions{Namespace: "other"}))
	if err := workers.Setup(t.Context(), h.js, workers.SetupOptions{Namespace: "a b"}); !errors.Is(err, workers.ErrName) {
		t.Errorf("got %v", err)
	}

	good := jetstream.StreamConfig{
		Name: "bellhop-rings", Subjects: []string{"bellhop.ring.*.>"}, Discard: jetstream.DiscardNew, Duplicates: 600e9,
	}
	tests := []struct {
		name   string
		change func(*jetstream.StreamConfig)
		want   string
	}{
		{"good", func(*jetstream.StreamConfig) {}, ""},
		{"subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"bellhop.ring.amqp.>"} }, "does not hold"},
		{"retention", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, "retention"},
		{"discard", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "discard"},
		{"window", func(c *jetstream.StreamConfig) { c.Duplicates = 1e9 }, "duplicate window"},
		{"no acks", func(c *jetstream.StreamConfig) { c.NoAck = true }, "acknowledge"},
		{"memory", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "memory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ok(t, h.js.DeleteStream(t.Context(), "bellhop-rings"))
			c := good
			tt.change(&c)
			_, err := h.js.CreateStream(t.Context(), c)
			ok(t, err)
			err = workers.Setup(t.Context(), h.js, workers.SetupOptions{})
			if tt.want == "" {
				ok(t, err)
			} else if !errors.Is(err, workers.ErrSettings) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
