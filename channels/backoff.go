package channels

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// Backoff gives waits that grow, with jitter, so that many that have failed
// together do not come back together. It is used by one goroutine.
type Backoff struct {
	// Min and Max bound the waits: 100 ms and 10 s.
	Min, Max time.Duration
	n        int
}

// Next is the next wait: from half of what doubles each time up to all of it.
func (b *Backoff) Next() time.Duration {
	least, most := cmp.Or(b.Min, 100*time.Millisecond), cmp.Or(b.Max, 10*time.Second)
	d := most
	if b.n < 30 && least<<b.n > 0 {
		d = min(least<<b.n, most)
	}
	b.n++
	return d/2 + rand.N(d/2+1)
}

// Reset begins anew, after a success.
func (b *Backoff) Reset() { b.n = 0 }

// Wait waits for Next; false when ctx was done first.
func (b *Backoff) Wait(ctx context.Context) bool {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
