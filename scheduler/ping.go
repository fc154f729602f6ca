package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
)

// Peer is a scheduler that runs, as it answers a ping.
type Peer struct {
	Name string `json:"name"`
	// Uptime is in milliseconds, by the monotonic clock.
	Uptime  int64 `json:"uptime"`
	Leading bool  `json:"leading"`
}

// answerPings lets other schedulers, and people, know that this one runs.
func (s *Scheduler) answerPings() (*nats.Subscription, error) {
	return s.nc.Subscribe(s.ns.PingSubject(), func(m *nats.Msg) {
		b, err := json.Marshal(Peer{s.name, time.Since(s.started).Milliseconds(), s.status.Load().Leading})
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
	peers, err := Ping(ctx, s.nc, s.ns)
	if err != nil {
		return oldest
	}
	for _, p := range peers {
		oldest = max(oldest, time.Duration(p.Uptime)*time.Millisecond)
	}
	return oldest
}

// Ping gives the schedulers of a namespace that run, whether they lead or stand
// by.
func Ping(ctx context.Context, nc *nats.Conn, ns workers.Namespace) ([]Peer, error) {
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ping schedulers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	if err := nc.PublishRequest(ns.PingSubject(), inbox, nil); err != nil {
		return nil, fmt.Errorf("ping schedulers: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, pingWait)
	defer cancel()
	var peers []Peer
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return peers, nil // nobody, or nobody else
		}
		var p Peer
		if json.Unmarshal(m.Data, &p) == nil {
			peers = append(peers, p)
		}
	}
}
