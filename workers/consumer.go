package workers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats.go/jetstream"
)

// maxAckPending is how many messages of a service may be under way in the whole
// fleet, those that wait for their next attempt included.
const maxAckPending = 50_000

// binding is a consumer that was found or made.
type binding struct {
	consumer jetstream.Consumer
	created  time.Time // of the stream: another one's sequences mean nothing
	saved    uint64    // the floor as far as this worker knows; only saveFloors uses it
}

// bind finds the lane's consumer or makes it. All workers of a service share
// it; it is durable and outlives them.
func (l *lane) bind(ctx context.Context) (*binding, error) {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	s, err := l.w.js.Stream(ctx, l.stream)
	if err != nil {
		return nil, fmt.Errorf("find stream %s: %w", l.stream, err)
	}
	info := s.CachedInfo()
	c, err := s.Consumer(ctx, l.name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		c, err = l.make(ctx, s, info)
	}
	if err != nil {
		return nil, fmt.Errorf("bind consumer %s: %w", l.name, err)
	}
	have := c.CachedInfo().Config
	if have.FilterSubject != l.filter || have.AckPolicy != jetstream.AckExplicitPolicy || have.MaxDeliver != -1 {
		return nil, fmt.Errorf("consumer %s was made by somebody else: filter %q, ack %s, max deliver %d: delete it, and it is made anew from its saved place",
			l.name, have.FilterSubject, have.AckPolicy, have.MaxDeliver)
	}
	l.waits(c.CachedInfo())
	return &binding{consumer: c, created: info.Created}, nil
}

// make makes the consumer: from the stream's start when there never was one,
// else after the floor that the one before had reached.
func (l *lane) make(ctx context.Context, s jetstream.Stream, info *jetstream.StreamInfo) (jetstream.Consumer, error) {
	after, err := l.floor(ctx, info)
	if err != nil {
		return nil, err // never from the start because of a passing trouble
	}
	c := jetstream.ConsumerConfig{
		Durable:       l.name,
		Description:   "Bellhop workers of service " + l.service,
		FilterSubject: l.filter,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       l.w.o.AckWait,
		MaxDeliver:    -1, // attempts are counted by the workers
		MaxAckPending: maxAckPending,
	}
	if after > 0 {
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, after+1
		l.log.Warn("consumer was lost: made anew after its last saved place", "sequence", after)
	}
	made, err := s.CreateConsumer(ctx, c)
	if errors.Is(err, jetstream.ErrConsumerExists) { // another worker was faster
		return s.Consumer(ctx, l.name)
	}
	return made, err
}

// floor is the saved place of a consumer: every message up to Sequence was
// settled, in the stream that was created then.
type floor struct {
	Sequence uint64    `json:"sequence"`
	Created  time.Time `json:"created"`
}

func (f floor) of(created time.Time) bool {
	return f.Created.Sub(created).Abs() < time.Second
}

func (l *lane) floorKey() string { return floorKey(l.stream, l.name) }

// floorKey is where the place of a stream's consumer is saved.
func floorKey(stream, consumer string) string { return "floor." + stream + "." + consumer }

// floor reads the saved place. A place that the stream never reached is none:
// the stream was made anew, and everything in it is new.
func (l *lane) floor(ctx context.Context, info *jetstream.StreamInfo) (uint64, error) {
	b, err := kv.Open[floor](ctx, l.w.js, l.w.o.Namespace.StateBucket())
	if err != nil {
		return 0, err
	}
	e, err := b.Get(ctx, l.floorKey())
	if errors.Is(err, kv.ErrNotFound) {
		return 0, nil
	}
	if err = errors.Join(err, e.Err); err != nil {
		return 0, fmt.Errorf("read the saved place of consumer %s: %w", l.name, err)
	}
	if f := e.Value; !f.of(info.Created) || f.Sequence > info.State.LastSeq {
		l.log.Error("stream was made anew: its consumer begins at the start",
			"saved", f.Sequence, "of_stream_created", f.Created, "last", info.State.LastSeq, "stream_created", info.Created)
		if _, err := b.Delete(ctx, l.floorKey(), e.Revision); err != nil && !errors.Is(err, kv.ErrConflict) {
			return 0, err
		}
		return 0, nil
	}
	return e.Value.Sequence, nil
}

// floorEvery is how often workers save their consumers' floors.
const floorEvery = 5 * time.Second

// saveFloors saves the floors of lanes that settled something, until ctx is
// done and then once more.
func saveFloors(ctx context.Context, lanes []*lane) {
	for more := true; more; {
		more = pause(ctx, floorEvery)
		for _, l := range lanes {
			b := l.bound.Load()
			if b == nil || !l.touched.Swap(false) && !l.behind() {
				continue
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ioTimeout)
			if err := l.saveFloor(ctx, b); err != nil {
				l.touched.Store(true)
				if !gone(err) && more {
					l.log.Warn("consumer's place not saved yet", "error", err)
				}
			}
			cancel()
			if !l.w.nc.IsConnected() {
				break
			}
		}
	}
}

// saveFloor moves the saved place forward, never back.
func (l *lane) saveFloor(ctx context.Context, b *binding) error {
	info, err := b.consumer.Info(ctx)
	if err != nil {
		return err
	}
	l.waits(info)
	f := floor{Sequence: info.AckFloor.Stream, Created: b.created}
	if info.NumAckPending > 0 {
		l.touched.Store(true) // another worker's may be what moves it
	}
	if f.Sequence <= b.saved {
		return nil
	}
	bucket, err := kv.Open[floor](ctx, l.w.js, l.w.o.Namespace.StateBucket())
	if err != nil {
		return err
	}
	e, err := bucket.Get(ctx, l.floorKey())
	switch {
	case errors.Is(err, kv.ErrNotFound):
		_, err = bucket.Create(ctx, l.floorKey(), f)
	case err == nil && e.Err == nil && e.Value.of(b.created) && e.Value.Sequence >= f.Sequence:
		// another worker was faster
	case err == nil:
		_, err = bucket.Update(ctx, l.floorKey(), f, e.Revision)
	}
	if errors.Is(err, kv.ErrExists) || errors.Is(err, kv.ErrConflict) {
		l.touched.Store(true) // at the next round
		return nil
	}
	if err == nil {
		b.saved = f.Sequence
	}
	return err
}
