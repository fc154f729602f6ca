package scheduler

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestTurns lets one at a time have a job, others have other jobs, and somebody who
// waits no longer go; nothing stays.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ts turns
		take := func(ctx context.Context, key string) func() {
			t.Helper()
			end, err := ts.take(ctx, key)
			if err != nil {
				t.Fatal(err)
			}
			return end
		}
		first, other := take(t.Context(), "a"), take(t.Context(), "b")
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp, second := make(chan error, 1), make(chan func(), 1)
		go func() {
			_, err := ts.take(ctx, "a")
			gaveUp <- err
		}()
		go func() { second <- take(t.Context(), "a") }()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("it gives up with %v", err)
		}
		synctest.Wait()
		select {
		case <-second:
			t.Error("two have their turn at once")
		default:
		}
		first()
		(<-second)()
		other()
		if len(ts.all) != 0 {
			t.Errorf("%d turns stay", len(ts.all))
		}
	})
}
