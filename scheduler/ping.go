package scheduler

import (
	"context"
	"encoding/json"
	"sync"
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

// uptime is for how long there has been a scheduler: this one and, before it, the
// oldest of those that ran when it was started. One that has run for longer than
// the grace need not know: it makes no difference.
func (s *Scheduler) uptime(ctx context.Context) time.Duration {
	own := time.Since(s.started) // now, and not when the answers are there
	if own >= s.grace {
		return own
	}
	select {
	case <-s.asked:
	case <-ctx.Done():
	}
	return own + time.Duration(s.elder.Load())
}

// askEvery is how soon others are asked again.
const askEvery = time.Second

// askElders asks by how much others are older, at first while the jobs are loaded: the
// answers take a moment. It asks again for as long as it matters, for an answer may be
// lost: what falls due while a scheduler runs must not be taken for missed because
// that one was connecting anew.
func (s *Scheduler) askElders(ctx context.Context) error {
	answered := sync.OnceFunc(func() { close(s.asked) })
	defer answered()
	for {
		own := time.Since(s.started)
		peers, err := Ping(ctx, s.nc, s.ns)
		for _, p := range peers {
			s.elder.Store(max(s.elder.Load(), int64(time.Duration(p.Uptime)*time.Millisecond-own)))
		}
		wait := askEvery
		if err == nil {
			answered()
		} else {
			wait = retryWait
		}
		if own >= s.grace || !pause(ctx, wait) {
			return nil
		}
	}
}

// Ping gives the schedulers of a namespace that run, whether they lead or stand
// by.
func Ping(ctx context.Context, nc *nats.Conn, ns workers.Namespace) ([]Peer, error) {
	var peers []Peer
	err := workers.Gather(ctx, nc, ns.PingSubject(), nil, func(m *nats.Msg) {
		var p Peer
		if json.Unmarshal(m.Data, &p) == nil {
			peers = append(peers, p)
		}
	})
	return peers, err
}
