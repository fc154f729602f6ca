package workers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats.go/jetstream"
)

// dedupeWindow is how long a Nats-Msg-Id is remembered on every stream here.
const dedupeWindow = 10 * time.Minute

// SetupOptions are the bounds of what Setup makes; zero fields mean the
// defaults. Every stream is kept in files and made with limits retention. The
// server sets the bytes of all of them aside, so they are modest.
type SetupOptions struct {
	// Namespace is whose streams are made.
	Namespace Namespace
	// Replicas of every stream: 1 (default), 3 or 5.
	Replicas int
	// RingsAge and RingsBytes bound the rings that wait or are kept to be
	// looked at: 72 h and 512 MiB. A full stream refuses new rings.
	RingsAge   time.Duration
	RingsBytes int64
	// RunsPerJob, RunsAge and RunsBytes bound the records: the last 100 of each
	// job (or of each service, where there is no job), 30 days, 512 MiB; the
	// oldest go first. RunsPerJob and RunsAge, where they are said, hold for a
	// stream that is there, too.
	RunsPerJob int64
	RunsAge    time.Duration
	RunsBytes  int64
	// DeadAge and DeadBytes bound the dead letters: 30 days and 256 MiB; the
	// oldest go first.
	DeadAge   time.Duration
	DeadBytes int64
}

func (o SetupOptions) withDefaults() SetupOptions {
	const day, mib = 24 * time.Hour, 1 << 20
	o.Namespace = o.Namespace.orDefault()
	o.Replicas = cmp.Or(o.Replicas, 1)
	o.RingsAge, o.RingsBytes = cmp.Or(o.RingsAge, 3*day), cmp.Or(o.RingsBytes, 512*mib)
	o.RunsPerJob, o.RunsAge, o.RunsBytes = cmp.Or(o.RunsPerJob, 100), cmp.Or(o.RunsAge, 30*day), cmp.Or(o.RunsBytes, 512*mib)
	o.DeadAge, o.DeadBytes = cmp.Or(o.DeadAge, 30*day), cmp.Or(o.DeadBytes, 256*mib)
	return o
}

// ErrSettings means that a stream is there but was made by somebody else with
// settings on which runs would be lost or doubled.
var ErrSettings = errors.New("unsuitable stream settings")

// Setup makes the streams of rings, runs and dead letters and the state bucket
// where they are missing. Those that are there stay as they are, but for what is
// said of RunsPerJob and RunsAge; Setup fails with ErrSettings when one of them
// cannot be relied on.
func Setup(ctx context.Context, js jetstream.JetStream, o SetupOptions) error {
	if err := o.Namespace.Check(); err != nil {
		return err
	}
	said := o
	o = o.withDefaults()
	for _, c := range o.streams() {
		have, err := kv.Ensure(ctx, js, c)
		if err == nil {
			err = suits(have, c)
		}
		if err == nil && c.Name == o.Namespace.RunsStream() {
			err = said.bound(ctx, js, have)
		}
		if err != nil {
			return fmt.Errorf("set up stream %s: %w", c.Name, err)
		}
	}
	bucket := kv.Config{Bucket: o.Namespace.StateBucket(), History: 1, Replicas: o.Replicas, Expiry: true}
	if err := kv.Create(ctx, js, bucket); err != nil {
		return fmt.Errorf("set up bucket %s: %w", bucket.Bucket, err)
	}
	return nil
}

func (o SetupOptions) streams() []jetstream.StreamConfig {
	ns := o.Namespace
	return []jetstream.StreamConfig{{
		Name:        ns.RingsStream(),
		Description: "Rings: runs asked for by channels, people and services",
		Subjects:    []string{ns.RingSubject("*", ">")},
		MaxAge:      o.RingsAge,
		MaxBytes:    o.RingsBytes,
		Discard:     jetstream.DiscardNew,
		Duplicates:  min(dedupeWindow, o.RingsAge),
		Replicas:    o.Replicas,
	}, {
		Name:              ns.RunsStream(),
		Description:       "Runs: one record of every finished attempt",
		Subjects:          []string{allRuns(ns)},
		MaxMsgsPerSubject: o.RunsPerJob,
		MaxAge:            o.RunsAge,
		MaxBytes:          o.RunsBytes,
		Duplicates:        min(dedupeWindow, o.RunsAge),
		AllowDirect:       true,
		Replicas:          o.Replicas,
	}, {
		Name:        ns.DeadStream(),
		Description: "Dead letters: triggers and rings whose last attempt failed",
		Subjects:    []string{ns.DeadSubject(">")},
		MaxAge:      o.DeadAge,
		MaxBytes:    o.DeadBytes,
		Duplicates:  min(dedupeWindow, o.DeadAge),
		Replicas:    o.Replicas,
	}}
}

// bound has the stream of records keep as many as is said. What it then has no
// room for is gone.
func (o SetupOptions) bound(ctx context.Context, js jetstream.JetStream, have jetstream.StreamConfig) error {
	want := have
	want.MaxMsgsPerSubject = cmp.Or(o.RunsPerJob, have.MaxMsgsPerSubject)
	want.MaxAge = cmp.Or(o.RunsAge, have.MaxAge)
	if want.MaxMsgsPerSubject == have.MaxMsgsPerSubject && want.MaxAge == have.MaxAge {
		return nil
	}
	if want.Duplicates = max(want.Duplicates, dedupeWindow); want.MaxAge > 0 {
		want.Duplicates = min(want.Duplicates, want.MaxAge) // the server wants it
	}
	_, err := js.UpdateStream(ctx, want)
	return err
}

// CheckSettings tells whether a stream of rings, runs or dead letters has
// settings on which runs would be lost or doubled (ErrSettings).
func CheckSettings(ns Namespace, have jetstream.StreamConfig) error {
	for _, want := range (SetupOptions{Namespace: ns}).withDefaults().streams() {
		if want.Name == have.Name {
			return suits(have, want)
		}
	}
	return nil
}

// suits says which setting of an existing stream would lose or double runs.
func suits(have, want jetstream.StreamConfig) error {
	for _, s := range want.Subjects {
		if !slices.Contains(have.Subjects, s) {
			return fmt.Errorf("%w: it does not hold the subject %s", ErrSettings, s)
		}
	}
	switch {
	case have.Retention != jetstream.LimitsPolicy:
		return fmt.Errorf("%w: retention is %s, must be %s", ErrSettings, have.Retention, jetstream.LimitsPolicy)
	case have.Discard != want.Discard:
		return fmt.Errorf("%w: discard is %s, must be %s", ErrSettings, have.Discard, want.Discard)
	case have.Duplicates < want.Duplicates && (have.MaxAge == 0 || have.Duplicates < have.MaxAge):
		return fmt.Errorf("%w: duplicate window is %s, must be at least %s", ErrSettings, have.Duplicates, want.Duplicates)
	case have.NoAck:
		return fmt.Errorf("%w: it does not acknowledge", ErrSettings)
	case have.Storage != jetstream.FileStorage:
		return fmt.Errorf("%w: it is kept in memory", ErrSettings)
	}
	return nil
}
