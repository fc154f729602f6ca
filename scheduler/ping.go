package scheduler

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
)

// pong is a scheduler's answer to a ping.
type pong struct {
	Name string `json:"name"`
	// Uptime is in milliseconds, by the monotonic clock.
	Uptime  int64 `json:"uptime"`
	Leading bool  `json:"leading"`
}

// answerPings lets other schedulers, and people, know that this one runs.
func (s *Scheduler) answerPings() (*nats.Subscription, error) {
	return s.nc.Subscribe(s.ns.PingSubject(), func(m *nats.Msg) {
		b, err := json.Marshal(pong{s.name, time.Since(s.started).Milliseconds(), s.status.Load().Leading})
		if err == nil && m.Reply != "" {
			_ = m.Respond(b) // whoever asked asks again
		}
	})
}

// pingWait is how long other schedulers have to answer.
const pingWait = 150 * time.Millisecond

// uptime is that of the oldest scheduler that runs. One that has run for
// longer than the grace need not ask: it makes no difference.
func (s *Scheduler) uptime(ctx context.Context) time.Duration {
	oldest := time.Since(s.started)
	if oldest >= s.grace {
		return oldest
	}
	inbox := s.nc.NewRespInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err != nil {
		return oldest
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	if s.nc.PublishRequest(s.ns.PingSubject(), inbox, nil) != nil {
		return oldest
	}
	ctx, cancel := context.WithTimeout(ctx, pingWait)
	defer cancel()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return oldest
		}
		var p pong
		if json.Unmarshal(m.Data, &p) == nil {
			oldest = max(oldest, time.Duration(p.Uptime)*time.Millisecond)
		}
	}
}
