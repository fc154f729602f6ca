package workers

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestHeld(t *testing.T) {
	var h held
	of := func(created int64, sequence uint64) *attempt { return &attempt{key: key{created, sequence}} }
	expect := func(what string, a *attempt, fresh, done bool) {
		t.Helper()
		if f, d := h.add(a); f != fresh || d != done {
			t.Errorf("%s: fresh %v, done %v, want %v, %v", what, f, d, fresh, done)
		}
	}
	first, failed := of(1, 1), of(1, 2)
	expect("first", first, true, false)
	expect("the same, under way", of(1, 1), false, false)
	expect("of another stream", of(2, 1), true, false)
	expect("a second", failed, true, false)
	h.remove(first, true)
	h.remove(failed, false)
	expect("the first again, acknowledged", of(1, 1), false, true)
	expect("the second again, given back", of(1, 2), true, false)
	for i := range uint64(remembered) {
		a := of(3, i)
		expect("many", a, true, false)
		h.remove(a, true)
		expect("one of many, acknowledged", of(3, i), false, true)
	}
	expect("the first again, forgotten", of(1, 1), true, false)
}

func TestTally(t *testing.T) {
	var open tally
	if !open.enter() {
		t.Fatal("closed")
	}
	empty := open.close()
	if open.enter() {
		t.Error("entered after the end")
	}
	select {
	case <-empty:
		t.Fatal("empty too early")
	default:
	}
	open.leave()
	<-empty
}

// A worker that was frozen does not begin what it had waiting then, whether its
// heartbeats noticed that first or its run.
func TestAwayTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h held
		h.every.Store(int64(10 * time.Second))
		took := func() *attempt { return &attempt{msg: struct{ jetstream.Msg }{}} }
		starts := func(a *attempt) bool { a.started = time.Now(); return !h.stale(a) }
		began := time.Now()
		h.last.Store(&began)
		waiting, call := took(), &attempt{}
		time.Sleep(30 * time.Second)
		if !starts(waiting) {
			t.Error("stale after three beats")
		}
		time.Sleep(time.Second)
		if starts(waiting) {
			t.Error("not stale, without any heartbeat")
		}
		if !starts(call) {
			t.Error("a direct call is nobody else's")
		}
		ctx, stop := context.WithCancel(t.Context())
		go h.watch(ctx, ctx)
		time.Sleep(time.Minute)
		if !starts(waiting) {
			t.Error("stale with heartbeats")
		}
		stop()
	})
}
