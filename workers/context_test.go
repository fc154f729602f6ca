package workers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whenever somebody looks at it for the first time and whatever happened until
// then, a run's context says what the standard library's would, which somebody
// has looked at all the time.
func TestRunContextIsLikeTheStandardOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) { // without Deadline, which no bubble has
			hard, kill := context.WithCancelCause(context.WithValue(t.Context(), aKey{}, "of the parent"))
			defer kill(nil)
			deadline := time.Now().Add(5 * time.Second)
			var got runContext
			inner, stop := context.WithCancelCause(hard)
			want, end := context.WithDeadline(inner, deadline)
			defer end()

			happen := map[string]func(){
				"kill": func() { kill(ErrStopped) },
				"stop": func() { got.stop(ErrCancelled); stop(ErrCancelled) },
				"stop differently": func() {
					got.stop(ErrReplaced)
					stop(ErrReplaced)
				},
				"time":  func() { time.Sleep(3 * time.Second) },
				"end":   func() { got.end(); end() },
				"quiet": func() {},
			}
			names := []string{"kill", "stop", "stop differently", "time", "time", "end", "quiet", "quiet"}
			if rapid.Bool().Draw(t, "stopped before") {
				happen["stop"]()
			}
			got.begin(hard, deadline, nil)
			look := func() {
				if !errors.Is(got.Err(), want.Err()) {
					t.Fatalf("err %v, want %v", got.Err(), want.Err())
				}
				if !errors.Is(context.Cause(&got), context.Cause(want)) {
					t.Fatalf("cause %v, want %v", context.Cause(&got), context.Cause(want))
				}
				if got.Value(aKey{}) != "of the parent" {
					t.Fatal("value lost")
				}
				if d, ok := got.Deadline(); !ok || !d.Equal(deadline) {
					t.Fatalf("deadline %v", d)
				}
			}
			children := rapid.Bool().Draw(t, "children at once")
			var child context.Context
			var after chan struct{}
			bear := func() {
				var cancel context.CancelFunc
				child, cancel = context.WithCancel(&got)
				_ = cancel // ends with its parent
				after = make(chan struct{})
				context.AfterFunc(&got, func() { close(after) })
			}
			if children {
				bear()
			}
			looking := rapid.Bool().Draw(t, "somebody looks all the time")
			if looking || children {
				look()
			}
			for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 5).Draw(t, "events") {
				happen[name]()
				synctest.Wait()
				if looking || children {
					look()
				}
			}
			ends := 0
			for _, ended := range []bool{hard.Err() != nil, got.stopped() != nil, got.over, !time.Now().Before(deadline)} {
				if ended {
					ends++
				}
			}
			if ends > 1 && !looking && !children {
				if got.Err() == nil {
					t.Fatal("not ended")
				}
				return // nobody can tell which came first
			}
			look()
			if child == nil {
				bear()
			}
			got.end()
			end()
			synctest.Wait()
			look()
			if !errors.Is(child.Err(), want.Err()) || !errors.Is(context.Cause(child), context.Cause(want)) {
				t.Fatalf("child ended with %v (%v), want %v (%v)", child.Err(), context.Cause(child), want.Err(), context.Cause(want))
			}
			select {
			case <-after:
			default:
				t.Fatal("AfterFunc was not called")
			}
			if free := context.WithoutCancel(&got); free.Err() != nil || free.Value(aKey{}) == nil {
				t.Fatal("WithoutCancel")
			}
		})
	})
}

type aKey struct{}

// Of several orders to stop the first one counts, also before it runs.
func TestFirstCauseCounts(t *testing.T) {
	var c runContext
	if err := c.stopped(); err != nil {
		t.Errorf("before any order: %v", err)
	}
	c.stop(ErrCancelled)
	c.begin(t.Context(), time.Now().Add(time.Hour), nil)
	c.stop(ErrReplaced)
	if err := c.stopped(); !errors.Is(err, ErrCancelled) {
		t.Errorf("it was stopped by %v", err)
	}
	if err := context.Cause(&c); !errors.Is(err, ErrCancelled) {
		t.Errorf("its cause is %v", err)
	}
	c.end()
}
