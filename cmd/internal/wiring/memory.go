package wiring

import (
	"context"
	"os"
	"runtime/debug"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/process"
	"github.com/bellhop-run/bellhop/scheduler"
)

// What a scheduler has in memory are nearly all definitions, which stay: with the
// collector's own 100 percent there would be as much garbage beside them. collectAt
// is by how many percent it may grow instead, and headroom what that is of at
// least: where there are few jobs it would be collected all the time. loading is how
// long the definitions may take to load, when it is done half as often.
const (
	collectAt = 25
	headroom  = 128 << 20
	loading   = 30 * time.Second
)

// Slim keeps a process small that is a scheduler and little else, until ctx ends,
// unless the environment says how (GOGC, GOMEMLIMIT). What loading a million
// definitions leaves behind is given back once they ring, or wait to.
func Slim(ctx context.Context, s *scheduler.Scheduler) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(2 * collectAt)
	defer process.Headroom(headroom)()
	select {
	case <-s.Ready():
	case <-time.After(loading):
	case <-ctx.Done():
	}
	debug.SetGCPercent(collectAt)
	debug.FreeOSMemory()
	<-ctx.Done()
}
