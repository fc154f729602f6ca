package scheduler

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pollEvery is how often a standby reads the log's last sequence.
	pollEvery = 500 * time.Millisecond
	// still is for how long the log's end must not have moved for a standby
	// to try to open it: four hands' time.
	still = 2 * time.Second
)

// standBy returns nil when the log is to be opened: when its end was read and
// had not moved for two seconds by this machine's monotonic clock, when its
// leader has released it, or, at the start, when it is empty or the server
// lives in this process, which means that nobody else can lead.
func (s *Scheduler) standBy(ctx context.Context, starting bool) error {
	released := make(chan *nats.Msg, 16)
	sub, err := s.nc.ChanSubscribe(s.ns.HandSubject(), released)
	if err == nil {
		defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	}
	var last uint64
	var since time.Time // when last was first read
	for hurry := 0; ; hurry-- {
		end, err := readEnd(ctx, s.log, s.ns.HandSubject())
		now := time.Now()
		switch {
		case err != nil:
			since = time.Time{}
			s.logger.Warn("cannot read the trigger log", "error", err)
		case end.hand.Released, starting && (end.last == 0 || s.embedded):
			return nil
		case since.IsZero() || end.last != last:
			last, since = end.last, now
			s.leaderSeen(end.hand)
		case now.Sub(since) >= still:
			return nil
		}
		wait := pollEvery
		if hurry > 0 {
			wait = hurryEvery
		}
		if awaitRelease(ctx, released, wait) {
			hurry = int(pollEvery / hurryEvery)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// hurryEvery is how often the log is read once its release was heard: what
// goes to the log is heard a moment before it is stored.
const hurryEvery = 5 * time.Millisecond

// awaitRelease waits, and ends early with true when the log's leader releases
// it.
func awaitRelease(ctx context.Context, hands <-chan *nats.Msg, wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return false
		case m := <-hands:
			var h hand
			if json.Unmarshal(m.Data, &h) == nil && h.Released {
				return true
			}
		}
	}
}
