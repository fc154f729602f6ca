package index

import (
	"context"
	"sync/atomic"
	"time"
)

// Event says that something has changed: Jobs, or Runs, or both.
type Event struct{ Jobs, Runs bool }

// eventPause is how long a subscriber has peace after an event.
const eventPause = 500 * time.Millisecond

type subscriber struct {
	jobs, runs atomic.Bool // not told yet
	wake       chan struct{}
}

// Subscribe tells of changes until ctx ends, which closes the channel: at most
// once in half a second, and all that has changed since. Who does not read
// holds nobody up. A page that is made after Subscribe has returned misses
// nothing.
func (x *Index) Subscribe(ctx context.Context) <-chan Event {
	s := &subscriber{wake: make(chan struct{}, 1)}
	events := make(chan Event)
	x.mu.Lock()
	x.subscribers[s] = struct{}{}
	x.mu.Unlock()
	go func() { // it ends with ctx, which is the caller's, and closes what he waits for
		defer close(events)
		s.run(ctx, events)
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.subscribers, s)
	}()
	return events
}

func (s *subscriber) run(ctx context.Context, events chan<- Event) {
	for {
		select {
		case <-s.wake:
		case <-ctx.Done():
			return
		}
		e := Event{Jobs: s.jobs.Swap(false), Runs: s.runs.Swap(false)}
		if e == (Event{}) {
			continue
		}
		select {
		case events <- e:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(eventPause):
		case <-ctx.Done():
			return
		}
	}
}

// tell wakes the subscribers. The caller holds the lock.
func (x *Index) tell(e Event) {
	for s := range x.subscribers {
		if e.Jobs {
			s.jobs.Store(true)
		}
		if e.Runs {
			s.runs.Store(true)
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}
