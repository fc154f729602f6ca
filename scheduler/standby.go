package scheduler

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pollEvery is how often a standby reads the log's end.
	pollEvery = 500 * time.Millisecond
	// still is for how long the last hand must have been the same for a
	// standby to try to open the log: four hands' time.
	still = 2 * time.Second
	// openTries is how often an opening is tried again that a stranger's
	// message has come before.
	openTries = 20
)

// standBy returns nil when the log is to be opened: when its last hand was read
// and was still the last two seconds later by this machine's monotonic clock,
// when its leader has released it, or, at the start, when it is empty or the
// server lives in this process, which means that nobody else can lead. The
// hand counts and not the log's end, which strangers move, too. The end that it
// returns is the one that was judged: somebody may have opened the log since.
func (s *Scheduler) standBy(ctx context.Context, starting bool) (logEnd, error) {
	released := make(chan struct{}, 1)
	sub, err := s.nc.Subscribe(s.ns.HandSubject(), func(m *nats.Msg) {
		var h hand
		if json.Unmarshal(m.Data, &h) == nil && h.Released {
			select {
			case released <- struct{}{}:
			default:
			}
		}
	})
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
			return end, nil
		case since.IsZero() || end.handSeq != last:
			last, since = end.handSeq, now
			s.leaderSeen(end.hand)
		case now.Sub(since) >= still:
			return end, nil
		}
		wait := pollEvery
		if hurry > 0 {
			wait = hurryEvery
		}
		poll := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			poll.Stop()
			return end, ctx.Err()
		case <-poll.C:
		case <-released:
			poll.Stop()
			hurry = int(pollEvery / hurryEvery)
		}
	}
}

// hurryEvery is how often the log is read once its release was heard: what
// goes to the log is heard a moment before it is stored.
const hurryEvery = 5 * time.Millisecond
