package workers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats.go/jetstream"
)

// Pending says whether a ring of a channel's is stored and not settled by any
// worker: the run with that id is still to be begun, or to be ended. Of a service
// with many it reads all of them, so ctx should bound it.
func (d *Dispatcher) Pending(ctx context.Context, channel, service, run string) (bool, error) {
	if err := errors.Join(CheckChannel(channel), CheckService(service)); err != nil {
		return false, err
	}
	s, err := d.js.Stream(ctx, d.ns.RingsStream())
	if err != nil {
		return false, fmt.Errorf("look for run %s: %w", run, err)
	}
	settled := uint64(0)
	c, err := s.Consumer(ctx, Escape(service))
	switch {
	case err == nil:
		settled = c.CachedInfo().AckFloor.Stream
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return false, fmt.Errorf("look for run %s: %w", run, err)
	}
	found := false
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{d.ns.RingSubject(channel, service)}, OptStartSeq: settled + 1, HeadersOnly: true}
	err = kv.ReadStream(ctx, s, cfg, false, func(m jetstream.Msg, _ *jetstream.MsgMetadata) bool {
		found = m.Headers().Get(HeaderRun) == run
		return !found
	})
	return found, err
}

// Known says whether a worker has ever run a service in this namespace: then its
// consumer is there, and rings wait for the next worker. Of a service that nobody
// has run yet they wait, too; a channel that is strict asks before it rings.
func (d *Dispatcher) Known(ctx context.Context, service string) (bool, error) {
	if err := CheckService(service); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	_, err := d.js.Consumer(ctx, d.ns.RingsStream(), Escape(service))
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for service %s: %w", service, err)
	}
	return true, nil
}

// Ready says why nothing can be rung now, as far as that can be seen without
// ringing: NATS is away, or the stream of rings is missing.
func (d *Dispatcher) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ioTimeout)
	defer cancel()
	if nc := d.js.Conn(); !nc.IsConnected() {
		return fmt.Errorf("connection to NATS is %s", strings.ToLower(nc.Status().String()))
	}
	if _, err := d.js.Stream(ctx, d.ns.RingsStream()); err != nil {
		return fmt.Errorf("look at stream %s: %w", d.ns.RingsStream(), err)
	}
	return nil
}
