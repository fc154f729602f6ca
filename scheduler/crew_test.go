package scheduler

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestCrew does no more at once than there are places, everything once, and keeps
// some goroutines for more, but not for ever.
func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		const size = 2 * maxIdle
		c := newCrew(size)
		var began, ended atomic.Int32
		open := make(chan struct{})
		work := func() {
			began.Add(1)
			<-open
			ended.Add(1)
		}
		go func() {
			for range size + 1 {
				c.do(ctx, work)
			}
		}()
		synctest.Wait()
		if n := began.Load(); n != size {
			t.Errorf("%d are under way on %d places", n, size)
		}
		close(open)
		synctest.Wait()
		if n := ended.Load(); n != size+1 {
			t.Errorf("%d of %d are done", n, size+1)
		}
		if n := c.idle.Load(); n != maxIdle {
			t.Errorf("%d wait for more, want %d", n, maxIdle)
		}
		open = make(chan struct{})
		for range maxIdle + 1 {
			c.do(ctx, work)
		}
		synctest.Wait()
		if n := c.idle.Load(); n != 0 {
			t.Errorf("%d wait while there is work for them", n)
		}
		close(open)
		synctest.Wait()
		if n := c.idle.Load(); n != maxIdle || began.Load() != ended.Load() {
			t.Errorf("%d wait for more, want %d", n, maxIdle)
		}
		cancel()
		c.wait()
		if n := c.idle.Load(); n != 0 {
			t.Errorf("%d wait for more when nothing comes", n)
		}
	})
}
