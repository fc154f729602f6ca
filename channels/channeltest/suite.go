//go:build unix

package channeltest

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/bellhop-run/bellhop/workers"
)

// Run tests a channel against the contract.
func Run(t *testing.T, h Harness) {
	t.Run("what is sent is rung, byte for byte", func(t *testing.T) { payloads(newHouse(t, h)) })
	t.Run("headers", func(t *testing.T) { headers(newHouse(t, h)) })
	t.Run("what comes twice is the same run", func(t *testing.T) { duplicates(newHouse(t, h)) })
	t.Run("what can never be rung is refused, and harms nothing", func(t *testing.T) { bad(newHouse(t, h)) })
	if h.Ordered {
		t.Run("order", func(t *testing.T) { order(newHouse(t, h)) })
	}
	for _, die := range []step{taken, sent, stored, settling} {
		t.Run("killed/"+string(die), func(t *testing.T) { killed(newHouse(t, h), die) })
	}
	t.Run("NATS is killed and comes back", func(t *testing.T) { natsKilled(newHouse(t, h)) })
	t.Run("drain", func(t *testing.T) { drain(newHouse(t, h)) })
}

// payloads sends the empty, the largest and the binary.
func payloads(h *house) {
	p := h.start(never, 0)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	// The server's limit, less what Bellhop keeps for its headers, less a little
	// for what the channel's counterpart adds.
	largest := make([]byte, 1<<20-4<<10-1<<10)
	_, _ = rand.Read(largest) // it never fails
	bodies := map[string][]byte{"empty": nil, "every": every, "largest": largest, "lines": []byte("a\r\nb\n\x00"), "no text": {0xff, 0xfe, 0}}
	for id, body := range bodies {
		h.send(Message{ID: id, Body: body, ContentType: "application/octet-stream"})
	}
	for _, r := range h.rings(len(bodies)) {
		id := ""
		for name := range bodies {
			if strings.HasSuffix(r.run, ":"+workers.Escape(name)) {
				id = name
			}
		}
		if id == "" {
			h.Errorf("the run %s is no message's", r.run)
			continue
		}
		if !bytes.Equal(r.body, bodies[id]) {
			h.Errorf("the payload %q of %d bytes has become one of %d", id, len(bodies[id]), len(r.body))
		}
	}
	p.stop()
}

// headers sends those that pass and those that must not.
func headers(h *house) {
	p := h.start(never, 0)
	pass := map[string]string{
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"tracestate":  "a=b,c=d",
		"X-Color":     "blue, and green",
	}
	dropped := map[string]string{
		"Nats-Expected-Last-Msg-Id": "no-such-id", "nats-rollup": "all", "NATS-Msg-Id": "forged", "Nats-Batch-Id": "x", "Nats-TTL": "1s",
		"Bellhop-Run": "forged", "bellhop-job": "forged",
	}
	all := maps.Clone(pass)
	maps.Copy(all, dropped)
	h.send(Message{ID: "1", Body: []byte("{}"), ContentType: "application/json; charset=utf-8", Header: all})
	r := h.rings(1)[0]
	pass["Content-Type"] = "application/json; charset=utf-8"
	for name, v := range pass {
		if got := r.find(name); got != v {
			h.Errorf("header %s is %q, want %q", name, got, v)
		}
	}
	for name, values := range r.header {
		for forged, v := range dropped {
			if strings.EqualFold(name, forged) && values[0] == v {
				h.Errorf("the outside's header %s: %s came through", name, v)
			}
		}
	}
	if got := r.header.Get(workers.HeaderChannel); got != h.h.Kind {
		h.Errorf("the ring says that it came by %q", got)
	}
	p.stop()
}

// find gives a header however it is written; traces must be written as the
// standard has it.
func (r *rung) find(name string) string {
	if strings.HasPrefix(name, "trace") {
		return strings.Join(r.header[name], "|")
	}
	for n, values := range r.header {
		if strings.EqualFold(n, name) {
			return strings.Join(values, "|")
		}
	}
	return ""
}

// duplicates sends messages again that have been taken, also by a process that
// was not there the first time.
func duplicates(h *house) {
	for range 2 {
		p := h.start(never, 0)
		for range 2 {
			for _, id := range []string{"a", "b", "a/b ü*>"} {
				h.send(Message{ID: id, Body: []byte(id)})
			}
			h.rings(3)
		}
		p.stop()
	}
	runs := map[string]string{}
	for _, r := range h.rings(3) {
		runs[r.run] = string(r.body)
	}
	if len(runs) != 3 {
		h.Errorf("the runs are %v", runs)
	}
}

func bad(h *house) {
	p := h.start(never, 0)
	h.send(Message{ID: "before", Body: []byte("x")})
	h.rings(1)
	for name, send := range h.out.Bad {
		if err := send(h.Context()); err != nil {
			h.Errorf("%s: %v", name, err)
		}
	}
	h.send(Message{ID: "after", Body: []byte("x")})
	h.rings(2)
	p.stop()
}

func order(h *house) {
	p := h.start(never, 0)
	const n = 1000
	for i := range n {
		h.send(numbered(i))
	}
	for i, r := range h.rings(n) {
		if string(r.body) != string(numbered(i).Body) {
			h.Fatalf("the ring at place %d is %s", i, r.body)
		}
	}
	p.stop()
}

func numbered(i int) Message {
	return Message{ID: fmt.Sprintf("no-%d", i), Body: fmt.Appendf(nil, "message %d", i)}
}

// feed sends messages from a few clients; done waits until all were taken.
func (h *house) feed(from, to int, named bool) (done func()) {
	var sending sync.WaitGroup
	next := make(chan int)
	for range 8 {
		sending.Go(func() {
			for i := range next {
				m := numbered(i)
				if !named {
					m.ID = ""
				}
				h.send(m)
			}
		})
	}
	sending.Go(func() {
		defer close(next)
		for i := from; i < to; i++ {
			next <- i
		}
	})
	return sending.Wait
}

// each checks that every message is there once, and was always the same run.
func (h *house) each(n int) {
	h.Helper()
	runs := map[string]int{}
	bodies := map[string]int{}
	for _, r := range h.rings(n) {
		runs[r.run]++
		bodies[string(r.body)]++
	}
	for i := range n {
		if got := bodies[string(numbered(i).Body)]; got != 1 {
			h.Errorf("message %d was rung %d times", i, got)
		}
	}
	if len(runs) != n {
		h.Errorf("there are %d runs, want %d", len(runs), n)
	}
}

// killed has the channel's process die at a step, several times, and another one
// go on.
func killed(h *house, die step) {
	const n = 300
	done := h.feed(0, n, true)
	for _, after := range []int64{1, 20, 70} {
		h.start(die, after).died()
	}
	p := h.start(never, 0)
	done()
	h.each(n)
	p.stop()
}

// natsKilled has rings wait for a server that is away.
func natsKilled(h *house) {
	const n = 200
	p := h.start(never, 0)
	h.feed(0, n/2, true)()
	h.rings(n / 2)
	h.s.Kill()
	done := h.feed(n/2, n, true)
	h.s.Up()
	done()
	h.each(n)
	p.stop()
}

// drain stops the channel in the middle, which loses nothing. Where the source
// gives messages again, they have no ids here: one that was rung but not
// acknowledged would be rung twice.
func drain(h *house) {
	const n = 400
	done := h.feed(0, n, h.out.Held == nil)
	for range 3 {
		p := h.start(never, 0)
		before, _ := h.stored()
		for { // until it is in the middle
			now, err := h.stored()
			if err == nil && (now > before || now >= n) {
				break
			}
			if !pause(h.Context()) {
				h.Fatal(cmp.Or(err, h.Context().Err()))
			}
		}
		p.stop()
	}
	p := h.start(never, 0)
	done()
	h.each(n)
	p.stop()
}

// stored is how many rings there are.
func (h *house) stored() (int, error) {
	s, err := h.js.Stream(h.Context(), workers.Namespace("").RingsStream())
	if err != nil {
		return 0, err
	}
	return int(s.CachedInfo().State.Msgs), nil
}
