package workers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats.go/jetstream"
)

// waits notes what a consumer says: how many messages nobody in the fleet has
// settled. It is asked when its floor is saved, and goes on being asked as long
// as something waits; a service with nothing to do costs nothing.
func (l *lane) waits(info *jetstream.ConsumerInfo) {
	now := int64(info.NumPending) + int64(info.NumAckPending)
	l.w.services[l.service].figures.waiting.Add(now - l.backlog.Swap(now))
}

// behind says whether something may wait that nobody here would notice: the lane
// does not ask for more (there is no slot), holds something, or something waited
// when the consumer was last asked.
func (l *lane) behind() bool {
	if !l.pulling.Load() || l.backlog.Load() > 0 {
		return true
	}
	l.held.mu.Lock()
	defer l.held.mu.Unlock()
	return len(l.held.all) > 0
}

// Backlog is what a service has not done yet, whether or not a worker runs it.
type Backlog struct {
	// Triggers and Rings wait: no worker was given them.
	Triggers uint64
	Rings    uint64
	// Running were given to a worker and are not settled; some of them may wait
	// there, or for another attempt.
	Running int
}

// Backlogs counts what every service has not done yet, of all that have a
// consumer or something in a stream. Where a service never had a worker, all in
// its streams waits; where its consumer was lost, what is after its saved place.
func Backlogs(ctx context.Context, js jetstream.JetStream, ns Namespace) (map[string]Backlog, error) {
	all := make(map[string]Backlog)
	for _, q := range []source{
		{js, ns, ns.TriggersStream(), ns.TriggerSubject(""), func(b *Backlog, n uint64) { b.Triggers += n }},
		{js, ns, ns.RingsStream(), ns.RingSubject("*", ""), func(b *Backlog, n uint64) { b.Rings += n }},
	} {
		if err := q.count(ctx, all); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// source is a stream as where services' messages wait.
type source struct {
	js     jetstream.JetStream
	ns     Namespace
	stream string
	before string // of the service's name in a subject
	add    func(*Backlog, uint64)
}

func (q source) count(ctx context.Context, all map[string]Backlog) error {
	s, err := q.js.Stream(ctx, q.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // nothing was set up: nothing waits
	}
	if err != nil {
		return fmt.Errorf("find stream %s: %w", q.stream, err)
	}
	served, err := q.served(ctx, s, all)
	if err != nil {
		return err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(q.before+">"))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", q.stream, err)
	}
	stored := make(map[string]uint64)
	depth := strings.Count(q.before, ".")
	for subject, n := range info.State.Subjects {
		parts := strings.SplitN(subject, ".", depth+1)
		if service := parts[len(parts)-1]; !served[service] && CheckService(service) == nil {
			stored[service] += n
		}
	}
	return q.unserved(ctx, s, stored, all)
}

// served counts what waits for the consumers that there are.
func (q source) served(ctx context.Context, s jetstream.Stream, all map[string]Backlog) (map[string]bool, error) {
	known := make(map[string]bool)
	consumers := s.ListConsumers(ctx)
	for c := range consumers.Info() {
		service, err := Unescape(c.Config.Durable)
		if err != nil || c.Config.FilterSubject != q.before+service {
			continue // somebody else's
		}
		known[service] = true
		b := all[service]
		b.Running += c.NumAckPending
		q.add(&b, c.NumPending)
		all[service] = b
	}
	if err := consumers.Err(); err != nil {
		return nil, fmt.Errorf("list consumers of %s: %w", q.stream, err)
	}
	return known, nil
}

// unserved counts what waits for services without a consumer.
func (q source) unserved(ctx context.Context, s jetstream.Stream, stored map[string]uint64, all map[string]Backlog) error {
	if len(stored) == 0 {
		return nil
	}
	floors, err := kv.Open[floor](ctx, q.js, q.ns.StateBucket())
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return fmt.Errorf("read saved places: %w", err)
	}
	for service, n := range stored {
		if floors != nil {
			e, err := floors.Get(ctx, floorKey(q.stream, Escape(service)))
			switch {
			case errors.Is(err, kv.ErrNotFound):
			case err != nil:
				return fmt.Errorf("read the saved place of %s: %w", service, err)
			case e.Err == nil && e.Value.of(s.CachedInfo().Created):
				if n, err = q.after(ctx, s, service, e.Value.Sequence); err != nil {
					return err
				}
			}
		}
		b := all[service]
		q.add(&b, n)
		all[service] = b
	}
	return nil
}

// after counts a service's messages past a place.
func (q source) after(ctx context.Context, s jetstream.Stream, service string, place uint64) (uint64, error) {
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{q.before + service}, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: place + 1,
	})
	if err != nil {
		return 0, fmt.Errorf("count what waits for %s: %w", service, err)
	}
	info := c.CachedInfo()
	defer func() { _ = s.DeleteConsumer(ctx, info.Name) }() // else the server does after a while
	return info.NumPending, nil
}
