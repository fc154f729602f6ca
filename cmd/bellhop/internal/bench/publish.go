package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"golang.org/x/sync/errgroup"
)

// PublishOptions are those of the part "publish".
type PublishOptions struct {
	// Subject is where, which must belong to a stream.
	Subject string
	// Payload is how many bytes each message has beside its headers.
	Payload int
	// Batches publishes as fast as it can by atomic batches, the fastest way
	// where the server syncs every write.
	Batches bool
}

// published is what the part says after each order.
type published struct {
	Count int           `json:"count"`
	Took  time.Duration `json:"took"`
}

// publishPart is the raw publisher: JetStream's own asynchronous publish, with
// window messages under way, of messages with a trigger's headers and payload. It
// makes each message anew, as a scheduler must. The order "N" publishes as many as
// fast as it can and is answered when all are acknowledged; "N R", R a second,
// in a burst each millisecond, as a ticker would have it.
//
// With Batches, "N" publishes atomic batches as large as they may be, batchesAhead
// of them under way: one sync for a thousand messages.
func publishPart(ctx context.Context, in *Inside) error {
	var o PublishOptions
	if err := in.Options(&o); err != nil {
		return err
	}
	nc, js, err := in.Connect(ctx, false)
	if err != nil {
		return err
	}
	defer nc.Close()
	p := &publisher{js: js, subject: o.Subject, payload: []byte(strings.Repeat("x", o.Payload))}
	if err := in.SayEvent(Ready); err != nil {
		return err
	}
	return in.carryOut(ctx, func(n, rate int) error {
		if o.Batches && rate == 0 {
			return p.publishBatches(ctx, n, rate)
		}
		return p.publish(ctx, n, rate)
	})
}

// carryOut does what the orders "N" and "N R" ask, one after the other, and answers
// how long each took.
func (in *Inside) carryOut(ctx context.Context, do func(n, rate int) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case order := <-in.Orders:
			var n, rate int
			if _, err := fmt.Sscan(order+" 0", &n, &rate); err != nil {
				return fmt.Errorf("order %q: %w", order, err)
			}
			start := time.Now()
			if err := do(n, rate); err != nil {
				return err
			}
			if err := in.Say(published{n, time.Since(start)}); err != nil {
				return err
			}
		}
	}
}

// publisher publishes raw triggers.
type publisher struct {
	js      jetstream.JetStream
	subject string
	payload []byte
	sent    int
}

// publish publishes n, at so many a second if rate says so.
func (p *publisher) publish(ctx context.Context, n, rate int) error {
	var tick <-chan time.Time
	if rate > 0 {
		t := time.NewTicker(time.Millisecond)
		defer t.Stop()
		tick = t.C
	}
	start := time.Now()
	for done := 0; done < n; {
		until := n
		if tick != nil {
			select {
			case <-tick:
			case <-ctx.Done():
				return ctx.Err()
			}
			until = min(n, int(time.Since(start).Seconds()*float64(rate)))
		}
		for ; done < until; done++ {
			if _, err := p.js.PublishMsgAsync(p.message(), jetstream.WithStallWait(10*time.Second)); err != nil {
				return err
			}
		}
	}
	select {
	case <-p.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// batchesAhead is how many atomic batches are under way.
const batchesAhead = 4

// publishBatches publishes n.
func (p *publisher) publishBatches(ctx context.Context, n, _ int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(batchesAhead)
	for done := 0; done < n; {
		msgs := make([]*nats.Msg, 0, kv.MaxBatch)
		for ; done < n && len(msgs) < kv.MaxBatch; done++ {
			msgs = append(msgs, p.message())
		}
		group.Go(func() error {
			_, err := jetstreamext.PublishMsgBatch(ctx, p.js, msgs, jetstreamext.BatchFlowControl{})
			return err
		})
	}
	return group.Wait()
}

// message is like a trigger, but that its due time is when it was made.
func (p *publisher) message() *nats.Msg {
	p.sent++
	now := time.Now()
	key := fmt.Sprintf("job-%07d", p.sent%10_000_000)
	h := make(nats.Header, 4)
	h[workers.HeaderRun] = []string{key + "@" + strconv.FormatInt(now.UnixMilli(), 10)}
	h[workers.HeaderJob] = []string{key}
	h[workers.HeaderDue] = []string{now.UTC().Format(sentLayout)}
	h[workers.HeaderChannel] = []string{workers.ChannelScheduler}
	return &nats.Msg{Subject: p.subject, Header: h, Data: p.payload}
}

// sentLayout is workers.DueLayout but finer: a raw message is due when it is sent,
// at no round millisecond.
const sentLayout = "2006-01-02T15:04:05.000000Z"
