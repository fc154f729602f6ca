package workers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

// try is what is known of a trigger that was delivered before, kept in the state
// bucket under its place: the server counts deliveries, and a message that only
// lay in the buffer of a worker that died was delivered, too.
//
// First deliveries write nothing. When an attempt fails and another is to
// follow, its number and its error are written before the message is let go; and
// when a trigger comes again, that its next attempt begins is written before it
// does. So a trigger that kills its workers uses its attempts up, and its
// neighbours do not.
//
// The server's own MaxDeliver and its advisory would not do: it counts
// deliveries, is the same for all jobs of a service, and its advisory is a
// message that is lost when nobody listens.
type try struct {
	// Created is the stream's, without which its sequences mean nothing.
	Created time.Time `json:"created"`
	// Attempt is the last one that failed, was begun, or was taken back (then
	// the one before it, from 0).
	Attempt int `json:"attempt"`
	// Begun means that nobody knows how it ended.
	Begun bool   `json:"begun,omitempty"`
	Error string `json:"error,omitempty"` // of the last that ended
}

const (
	// tryAge is how long what is known of a trigger outlives its last change:
	// more than the longest attempt and wait together.
	tryAge = maxTimeout + maxBackoff + time.Hour
	// markerAge is how long the end of such an entry is kept.
	markerAge = time.Minute
)

// tries is a trigger's entry.
type tries struct {
	deliveries uint64
	revision   uint64 // of the entry, 0 if there is none
}

// tryKey is where a trigger's entry is: by stream and sequence.
func (a *attempt) tryKey() string {
	return fmt.Sprintf("try.%s.%d", a.lane.stream, a.key.sequence)
}

// again says whether the trigger was delivered before.
func (t *tries) again() bool { return t.deliveries > 1 }

// recall finds out which attempt this is, and writes that it begins. An error
// ends the run without it. It tries until NATS has answered or hard is done.
func (a *attempt) recall(hard context.Context) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, ioTimeout) {
		ctx, cancel := context.WithTimeout(hard, ioTimeout)
		err := a.begin(ctx)
		cancel()
		switch {
		case err == nil || IsPermanent(err):
			return err
		case errors.Is(err, kv.ErrConflict): // another worker has the same message
		default:
			a.w.log.Warn("run waits: its attempts are not known yet", "service", a.t.Service, "run", a.t.Run, "error", err)
		}
		if !pause(hard, wait) {
			return context.Cause(hard)
		}
	}
}

// begin reads the entry, and counts the attempt that is to begin.
func (a *attempt) begin(ctx context.Context) error {
	b, err := a.w.tried.open(ctx)
	if err != nil {
		return err
	}
	e, err := b.Get(ctx, a.tryKey())
	if err != nil && !errors.Is(err, kv.ErrNotFound) && e.Err == nil {
		return err
	}
	a.tries.revision = e.Revision
	a.t.Attempt = 2 // one was delivered, and may have begun
	if known := err == nil && (floor{Created: e.Value.Created}).of(a.created()); known {
		a.t.Attempt, a.t.LastError = e.Value.Attempt+1, e.Value.Error
		if e.Value.Begun && e.Value.Attempt >= a.rules.attempts {
			a.t.Attempt = e.Value.Attempt
			return Permanent(a.spent())
		}
	}
	return a.keep(ctx, b, try{Attempt: a.t.Attempt, Begun: true, Error: a.t.LastError})
}

// spent says that the attempts are used up by workers that died.
func (a *attempt) spent() error {
	err := fmt.Errorf("its worker died at attempt %d of %d", a.t.Attempt, a.rules.attempts)
	if a.t.LastError != "" {
		err = fmt.Errorf("%w; before that: %s", err, a.t.LastError)
	}
	return err
}

func (a *attempt) created() time.Time { return time.Unix(0, a.key.created) }

// write keeps an entry of an attempt that has ended.
func (a *attempt) write(ctx context.Context, t try) error {
	b, err := a.w.tried.open(ctx)
	if err != nil {
		return err
	}
	return a.keep(ctx, b, t)
}

// keep writes the entry.
func (a *attempt) keep(ctx context.Context, b *kv.Bucket[try], t try) error {
	t.Created = a.created().UTC()
	rev, err := b.Write(ctx, kv.Change[try]{Key: a.tryKey(), Value: t, Revision: a.tries.revision, TTL: tryAge})
	if err == nil {
		a.tries.revision = rev
	}
	return err
}

// remember writes how an attempt ended that another follows on. If that fails,
// the next one counts as the second, and its service does not learn the error.
func (e *ending) remember(ctx context.Context) error {
	t := try{Attempt: e.t.Attempt, Error: e.run.Error}
	if e.stopped { // not the service's fault: as if it had not been
		t = try{Attempt: e.t.Attempt - 1, Error: e.t.LastError}
	}
	return e.write(ctx, t)
}

// unbegun writes that a first delivery did not come so far as to begin. Of a
// later one the entry is right as it is.
func (a *attempt) unbegun(ctx context.Context) error {
	if a.tries.again() || !a.w.nc.IsConnected() {
		return nil
	}
	return a.write(ctx, try{})
}

// forget ends the entry of a trigger that is settled. If that fails it goes by
// itself, in time.
func (e *ending) forget(ctx context.Context) error {
	b, err := e.w.tried.open(ctx)
	if err == nil {
		_, err = b.Write(ctx, kv.Change[try]{Key: e.tryKey(), Revision: e.tries.revision, Delete: true, TTL: markerAge})
	}
	return err
}
