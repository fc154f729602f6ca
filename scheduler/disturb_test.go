package scheduler

import (
	"context"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
)

// serverURLs are where the servers listen, as nats.Connect takes them.
func serverURLs(servers []*natstest.Process) string {
	var list []string
	for _, p := range servers {
		list = append(list, p.URL)
	}
	return strings.Join(list, ",")
}

// disturb makes the log's leader step down, and kills a server now and then,
// each time when the one before has caught up.
func (f *fight) disturb(ctx context.Context, servers []*natstest.Process) {
	s := f.corner(ctx)
	if s == nil {
		return
	}
	stepped, killed := 0, 0
	for round := 1; pause(ctx, 2*time.Second); round++ {
		if round%3 != 0 {
			if _, err := s.nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+s.ns.TriggersStream(), nil); err == nil {
				stepped++
			}
			continue
		}
		p := servers[killed%len(servers)]
		p.Kill()
		killed++
		pause(ctx, time.Second)
		p.Up()
		for !current(ctx, s, len(servers)) && pause(ctx, retryWait) {
		}
	}
	f.Logf("the log's leader stepped down %d times, %d servers were killed", stepped, killed)
}

// current tells whether every replica of the log is up to date.
func current(ctx context.Context, s *Scheduler, replicas int) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	info, err := s.log.Info(ctx)
	if err != nil || info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != replicas-1 {
		return false
	}
	for _, r := range info.Cluster.Replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return true
}
