package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// runBench: what a worker makes of a backlog.
var runBench = Bench{
	Name:  "run",
	About: "Runs a second of a worker whose service does nothing, from a backlog until all is acknowledged and recorded; raw: consume and acknowledge",
	Quick: 15 * time.Second,
	Full:  2 * time.Minute,
	Run:   runRun,
}

// What a worker's share of the raw figure should be.
const (
	aimUnrecorded = 0.85
	aimRecorded   = 0.45
)

// unrecorded is the policy of runs that leave no record.
const unrecorded = `{"history":"none"}`

func runRun(ctx context.Context, e *Env) error {
	n := e.Size(60_000, 300_000)
	recorded := n
	if e.Mode == Durable { // some thousands of records a second
		recorded = e.Size(6_000, 30_000)
	}
	if err := runBacklog(ctx, e, "not recorded", unrecorded, n, aimUnrecorded); err != nil {
		return err
	}
	return runBacklog(ctx, e, "recorded", "", recorded, aimRecorded)
}

// runBacklog has a worker and a raw consumer take the very same messages, by
// turns: while one has its turn the other's consumer is paused, and both are
// while the backlog is made.
func runBacklog(ctx context.Context, e *Env, what, policy string, n int, aim float64) error {
	h, err := e.House(ctx)
	if err != nil {
		return err
	}
	b, err := h.backlog(ctx, policy)
	if err != nil {
		return err
	}
	row, err := e.Compare(ctx, fmt.Sprintf("%d runs, %s", n, what), "runs/s", func(ctx context.Context) (Figure, error) {
		if err := b.fill(ctx, n); err != nil {
			return Figure{}, err
		}
		return b.work(ctx, b.ours, b.worker, n)
	}, func(ctx context.Context) (Figure, error) {
		return b.work(ctx, b.theirs, b.consumer, n)
	})
	if err != nil {
		return err
	}
	row.Note = row.cpuNote("worker", "consumer")
	if policy == "" && e.Mode == Durable {
		row.Note += "; each record is synced, and nothing is of the raw consumer"
	} else {
		row.Judge(fmt.Sprintf("≥ %.2f", aim), row.Ratio >= aim)
	}
	e.Report(row)
	return h.Close(ctx)
}

// backlog is a trigger log that is filled before somebody works it off.
type backlog struct {
	house        *House
	policy       string
	fills        int
	log, records jetstream.Stream
	ours, theirs jetstream.Consumer
	worker       *meter
	consumer     *meter
}

// backlog starts a worker and a raw consumer on the trigger log, and pauses both.
func (h *House) backlog(ctx context.Context, policy string) (*backlog, error) {
	w, err := h.StartWorker(ctx, WorkerOptions{})
	if err != nil {
		return nil, err
	}
	b, err := h.openBacklog(ctx, policy, w)
	if err != nil {
		return nil, err
	}
	if b.theirs, err = b.log.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "raw", FilterSubject: h.Namespace.TriggerSubject(Service), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
	}); err != nil {
		return nil, err
	}
	if err := b.hold(ctx, b.theirs); err != nil {
		return nil, err
	}
	c, err := h.startReady(ctx, "consume", ConsumeOptions{Stream: h.Namespace.TriggersStream(), Consumer: "raw"})
	b.consumer = h.meter(c)
	return b, err
}

// openBacklog pauses a worker that runs Service.
func (h *House) openBacklog(ctx context.Context, policy string, worker *Part) (*backlog, error) {
	b := &backlog{house: h, policy: policy, worker: h.meter(worker)}
	var err error
	if b.log, err = h.JS.Stream(ctx, h.Namespace.TriggersStream()); err != nil {
		return nil, err
	}
	if b.records, err = h.JS.Stream(ctx, h.Namespace.RunsStream()); err != nil {
		return nil, err
	}
	for b.ours == nil { // the worker makes it when it has started
		if b.ours, err = b.log.Consumer(ctx, workers.Escape(Service)); err != nil && !pause(ctx, 20*time.Millisecond) {
			return nil, err
		}
	}
	return b, b.hold(ctx, b.ours)
}

// hold pauses a consumer.
func (b *backlog) hold(ctx context.Context, c jetstream.Consumer) error {
	_, err := b.log.PauseConsumer(ctx, c.CachedInfo().Name, time.Now().Add(24*time.Hour))
	return err
}

// runsOfJob is how many triggers a fill has for a job: fewer than the records that
// are kept of one, beyond which each that is stored has an older one removed.
const runsOfJob = 60

// fill publishes n triggers, as those of jobs that had none before.
func (b *backlog) fill(ctx context.Context, n int) error {
	b.fills++
	jobs := n/runsOfJob + 1
	for done := 0; done < n; {
		if done%20_000 == 0 {
			b.house.env.Progress("%d of %d triggers are published", done, n)
		}
		var batch []*nats.Msg
		for ; done < n && len(batch) < 1000; done++ {
			batch = append(batch, b.trigger(fmt.Sprintf("job-%d-%06d", b.fills, done%jobs), done/jobs))
		}
		if _, err := jetstreamext.PublishMsgBatch(ctx, b.house.JS, batch, jetstreamext.BatchFlowControl{}); err != nil {
			return fmt.Errorf("publish triggers: %w", err)
		}
	}
	return nil
}

// trigger is one of a job, as a scheduler writes it.
func (b *backlog) trigger(key string, run int) *nats.Msg {
	now := time.Now().UTC()
	m := nats.NewMsg(b.house.Namespace.TriggerSubject(Service))
	m.Header[workers.HeaderRun] = []string{fmt.Sprintf("%s@%d", key, now.UnixMilli()+int64(run))}
	m.Header[workers.HeaderJob] = []string{key}
	m.Header[workers.HeaderDue] = []string{now.Format(sentLayout)}
	m.Header[workers.HeaderChannel] = []string{workers.ChannelScheduler}
	if b.policy != "" {
		m.Header[workers.HeaderPolicy] = []string{b.policy}
	}
	m.Data = make([]byte, payload)
	return m
}

// resume has a paused consumer go on, and says since when. It does so with the next
// message that is stored, of which there is another one until it does: in a cluster
// that may come before the consumer's leader knows that it is to go on.
func (b *backlog) resume(ctx context.Context, c jetstream.Consumer) (start time.Time, err error) {
	before, err := c.Info(ctx)
	if err != nil {
		return start, err
	}
	if _, err := b.log.ResumeConsumer(ctx, before.Name); err != nil {
		return start, err
	}
	for {
		start = time.Now()
		if _, err := b.house.JS.PublishMsg(ctx, b.trigger("job-more", b.fills)); err != nil {
			return start, err
		}
		if !pause(ctx, 10*time.Millisecond) {
			return start, ctx.Err()
		}
		if now, err := c.Info(ctx); err != nil || now.Delivered.Consumer > before.Delivered.Consumer {
			return start, err
		}
	}
}

// work lets a consumer go on, and measures until n messages are acknowledged and
// their runs, where they are recorded, too.
func (b *backlog) work(ctx context.Context, c jetstream.Consumer, who *meter, n int) (Figure, error) {
	before, err := b.records.Info(ctx)
	if err != nil {
		return Figure{}, err
	}
	settled, err := c.Info(ctx)
	if err != nil {
		return Figure{}, err
	}
	if err := who.begin(ctx); err != nil {
		return Figure{}, err
	}
	start, err := b.resume(ctx, c)
	if err != nil {
		return Figure{}, err
	}
	for want := settled.AckFloor.Consumer + uint64(n); settled.AckFloor.Consumer < want; {
		if !pause(ctx, 5*time.Millisecond) {
			return Figure{}, ctx.Err()
		}
		if settled, err = c.Info(ctx); err != nil {
			return Figure{}, err
		}
	}
	for b.policy == "" && who == b.worker {
		now, err := b.records.Info(ctx)
		if err != nil {
			return Figure{}, err
		}
		if now.State.LastSeq >= before.State.LastSeq+uint64(n) {
			break
		}
		if !pause(ctx, 5*time.Millisecond) {
			return Figure{}, ctx.Err()
		}
	}
	f := Figure{Value: float64(n) / time.Since(start).Seconds()}
	if err := who.end(ctx, n, &f); err != nil {
		return f, err
	}
	return f, b.hold(ctx, c)
}
