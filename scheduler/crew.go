package scheduler

import (
	"context"
	"sync"
	"sync/atomic"
)

// crew carries out work side by side, each on a goroutine of its own. Some that are
// done wait for more: a new one begins with a small stack, and to grow it was a twelfth of
// what creating a job costs.
type crew struct {
	places chan struct{}  // one for each work under way
	more   chan func()    // for those that wait
	idle   atomic.Int32   // how many do
	wg     sync.WaitGroup // all of them
}

// maxIdle is how many goroutines wait for work at most.
const maxIdle = 64

// newCrew makes one that does so much at once.
func newCrew(size int) *crew {
	return &crew{places: make(chan struct{}, size), more: make(chan func())}
}

// do begins work once there is a place for it. Nobody waits for more once ctx has
// ended.
func (c *crew) do(ctx context.Context, work func()) {
	c.places <- struct{}{}
	select {
	case c.more <- work:
	default:
		c.wg.Go(func() {
			for work != nil {
				work()
				<-c.places
				work = c.next(ctx)
			}
		})
	}
}

// next waits for more work; nil where there is none to wait for.
func (c *crew) next(ctx context.Context) (work func()) {
	defer c.idle.Add(-1)
	if c.idle.Add(1) > maxIdle {
		return nil
	}
	select {
	case work = <-c.more:
	case <-ctx.Done():
	}
	return work
}

// wait waits until all have gone, which they do when ctx ends.
func (c *crew) wait() { c.wg.Wait() }
