//go:build unix

package channeltest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Service is what every channel under test rings.
const Service = "conform"

// patience is how long a test waits for what must come, on a busy machine.
const patience = 2 * time.Minute

// Harness is what the suite has to know of a channel.
type Harness struct {
	// Kind is the Ring.Channel of its rings.
	Kind string
	// Ordered says that its source has an order.
	Ordered bool
	// Open gives a counterpart of its own to each test.
	Open func(t *testing.T) Outside
}

// Outside is a channel's real counterpart: a queue, a server's clients.
type Outside struct {
	// Args are what Main gives to the channel's process: all that it needs to know
	// to ring Service for what is sent here.
	Args string
	// Send hands a message over. While it gives an error the suite sends the same
	// message again, as a good client does; nil means that the message is the
	// source's or the channel's to keep.
	Send func(ctx context.Context, m Message) error
	// Held is how many messages the source holds and has not seen acknowledged.
	// Nil means that the source holds nothing: what was not taken is sent again.
	Held func(ctx context.Context) (int, error)
	// Bad hands over, by name, what can never be rung. An error means that it was
	// not refused on the channel's own terms.
	Bad map[string]func(ctx context.Context) error
}

// Message is what the outside sends.
type Message struct {
	// ID is the source's own name for it; it may be empty where Held is there.
	ID          string
	Body        []byte
	ContentType string
	Header      map[string]string
}

// house is a NATS server, and what was rung there.
type house struct {
	*testing.T
	h   Harness
	out Outside
	s   *natstest.Process
	js  jetstream.JetStream
}

func newHouse(t *testing.T, h Harness) *house {
	t.Helper()
	s := natstest.StartProcess(t, natstest.ProcessOptions{})
	nc, err := nats.Connect(s.URL, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := workers.Setup(t.Context(), js, workers.SetupOptions{}); err != nil {
		t.Fatal(err)
	}
	return &house{t, h, h.Open(t), s, js}
}

// start starts a process with the channel.
func (h *house) start(die step, after int64) *process {
	h.Helper()
	return startChannel(h, orders{NATS: h.s.URL, Args: h.out.Args, Die: die, After: after})
}

// send hands a message over, however often that takes.
func (h *house) send(m Message) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	for {
		try, stop := context.WithTimeout(ctx, patience/8)
		err := h.out.Send(try, m)
		stop()
		if err == nil {
			return
		}
		if !pause(ctx) {
			h.Errorf("message %q is not taken: %v", m.ID, err)
			return
		}
	}
}

// pause waits a little between two tries.
func pause(ctx context.Context) bool {
	t := time.NewTimer(20 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// rung is a ring in the stream.
type rung struct {
	run    string
	header nats.Header
	body   []byte
}

// rings waits until so many rings are stored and the source holds nothing, and
// gives them in their order.
func (h *house) rings(n int) []rung {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	why := ""
	for {
		count, err := h.settled(ctx)
		if err == nil && count >= n {
			break
		}
		if err != nil {
			why = err.Error()
		}
		if !pause(ctx) {
			h.Fatalf("%d of %d rings are stored (%s)", count, n, why)
		}
	}
	all, err := h.read(ctx)
	if err != nil {
		h.Fatal(err)
	}
	if len(all) != n {
		h.Errorf("%d rings are stored, want %d", len(all), n)
	}
	return all
}

// settled gives how many rings are stored; an error while the source holds
// something.
func (h *house) settled(ctx context.Context) (int, error) {
	if h.out.Held != nil {
		n, err := h.out.Held(ctx)
		if err != nil {
			return 0, err
		}
		if n > 0 {
			return 0, fmt.Errorf("the source holds %d", n)
		}
	}
	s, err := h.js.Stream(ctx, workers.Namespace("").RingsStream())
	if err != nil {
		return 0, err
	}
	return int(s.CachedInfo().State.Msgs), nil
}

func (h *house) read(ctx context.Context) ([]rung, error) {
	s, err := h.js.Stream(ctx, workers.Namespace("").RingsStream())
	if err != nil {
		return nil, err
	}
	n := int(s.CachedInfo().State.Msgs)
	if n == 0 {
		return nil, nil
	}
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	all := make([]rung, 0, n)
	for len(all) < n {
		batch, err := c.Fetch(min(100, n-len(all)), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			all = append(all, rung{m.Headers().Get(workers.HeaderRun), m.Headers(), m.Data()})
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return all, nil
}
