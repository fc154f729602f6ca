package scheduler

import (
	"context"
	"sync"
)

// turns has those who change one job come one after the other: the next decides on
// what the one before has made of it, and does not have to be told of a conflict.
// Others may write to the bucket all the same; compare-and-set is what holds. The
// zero value is ready.
type turns struct {
	mu  sync.Mutex
	all map[string]*turn
}

// turn is one job's, for as long as somebody has or wants it.
type turn struct {
	taken chan struct{} // holds one while somebody has it
	users int
}

// take waits for a job's turn, and gives what ends it; or the error of ctx.
func (ts *turns) take(ctx context.Context, key string) (end func(), err error) {
	ts.mu.Lock()
	t := ts.all[key]
	if t == nil {
		if ts.all == nil {
			ts.all = map[string]*turn{}
		}
		t = &turn{taken: make(chan struct{}, 1)}
		ts.all[key] = t
	}
	t.users++
	ts.mu.Unlock()
	select {
	case t.taken <- struct{}{}:
		return func() {
			<-t.taken
			ts.leave(key, t)
		}, nil
	case <-ctx.Done():
		ts.leave(key, t)
		return nil, ctx.Err()
	}
}

func (ts *turns) leave(key string, t *turn) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(ts.all, key)
	}
}
