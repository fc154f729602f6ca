package scheduler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
)

// jobsHistory is how many revisions of a definition are kept, for people.
const jobsHistory = 5

// Setup makes the streams and buckets that are missing, those of the workers
// too. What is there stays as it is; workers.ErrSettings says that the trigger
// log has settings with which triggers would be lost or doubled.
func Setup(ctx context.Context, js jetstream.JetStream, o Options) error {
	if err := workers.Setup(ctx, js, workers.SetupOptions{Namespace: o.Namespace, Replicas: o.Replicas, RunsPerJob: o.History, RunsAge: o.HistoryAge}); err != nil {
		return err
	}
	if err := kv.Create(ctx, js, kv.Config{Bucket: o.Namespace.JobsBucket(), History: jobsHistory, Replicas: o.Replicas}); err != nil {
		return err
	}
	if err := createChanges(ctx, js, o.Namespace, o.Replicas); err != nil {
		return err
	}
	return createLog(ctx, js, o.Namespace, o.Replicas)
}

// How long and how much the records of changes are kept, where nobody has made
// the stream otherwise.
const (
	changesAge   = 365 * 24 * time.Hour
	changesBytes = 512 << 20
)

// createChanges makes the stream of the records of changes. A server before 2.14
// knows no fast batches, and one that was made there stays without: it is written to
// by atomic ones, which takes longer.
func createChanges(ctx context.Context, js jetstream.JetStream, ns workers.Namespace, replicas int) error {
	cfg := jetstream.StreamConfig{
		Name:               ns.ChangesStream(),
		Description:        "Changes: who has changed which job, when and how",
		Subjects:           []string{ns.ChangeSubject(">")},
		MaxAge:             changesAge,
		MaxBytes:           changesBytes,
		Storage:            jetstream.FileStorage,
		Replicas:           max(replicas, 1),
		AllowAtomicPublish: true,
		AllowBatchPublish:  true,
	}
	_, err := kv.Ensure(ctx, js, cfg)
	if isUnknownField(err) {
		cfg.AllowBatchPublish = false
		_, err = kv.Ensure(ctx, js, cfg)
	}
	if err != nil {
		return fmt.Errorf("create stream %s: %w", cfg.Name, err)
	}
	return nil
}

// isUnknownField tells that the server is too old for something in a request.
func isUnknownField(err error) bool {
	const invalidJSON = 10025
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == invalidJSON
}

// createLog makes the trigger log. It has no limit of its own: its leader
// purges it below the hand, and the last hand must outlive everything.
func createLog(ctx context.Context, js jetstream.JetStream, ns workers.Namespace, replicas int) error {
	cfg := jetstream.StreamConfig{
		Name:               ns.TriggersStream(),
		Description:        "Bellhop's trigger log: appended to by the leading scheduler alone",
		Subjects:           []string{ns.TriggerSubject(">"), ns.HandSubject()},
		Retention:          jetstream.LimitsPolicy,
		Discard:            jetstream.DiscardNew,
		Storage:            jetstream.FileStorage,
		Replicas:           max(replicas, 1),
		AllowRollup:        true,
		AllowAtomicPublish: true,
	}
	have, err := kv.Ensure(ctx, js, cfg)
	if err != nil {
		return fmt.Errorf("create stream %s: %w", cfg.Name, err)
	}
	return checkLog(have)
}

// CheckSettings tells whether a stream or bucket of the namespace has settings
// on which triggers or runs would be lost or doubled (workers.ErrSettings).
func CheckSettings(ns workers.Namespace, have jetstream.StreamConfig) error {
	switch have.Name {
	case ns.TriggersStream():
		return checkLog(have)
	case "KV_" + ns.JobsBucket(), "KV_" + ns.StateBucket():
		if !have.AllowAtomicPublish || have.AllowDirect {
			return fmt.Errorf("%w: bucket %s must have atomic batches allowed and direct get off: starting a scheduler mends it", workers.ErrSettings, strings.TrimPrefix(have.Name, "KV_"))
		}
		return nil
	}
	return workers.CheckSettings(ns, have)
}

// checkLog refuses settings with which the trigger log could not be relied on.
func checkLog(have jetstream.StreamConfig) error {
	for _, c := range []struct {
		ok   bool
		want string
	}{
		{have.Retention == jetstream.LimitsPolicy, "limits retention"},
		{have.MaxAge == 0 && have.MaxMsgs <= 0 && have.MaxBytes <= 0, "no limit of age, messages or bytes (BELLHOP_KEEP and BELLHOP_KEEP_BYTES bound it)"},
		{have.MaxMsgsPerSubject <= 0, "no limit per subject"},
		{have.Discard == jetstream.DiscardNew, "discard new"},
		{have.AllowRollup && !have.DenyPurge, "rollups and purges allowed"},
		{have.AllowAtomicPublish, "atomic batches allowed"},
		{!have.AllowDirect, "direct get off"},
		{!have.NoAck, "acknowledgements"},
	} {
		if !c.ok {
			return fmt.Errorf("%w: stream %s must have %s", workers.ErrSettings, have.Name, c.want)
		}
	}
	return nil
}
