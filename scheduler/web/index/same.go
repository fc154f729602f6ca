package index

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// sameWait is how often it is looked whether a stream is still the same.
const sameWait = 20 * time.Second

var errAnother = errors.New("the stream was deleted or made anew")

// whileSame does it until it ends or the stream is deleted. Whoever follows a
// stream by its sequences waits for ever where another of its name has begun
// from one, and is told nothing.
func whileSame(ctx context.Context, js jetstream.JetStream, stream string, do func(context.Context) error) error {
	created, err := madeAt(ctx, js, stream)
	if err != nil {
		return fmt.Errorf("find stream %s: %w", stream, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(sameWait):
			}
			now, err := madeAt(ctx, js, stream)
			if err == nil && !now.Equal(created) || errors.Is(err, jetstream.ErrStreamNotFound) {
				cancel(fmt.Errorf("%w: %s", errAnother, stream))
			}
		}
	})
	err = do(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, errAnother) {
		err = cause
	}
	cancel(nil)
	looking.Wait()
	return err
}

func madeAt(ctx context.Context, js jetstream.JetStream, stream string) (time.Time, error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return time.Time{}, err
	}
	return s.CachedInfo().Created, nil
}
