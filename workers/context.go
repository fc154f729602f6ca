package workers

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// runContext is the context of an attempt's service: it ends with the timeout,
// with the worker, when somebody orders it to, and after the run.
//
// Most services return before anybody has asked for Done, and then a timer, a
// channel and a place among the worker's children were made for nothing, at a
// fifth of a quick run's cost. So the context that the standard library would
// make is made when it is asked for, and from then on it is what answers.
type runContext struct {
	mu       sync.Mutex
	parent   context.Context // nil until begin
	of       *attempt
	deadline time.Time
	cause    atomic.Pointer[error] // of the order to stop, which may come before begin
	over     bool
	real     context.Context
	cancel   context.CancelCauseFunc
	free     context.CancelFunc
}

// begin makes it usable as a context. The parent has no deadline. Nobody else
// looks at what it writes before there is a context to look at.
func (c *runContext) begin(parent context.Context, deadline time.Time, of *attempt) {
	c.parent, c.deadline, c.of = parent, deadline, of
}

// stop ends the context with a cause, also one that begins later. The first
// cause counts.
func (c *runContext) stop(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause.CompareAndSwap(nil, &cause) {
		c.settle()
	}
}

// stopped gives the cause that stop was given.
func (c *runContext) stopped() error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// end frees what the context holds; whoever still looks at it finds it ended.
func (c *runContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.settle()
}

// settle has the real context, if there is one, know what happened.
func (c *runContext) settle() {
	if cause := c.stopped(); c.real != nil && (cause != nil || c.over) {
		c.cancel(cause)
	}
	if c.real != nil && c.over {
		c.free()
	}
}

// standard is the standard library's context. What had happened before anybody
// asked is told to it before its deadline is.
func (c *runContext) standard() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real != nil {
		return c.real
	}
	ctx, cancel := context.WithCancelCause(c.parent)
	if cause := c.stopped(); cause != nil || c.over {
		cancel(cause)
	}
	c.cancel = cancel
	c.real, c.free = context.WithDeadline(ctx, c.deadline)
	return c.real
}

// Deadline is part of context.Context.
func (c *runContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done is part of context.Context.
func (c *runContext) Done() <-chan struct{} { return c.standard().Done() }

// Err is part of context.Context.
func (c *runContext) Err() error {
	c.mu.Lock()
	going := c.real == nil && c.stopped() == nil && !c.over && c.parent.Err() == nil && time.Now().Before(c.deadline)
	c.mu.Unlock()
	if going {
		return nil
	}
	return c.standard().Err()
}

// Value is part of context.Context. The standard library finds the cause of a
// context's end, and where its children belong, by a key that is an *int; for
// all others the parent knows as much.
func (c *runContext) Value(key any) any {
	switch key.(type) {
	case attemptKey:
		return c.of
	case *int:
		return c.standard().Value(key)
	}
	return c.parent.Value(key)
}
