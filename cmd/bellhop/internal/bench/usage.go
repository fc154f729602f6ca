package bench

import (
	"context"
	"runtime"
	"time"
)

// Usage is what a process has taken of the machine.
type Usage struct {
	// CPU is its processor time, user's and system's.
	CPU time.Duration `json:"cpu"`
	// RSS is what it has of the memory, in bytes; 0 where that cannot be told.
	RSS int64 `json:"rss"`
	// Heap is what Go's heap has in use.
	Heap uint64 `json:"heap"`
}

// The orders that ask any part for its Usage: as it is, and after all that is
// not used was given back.
const (
	usageOrder   = "usage"
	collectOrder = "collect"
)

// profileOrder has a part that writes a profile begin it anew.
const profileOrder = "profile"

// Usage asks the part what it has taken so far.
func (p *Part) Usage(ctx context.Context) (u Usage, err error) {
	return u, p.Ask(ctx, usageOrder, &u)
}

// Collected asks what is left of it after a garbage collection.
func (p *Part) Collected(ctx context.Context) (u Usage, err error) {
	return u, p.Ask(ctx, collectOrder, &u)
}

// usage is this process's own.
func usage() Usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Usage{CPU: cpuTime(), RSS: resident(), Heap: m.HeapInuse}
}
