package workers_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// dancefloor watches over runs that must not overlap: who goes in and out of what.
type dancefloor struct {
	t       *testing.T
	mu      sync.Mutex
	most    int            // at the same time, of one kind
	in      map[string]int // by kind
	highest int
	entered []string
}

func newDancefloor(t *testing.T, most int) *dancefloor {
	return &dancefloor{t: t, most: most, in: map[string]int{}}
}

// enter notes that a run of a kind begins; leave is called at its end.
func (d *dancefloor) enter(kind, run string) (leave func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.in[kind]++
	d.highest = max(d.highest, d.in[kind])
	d.entered = append(d.entered, run)
	if d.in[kind] > d.most {
		d.t.Errorf("%d runs of %s at the same time, one of them %s", d.in[kind], kind, run)
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.in[kind]--
	}
}

func (d *dancefloor) runs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.entered)
}

// dance is a service whose runs take so long, unless they are ended before.
func (d *dancefloor) dance(length time.Duration) workers.ServiceFunc {
	return func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
		defer d.enter(t.Job, t.Run)()
		select {
		case <-time.After(length):
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	}
}
