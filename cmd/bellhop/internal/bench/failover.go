package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// failoverBench: what the death of the leader costs.
var failoverBench = Bench{
	Name:  "failover",
	About: "From killing the leading scheduler (SIGKILL) to the next trigger, a thousand a second; beside the time-out of standbys",
	Quick: 20 * time.Second,
	Full:  4 * time.Minute,
	Run:   runFailover,
}

// takeoverAfter is how long standbys wait for a sign of the leader's life.
const takeoverAfter = 2 * time.Second

func runFailover(ctx context.Context, e *Env) error {
	n := max(e.Size(10_000, 100_000), 10)
	kills := 30
	if !e.Full {
		kills = max(1, int(5*min(1, 20*e.scale)))
	}
	h, err := e.House(ctx)
	if err != nil {
		return err
	}
	f := &failover{h: h, n: n, period: max(time.Duration(n)*time.Millisecond, 200*time.Millisecond), rnd: rand.New(rand.NewPCG(e.Seed, 0))}
	f.anchor = time.Now().Truncate(time.Second)
	if _, err := h.Load(ctx, n, func(i int) Job {
		return Job{Every: f.period, Anchor: f.due(i, -1), Payload: payload} // and is due one period later
	}); err != nil {
		return err
	}
	if err := f.run(ctx, kills); err != nil {
		return err
	}
	lost, doubled, seen, err := f.count()
	if err != nil {
		return err
	}
	row := Row{Case: fmt.Sprintf("%d kills, %d jobs", kills, n), Unit: "s", Raw: Figure{Value: takeoverAfter.Seconds()}, Runs: kills}
	all := f.takeovers()
	for _, t := range all {
		row.Samples = append(row.Samples, Sample{Figure{Value: t.Seconds()}, row.Raw})
	}
	slices.Sort(all)
	at := func(q float64) float64 { return all[int(q*float64(len(all)-1)+.5)].Seconds() }
	row.Bellhop = Figure{Value: at(.5), P50: at(.5), P99: at(.99), Max: at(1)}
	row.Ratio = row.Bellhop.Value / row.Raw.Value
	row.Judge("p99 ≤ 3 s, none lost, none doubled", row.Bellhop.P99 <= 3 && lost == 0 && doubled == 0)
	row.Note = fmt.Sprintf("%d occurrences: %d lost, %d doubled", seen, lost, doubled)
	e.Report(row)
	return nil
}

// failover kills leaders and then looks into the log.
type failover struct {
	h      *House
	n      int
	period time.Duration
	anchor time.Time
	rnd    *rand.Rand

	from, to time.Time   // what fell due between them is counted
	killed   []time.Time // each just before
	log      []rung
}

// rung is a trigger in the log.
type rung struct {
	run    string
	stored time.Time
}

// due is when job i is due for the kth time.
func (f *failover) due(i int, k int64) time.Time {
	return f.anchor.Add(f.period * time.Duration(i) / time.Duration(f.n)).Truncate(time.Millisecond).Add(time.Duration(k) * f.period)
}

func (f *failover) run(ctx context.Context, kills int) error {
	leader, err := f.h.StartScheduler(ctx)
	if err != nil {
		return err
	}
	if err := leader.Await(ctx, Ready); err != nil {
		return err
	}
	f.from = time.Now().Add(200 * time.Millisecond)
	for i := range kills {
		f.h.env.Progress("kill %d of %d", i+1, kills)
		standby, err := f.h.StartScheduler(ctx)
		if err != nil {
			return err
		}
		if err := f.standing(ctx, 2); err != nil {
			return err
		}
		if !pause(ctx, time.Duration(500+f.rnd.IntN(500))*time.Millisecond) {
			return ctx.Err()
		}
		f.killed = append(f.killed, time.Now())
		leader.Kill()
		if err := standby.Await(ctx, Ready); err != nil {
			return err
		}
		leader = standby
	}
	if !pause(ctx, 500*time.Millisecond) {
		return ctx.Err()
	}
	f.to = time.Now()
	if !pause(ctx, time.Second) { // until that is in the log, too
		return ctx.Err()
	}
	if err := leader.Stop(ctx); err != nil {
		return err
	}
	return f.read(ctx)
}

// standing waits until so many schedulers answer.
func (f *failover) standing(ctx context.Context, n int) error {
	for {
		inbox := nats.NewInbox()
		sub, err := f.h.NC.SubscribeSync(inbox)
		if err != nil {
			return err
		}
		if err := f.h.NC.PublishRequest(f.h.Namespace.PingSubject(), inbox, nil); err != nil {
			return err
		}
		count, until := 0, time.Now().Add(200*time.Millisecond)
		for count < n && err == nil {
			if _, err = sub.NextMsg(time.Until(until)); err == nil {
				count++
			}
		}
		_ = sub.Unsubscribe() // fails only with the connection
		if count >= n {
			return nil
		}
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// read reads the whole log.
func (f *failover) read(ctx context.Context) error {
	stream, err := f.h.JS.Stream(ctx, f.h.Namespace.TriggersStream())
	if err != nil {
		return err
	}
	c := jetstream.OrderedConsumerConfig{FilterSubjects: []string{f.h.Namespace.TriggerSubject(">")}, HeadersOnly: true, OptStartSeq: 1}
	return kv.ReadStream(ctx, stream, c, false, func(m jetstream.Msg, meta *jetstream.MsgMetadata) bool {
		f.log = append(f.log, rung{m.Headers().Get(workers.HeaderRun), meta.Timestamp})
		return true
	})
}

// takeovers are how long it took after each kill: up to the end of the longest
// gap in the log that ends after it, and before the next kill.
func (f *failover) takeovers() []time.Duration {
	var all []time.Duration
	for i, killed := range f.killed {
		next := f.to
		if i+1 < len(f.killed) {
			next = f.killed[i+1]
		}
		var longest, end time.Duration
		for j := 1; j < len(f.log); j++ {
			at := f.log[j].stored
			if at.Before(killed) || at.After(next) {
				continue
			}
			if gap := at.Sub(f.log[j-1].stored); gap > longest {
				longest, end = gap, at.Sub(killed)
			}
		}
		all = append(all, end)
	}
	return all
}

// count compares the log with what the schedules say.
func (f *failover) count() (lost, doubled, expected int, err error) {
	times := make(map[string]int, len(f.log))
	for _, r := range f.log {
		if times[r.run]++; times[r.run] == 2 {
			doubled++
		}
	}
	for i := range f.n {
		k := int64(max(0, f.from.Sub(f.due(i, 0))/f.period))
		for ; !f.due(i, k).After(f.to); k++ {
			if f.due(i, k).Before(f.from) {
				continue
			}
			expected++
			if times[fmt.Sprintf("job-%07d@%d", i, f.due(i, k).UnixMilli())] == 0 {
				lost++
			}
		}
	}
	if expected == 0 {
		return 0, 0, 0, fmt.Errorf("nothing was due from %v to %v", f.from, f.to)
	}
	return lost, doubled, expected, nil
}
