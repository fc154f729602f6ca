package scheduler

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// benchDefinitions are jobs of some 300 bytes.
func benchDefinitions(n int) []*Job {
	jobs := make([]*Job, n)
	for i := range jobs {
		j, err := ParseJob(benchEntry(i, 300, time.Hour).Value)
		if err != nil {
			panic(err)
		}
		jobs[i] = j
	}
	return jobs
}

// benchLead runs a scheduler until the benchmark ends.
func benchLead(b *testing.B, s *Scheduler) {
	b.Helper()
	s.embedded = true
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	b.Cleanup(func() { cancel(); wg.Wait() })
	<-s.Ready()
}

// BenchmarkApply makes jobs in bulk, beside the bare batches of the same
// definitions.
func BenchmarkApply(b *testing.B) {
	for _, sync := range []bool{false, true} {
		mode := map[bool]string{false: "relaxed", true: "durable"}[sync]
		b.Run("apply/"+mode, func(b *testing.B) {
			js := connectProcess(b, sync)
			benchLead(b, benchScheduler(b, js))
			c := NewClient(connectAgain(b, js), "")
			jobs := benchDefinitions(b.N)
			b.ResetTimer()
			if err := c.ApplyAll(b.Context(), Batch{Put: jobs}, nil); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
		b.Run("again/"+mode, func(b *testing.B) {
			js := connectProcess(b, sync)
			benchLead(b, benchScheduler(b, js))
			c := NewClient(connectAgain(b, js), "")
			jobs := benchDefinitions(b.N)
			if err := c.ApplyAll(b.Context(), Batch{Put: jobs}, nil); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			if err := c.ApplyAll(b.Context(), Batch{Put: jobs}, nil); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
		b.Run("raw/"+mode, func(b *testing.B) {
			js := connectProcess(b, sync)
			s := benchScheduler(b, js)
			changes := make([]kv.Change[[]byte], b.N)
			for i := range changes {
				e := benchEntry(i, 300, time.Hour)
				changes[i] = kv.Change[[]byte]{Key: e.Key, Value: e.Value}
			}
			b.ResetTimer()
			abreast(b, allAbreast, (b.N+MaxBatch-1)/MaxBatch, func(i int) error {
				_, err := s.jobs.bucket.Apply(b.Context(), changes[i*MaxBatch:min((i+1)*MaxBatch, b.N)])
				return err
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// BenchmarkRule reads a request of a thousand new jobs and decides on them, which is
// what a scheduler does of a batch by itself; per job.
func BenchmarkRule(b *testing.B) {
	var put []byte
	for i := range MaxBatch {
		put = fmt.Appendf(put, `,{"name":"job-%07d","service":"bench","schedule":{"every":"2400h"},"payload":"%0128d"}`, i, i)
	}
	request := fmt.Appendf(nil, `{"put":[%s]}`, put[1:])
	v := &verbs{s: benchScheduler(b, connectProcess(b, false))}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += MaxBatch {
		batch, err := readBatch(request)
		if err != nil {
			b.Fatal(err)
		}
		a := &applying{verbs: v, batch: batch, looked: true}
		if _, err := a.rule(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCreate makes jobs one by one from 64 clients, beside bare writes of
// the same definitions.
func BenchmarkCreate(b *testing.B) {
	const clients = 64
	for _, sync := range []bool{false, true} {
		mode := map[bool]string{false: "relaxed", true: "durable"}[sync]
		b.Run("create/"+mode, func(b *testing.B) {
			js := connectProcess(b, sync)
			benchLead(b, benchScheduler(b, js))
			c := NewClient(connectAgain(b, js), "")
			jobs := benchDefinitions(b.N)
			b.ResetTimer()
			abreast(b, clients, b.N, func(i int) error {
				_, err := c.Create(b.Context(), jobs[i])
				return err
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
		b.Run("raw/"+mode, func(b *testing.B) {
			js := connectProcess(b, sync)
			s := benchScheduler(b, js)
			b.ResetTimer()
			abreast(b, clients, b.N, func(i int) error {
				e := benchEntry(i, 300, time.Hour)
				_, err := s.jobs.bucket.Update(b.Context(), e.Key, e.Value, 0)
				return err
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

// abreast does n things, some at once, and fails at the first error.
func abreast(b *testing.B, at, n int, do func(i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					next.Store(math.MaxInt32)
					b.Error(fmt.Errorf("%d: %w", i, err))
				}
			}
		})
	}
	wg.Wait()
}

// connectAgain gives a client a connection of its own to the same server.
func connectAgain(b *testing.B, js jetstream.JetStream) *nats.Conn {
	b.Helper()
	nc, err := nats.Connect(js.Conn().ConnectedUrl())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	return nc
}
