package workers_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fill publishes n triggers for service s with a policy.
func (h *house) fill(n int, policy string) {
	h.t.Helper()
	for i := range n {
		m := nats.NewMsg("bellhop.trigger.s")
		m.Header = nats.Header{
			"Bellhop-Run": {fmt.Sprintf("job@%d", i)}, "Bellhop-Job": {"job"}, "Bellhop-Channel": {"scheduler"},
			"Bellhop-Due": {time.Now().UTC().Format(workers.DueLayout)},
		}
		if policy != "" {
			m.Header.Set("Bellhop-Policy", policy)
		}
		m.Data = make([]byte, 128)
		_, err := h.js.PublishMsgAsync(m)
		ok(h.t, err)
		if i%2000 == 0 { // the client library refuses when too many are unanswered
			<-h.js.PublishAsyncComplete()
		}
	}
	<-h.js.PublishAsyncComplete()
}

// BenchmarkRun is an empty service, beside the client library's own consuming
// and acknowledging of the same messages. Server and client share the machine.
func BenchmarkRun(b *testing.B) {
	b.Run("raw", func(b *testing.B) {
		h := newHouse(b)
		h.fill(b.N, "")
		c, err := h.js.CreateConsumer(b.Context(), "bellhop-triggers", jetstream.ConsumerConfig{
			Durable: "s", FilterSubject: "bellhop.trigger.s", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 50_000,
		})
		ok(b, err)
		var n atomic.Int64
		done := make(chan struct{})
		b.ResetTimer()
		cc, err := c.Consume(func(m jetstream.Msg) {
			ok(b, m.Ack())
			if n.Add(1) == int64(b.N) {
				close(done)
			}
		})
		ok(b, err)
		<-done
		b.StopTimer()
		cc.Stop()
		<-cc.Closed()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
	})
	for _, history := range []string{"none", "all"} {
		for _, concurrency := range []int{8, 64} {
			b.Run(fmt.Sprintf("history=%s/concurrency=%d", history, concurrency), func(b *testing.B) {
				h := newHouse(b)
				h.fill(b.N, fmt.Sprintf(`{"history":%q}`, history))
				var n atomic.Int64
				done := make(chan struct{})
				b.ResetTimer()
				stop := h.worker(workers.Options{Concurrency: concurrency}, func(w *workers.Worker) {
					w.HandleFunc("s", func(context.Context, *workers.Trigger) ([]byte, error) {
						if n.Add(1) == int64(b.N) {
							close(done)
						}
						return nil, nil
					})
				})
				<-done
				b.StopTimer()
				stop()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
			})
		}
	}
}
