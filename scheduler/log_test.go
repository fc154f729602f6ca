package scheduler

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/nats-io/nats.go"
)

// What a message costs the log is measured where others wait behind it: the time of
// one that comes alone is that of the way to the log and back.
func TestCostIsMeasuredWhileTheLogIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) }) // as inBubble does
		w := &writer{nc: natstest.Start(t).Connect(), prefix: "ack.", reply: []byte("ack."), wake: make(chan struct{}, 1), began: time.Now()}
		send := func(n int) {
			for range n {
				if err := w.append(&nats.Msg{Subject: "nobody.listens", Header: nats.Header{}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		confirm := func(from, to int) {
			for i := from; i < to; i++ {
				time.Sleep(10 * time.Millisecond)
				w.acknowledge(&nats.Msg{Subject: fmt.Sprint("ack.", i), Data: fmt.Appendf(nil, `{"stream":"S","seq":%d}`, i+1)})
			}
		}
		measured := func(acks int) {
			t.Helper()
			if w.acks != acks || w.busy != time.Duration(acks)*10*time.Millisecond || w.failure != nil {
				t.Errorf("%d of %v are measured, want %d: %v", w.acks, w.busy, acks, w.failure)
			}
		}
		send(3)
		time.Sleep(time.Second)
		confirm(0, 3)
		measured(2) // not the one that went ahead
		send(1)
		confirm(3, 4)
		measured(2)
		send(2)
		confirm(4, 5)
		send(1) // behind one of two
		confirm(5, 7)
		measured(4)
		if w.acked != 7 || w.bytes != 0 {
			t.Errorf("%d are acknowledged, and %d bytes under way", w.acked, w.bytes)
		}
	})
}

// A log that was slow once is not taken for a slow one for ever.
func TestSingleMessagesAreTriedAgain(t *testing.T) {
	w := &writer{}
	batches := func() (n int) {
		for ; w.slow(); n++ {
			if w.most() != window {
				t.Error("batches, and a probe")
			}
			w.batches++
		}
		if w.probing != (w.most() == probe) {
			t.Errorf("%d may be under way", w.most())
		}
		return n
	}
	if n := batches(); n != 0 {
		t.Errorf("%d batches before anything was measured", n)
	}
	for _, want := range []int{minTrust, 2 * minTrust, 4 * minTrust} {
		w.learn(slowAck + 1)
		if n := batches(); n != want {
			t.Errorf("%d batches, want %d", n, want)
		}
	}
	for range 20 {
		w.learn(2 * slowAck)
	}
	if n := batches(); n != maxTrust {
		t.Errorf("%d batches at most, want %d", n, maxTrust)
	}
	w.learn(slowAck)
	if n := batches(); n != 0 {
		t.Errorf("%d batches for a fast log", n)
	}
	w.learn(slowAck + 1)
	if n := batches(); n != minTrust {
		t.Errorf("%d batches after it was fast, want %d", n, minTrust)
	}
}
