package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Job is a definition to be loaded: the fields that benches need.
type Job struct {
	// Every is the interval, Anchor where its grid begins.
	Every  time.Duration
	Anchor time.Time
	// Service is what is rung, Service if empty.
	Service string
	// Size is how long the definition is, filled up by its payload; or Payload
	// how long that is.
	Size, Payload int
	// Policy is put in as it is: `"history":"none"`.
	Policy string
}

// farAway is an interval that comes round in no bench.
const farAway = 100 * 24 * time.Hour

// definition writes a job as a scheduler stores it after "put".
func (j Job) definition(name string) []byte {
	service := j.Service
	if service == "" {
		service = Service
	}
	policy := ""
	if j.Policy != "" {
		policy = "," + j.Policy
	}
	at := j.Anchor.UTC().Format(workers.DueLayout)
	head := fmt.Sprintf(`{"name":%q,"service":%q,"schedule":{"every":"%dms"}%s,"anchor":%q,"activated":%q,"payload":"`,
		name, service, j.Every.Milliseconds(), policy, at, at)
	fill := max(j.Payload, j.Size-len(head)-2)
	return []byte(head + strings.Repeat("x", fill) + `"}`)
}

// loaders is how many batches of definitions are under way at a time.
const loaders = 4

// Load writes n definitions into the bucket, before a scheduler has it, and
// gives how many bytes they are. Their names are "job-0000000" and on.
func (h *House) Load(ctx context.Context, n int, job func(i int) Job) (size int64, err error) {
	bucket, err := kv.Open[[]byte](ctx, h.JS, h.Namespace.JobsBucket())
	if err != nil {
		return 0, err
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(loaders)
	for at := 0; at < n && within.Err() == nil; {
		changes := make([]kv.Change[[]byte], 0, kv.MaxBatch)
		for ; at < n && len(changes) < kv.MaxBatch; at++ {
			name := fmt.Sprintf("job-%07d", at)
			def := job(at).definition(name)
			size += int64(len(def))
			changes = append(changes, kv.Change[[]byte]{Key: name, Value: def})
		}
		if at%50_000 == 0 {
			h.env.Progress("%d of %d jobs are loaded", at, n)
		}
		group.Go(func() error {
			_, err := bucket.Apply(within, changes)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("load jobs: %w", err)
	}
	return size, h.record(ctx, bucket)
}

// record writes the record of the last change so far. A leader records every
// change after the last one recorded, which for a whole bucket would disturb what
// is measured for seconds: it finds nothing to do.
func (h *House) record(ctx context.Context, bucket *kv.Bucket[[]byte]) error {
	last, err := bucket.Last(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(scheduler.Change{Revision: last, Job: Service, Time: time.Now(), Verb: "create", By: Service})
	if err != nil {
		return err
	}
	_, err = h.JS.Publish(ctx, h.Namespace.ChangeSubject(Service), data)
	return err
}

// Stream makes one beside Bellhop's for a raw comparator, with the settings of
// the trigger log that cost something. Its subjects are those below its name.
func (h *House) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	name = string(h.Namespace) + "-" + name
	return h.JS.CreateStream(ctx, jetstream.StreamConfig{
		Name: name, Subjects: []string{name + ".>"}, Storage: jetstream.FileStorage, Replicas: h.Replicas,
		Discard: jetstream.DiscardNew, AllowRollup: true, AllowAtomicPublish: true,
	})
}
