package workers_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestPipe sends more rings than may be under way, and finds each stored, in
// order, under the id that it was told.
func TestPipe(t *testing.T) {
	h := newHouse(t)
	p, err := workers.NewDispatcher(h.js, "").NewPipe()
	ok(t, err)
	const n = 6_000
	var mu sync.Mutex
	var all sync.WaitGroup
	told := map[string]error{}
	for i := range n {
		all.Add(1)
		p.Ring(t.Context(), workers.Ring{Channel: "amqp", Service: "s", ID: fmt.Sprint(i), Header: nats.Header{"Nats-Rollup": {"all"}}}, func(run string, err error) {
			defer all.Done()
			mu.Lock()
			defer mu.Unlock()
			told[run] = err
		})
	}
	all.Wait()
	equal(t, "told", len(told), n)
	for i, m := range h.stored("bellhop-rings") {
		run := fmt.Sprintf("amqp:%d", i)
		equal(t, "stored", m.Header.Get("Bellhop-Run"), run)
		if err, there := told[run]; !there || err != nil {
			t.Errorf("%s: %v, %v", run, there, err)
		}
	}
	p.Close()
	p.Close()
	equal(t, "after the end", failure(t, p, workers.Ring{Channel: "amqp", Service: "s"}) != nil, true)
}

// failure rings, and waits for what becomes of it.
func failure(t *testing.T, p *workers.Pipe, r workers.Ring) error {
	t.Helper()
	c := make(chan error, 1)
	p.Ring(t.Context(), r, func(_ string, err error) { c <- err })
	return take(t, c, 1)[0]
}

func TestPipeFails(t *testing.T) {
	h := newHouse(t)
	p, err := workers.NewDispatcher(h.js, "").NewPipe()
	ok(t, err)
	defer p.Close()
	limit := int(h.nc.MaxPayload()) - 4<<10
	ring := workers.Ring{Channel: "amqp", Service: "s"}
	for want, change := range map[error]func(r *workers.Ring){
		workers.ErrName:     func(r *workers.Ring) { r.Service = "a b" },
		workers.ErrTooLarge: func(r *workers.Ring) { r.Payload = make([]byte, limit+1) },
	} {
		bad := ring
		change(&bad)
		if err := failure(t, p, bad); !errors.Is(err, want) || !errors.Is(err, workers.ErrRefused) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	s, err := h.js.Stream(t.Context(), "bellhop-rings")
	ok(t, err)
	c := s.CachedInfo().Config
	c.MaxBytes = 10_000
	_, err = h.js.UpdateStream(t.Context(), c)
	ok(t, err)
	big := ring
	big.Payload = make([]byte, 20_000)
	if err := failure(t, p, big); err == nil || errors.Is(err, workers.ErrRefused) {
		t.Errorf("a full stream is passing trouble, and it says %v", err)
	}
	ok(t, failure(t, p, ring))
	ok(t, h.js.DeleteStream(t.Context(), "bellhop-rings"))
	if err := failure(t, p, ring); !errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, workers.ErrRefused) {
		t.Errorf("without a stream: %v", err)
	}
	_, err = h.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "strange", Subjects: []string{"bellhop.ring.>"}})
	ok(t, err)
	if err := failure(t, p, ring); err == nil || !strings.Contains(err.Error(), "strange") {
		t.Errorf("stored by a stranger: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	p.Ring(gone, ring, func(string, error) {}) // there is room, and it does not wait
}

// TestPipeEnds has a server go away under rings, of which each is told of.
func TestPipeEnds(t *testing.T) {
	h := newHouse(t)
	p, err := workers.NewDispatcher(h.js, "").NewPipe()
	ok(t, err)
	h.s.Down()
	c := make(chan error, 10)
	for range cap(c) {
		p.Ring(t.Context(), workers.Ring{Channel: "amqp", Service: "s"}, func(_ string, err error) { c <- err })
	}
	ok(t, pass(take(t, c, 5)))
	p.Close()
	ok(t, pass(take(t, c, 5)))
}

// pass gives what should not be among the errors of passing trouble.
func pass(all []error) error {
	for _, err := range all {
		if err == nil || errors.Is(err, workers.ErrRefused) {
			return fmt.Errorf("passing trouble ends with %w", err)
		}
	}
	return nil
}

func TestKnown(t *testing.T) {
	h := newHouse(t)
	d := workers.NewDispatcher(h.js, "")
	for range 2 { // once it was run, it stays known
		stop := h.worker(workers.Options{}, func(w *workers.Worker) {
			w.HandleFunc("a.b", func(context.Context, *workers.Trigger) ([]byte, error) { return nil, nil })
		})
		for {
			known, err := d.Known(t.Context(), "a.b")
			ok(t, err)
			if known {
				break
			}
			runtime.Gosched()
		}
		stop()
	}
	for service, want := range map[string]bool{"a.b": true, "a": false} {
		known, err := d.Known(t.Context(), service)
		ok(t, err)
		equal(t, service, known, want)
	}
	if _, err := d.Known(t.Context(), "a b"); !errors.Is(err, workers.ErrName) {
		t.Errorf("no name: %v", err)
	}
}
