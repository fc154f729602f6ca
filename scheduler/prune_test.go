package scheduler_test

import (
	"context"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
)

// The log is aged by its leader, and what a recovery needs stays.
func TestTheLogIsAged(t *testing.T) {
	inBubble(t, func(h *house) {
		const keep = 10 * time.Minute
		stop := h.start(scheduler.Options{Keep: keep})
		_, err := h.client.Create(h.Context(), &scheduler.Job{Name: "j", Service: "s", Schedule: scheduler.Schedule{Every: scheduler.Duration(10 * time.Second)}})
		h.ok(err)
		time.Sleep(30*time.Minute + time.Second)
		list := h.log()
		if len(list) < 59 || len(list) > 67 || time.Since(list[0].at) > keep+time.Minute+time.Second {
			t.Errorf("%d triggers are kept, from %v on; want those of the last ten minutes", len(list), list[0].at)
		}
		stop()
		time.Sleep(time.Hour)
		h.start(scheduler.Options{Keep: keep})
		time.Sleep(5 * time.Minute)
		if list := h.log(); len(list) != 30 && len(list) != 29 {
			t.Errorf("%d triggers are kept, want those of the last five minutes", len(list))
		}
	})
}

func TestTheLogIsBounded(t *testing.T) {
	inBubble(t, func(h *house) {
		const bound = 64 << 10
		h.start(scheduler.Options{KeepBytes: bound})
		payload := make([]byte, 4<<10)
		for i := range payload {
			payload[i] = 'x'
		}
		_, err := h.client.Create(h.Context(), &scheduler.Job{
			Name: "j", Service: "s", Payload: scheduler.Text(string(payload)),
			Schedule: scheduler.Schedule{Every: scheduler.Duration(time.Second)},
		})
		h.ok(err)
		time.Sleep(10*time.Minute + 500*time.Millisecond)
		stream, err := h.js.Stream(context.Background(), "bellhop-triggers")
		h.ok(err)
		// A minute's worth may have come since it was last aged.
		if got, limit := stream.CachedInfo().State.Bytes, uint64(bound+61*(len(payload)+400)); got > limit {
			t.Errorf("the log has %d bytes, at most %d are expected", got, limit)
		}
		list := h.log()
		if last := list[len(list)-1]; time.Since(last.at) > time.Second {
			t.Errorf("the last trigger is of %v", last.at)
		}
	})
}
