package scheduler

import (
	"context"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
)

// serverURLs are where the servers listen, as nats.Connect takes them.
func serverURLs(servers []*natstest.Process) string {
	var list []string
	for _, p := range servers {
		list = append(list, p.URL)
	}
	return strings.Join(list, ",")
}

// disturb makes a stream's leader step down, and kills a server now and then,
// each time when the one before has caught up.
func (f *fight) disturb(ctx context.Context, servers []*natstest.Process, stream func(workers.Namespace) string) {
	s := f.corner(ctx)
	if s == nil {
		return
	}
	stepped, killed := 0, 0
	for round := 1; pause(ctx, 2*time.Second); round++ {
		if round%3 != 0 {
			if _, err := s.nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream(s.ns), nil); err == nil {
				stepped++
			}
			continue
		}
		p := servers[killed%len(servers)]
		p.Kill()
		killed++
		pause(ctx, time.Second)
		p.Up()
		for !current(ctx, s.js, stream(s.ns), len(servers)) && pause(ctx, retryWait) {
		}
	}
	f.Logf("the stream's leader stepped down %d times, %d servers were killed", stepped, killed)
}

// current tells whether every replica of a stream is up to date.
func current(ctx context.Context, js jetstream.JetStream, name string, replicas int) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	s, err := js.Stream(ctx, name)
	if err != nil {
		return false
	}
	cluster := s.CachedInfo().Cluster
	if cluster == nil || cluster.Leader == "" || len(cluster.Replicas) != replicas-1 {
		return false
	}
	for _, r := range cluster.Replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return true
}
