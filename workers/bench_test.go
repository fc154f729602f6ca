package workers_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"
)

// fill publishes n triggers for a service with a policy.
func (h *house) fill(service string, n int, policy string) {
	h.t.Helper()
	for i := range n {
		m := nats.NewMsg("bellhop.trigger." + service)
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

// raw consumes with nothing but the client library, until stop is called; stop
// returns when the server has every acknowledgement.
func (h *house) raw(service string, handle func(jetstream.Msg)) (stop func()) {
	h.t.Helper()
	c, err := h.js.CreateConsumer(h.t.Context(), "bellhop-triggers", jetstream.ConsumerConfig{
		Durable: "raw-" + service, FilterSubject: "bellhop.trigger." + service,
		AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 50_000,
	})
	ok(h.t, err)
	cc, err := c.Consume(func(m jetstream.Msg) {
		handle(m)
		ok(h.t, m.Ack())
	})
	ok(h.t, err)
	return func() {
		cc.Stop()
		<-cc.Closed()
		ok(h.t, h.nc.Flush())
	}
}

// spent is time by the clock and on the process's cores.
type spent struct{ wall, cpu time.Duration }

func (s *spent) add(t spent) { s.wall, s.cpu = s.wall+t.wall, s.cpu+t.cpu }

// since is what was spent since an earlier now.
func (s *spent) since(before spent) spent { return spent{s.wall - before.wall, s.cpu - before.cpu} }

var processStart = time.Now()

func spentNow() spent {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return spent{time.Since(processStart), time.Duration(u.Utime.Nano() + u.Stime.Nano())}
}

// lap is what is spent from the first of n calls to the end.
type lap struct {
	n, seen int64
	began   spent
	last    chan struct{}
}

func (l *lap) end() spent {
	now := spentNow()
	return now.since(l.began)
}

func newLap(n int) *lap { return &lap{n: int64(n), last: make(chan struct{})} }

func (l *lap) count() {
	switch atomic.AddInt64(&l.seen, 1) {
	case 1:
		l.began = spentNow()
		if l.n == 1 {
			close(l.last)
		}
	case l.n:
		close(l.last)
	}
}

// BenchmarkRun is an empty service beside the client library's own consuming
// and acknowledging of the very same messages, by turns on one server, which
// shares the machine. Each is timed from its first message until everything is
// acknowledged and, for the service, recorded and its worker stopped. ratio is
// how many runs there are for one raw message, from all rounds together, and
// cpu-ratio the same by processor time, the server's share included, which does
// not mind what else the machine does.
func BenchmarkRun(b *testing.B) {
	const rounds = 4
	for _, history := range []string{"none", "all"} {
		for _, concurrency := range []int{8, 64} {
			b.Run(fmt.Sprintf("history=%s/concurrency=%d", history, concurrency), func(b *testing.B) {
				h := newHouse(b)
				var raw, run spent
				for i := range rounds {
					s := fmt.Sprintf("s%d", i)
					h.fill(s, b.N, fmt.Sprintf(`{"history":%q}`, history))
					turns := []func(){
						func() { raw.add(h.rawLap(s, b.N)) },
						func() { run.add(h.runLap(s, b.N, concurrency)) },
					}
					turns[i%2]() // neither always finds the other's garbage
					turns[1-i%2]()
				}
				n := float64(rounds * b.N)
				b.ReportMetric(float64(run.wall)/n, "ns/op")
				b.ReportMetric(float64(raw.wall)/n, "raw-ns/op")
				b.ReportMetric(n/run.cpu.Seconds(), "runs/s/core")
				b.ReportMetric(float64(raw.wall)/float64(run.wall), "ratio")
				b.ReportMetric(float64(raw.cpu)/float64(run.cpu), "cpu-ratio")
			})
		}
	}
}

func (h *house) rawLap(service string, n int) spent {
	l := newLap(n)
	stop := h.raw(service, func(jetstream.Msg) { l.count() })
	<-l.last
	stop()
	return l.end()
}

func (h *house) runLap(service string, n, concurrency int) spent {
	l := newLap(n)
	stop := h.worker(workers.Options{Concurrency: concurrency}, func(w *workers.Worker) {
		w.HandleFunc(service, func(context.Context, *workers.Trigger) ([]byte, error) {
			l.count()
			return nil, nil
		})
	})
	<-l.last
	stop()
	return l.end()
}

// BenchmarkLatency is the time from publishing to the handler at 1,000 triggers
// a second, beside that to the client library's own callback.
func BenchmarkLatency(b *testing.B) {
	for _, name := range []string{"raw", "history=none", "history=all"} {
		b.Run(name, func(b *testing.B) {
			h := newHouse(b)
			took := make(chan time.Duration, b.N)
			base := time.Now()
			receive := func(payload []byte) {
				took <- time.Since(base) - time.Duration(binary.BigEndian.Uint64(payload))
			}
			policy := ""
			if name == "raw" {
				defer h.raw("s", func(m jetstream.Msg) { receive(m.Data()) })()
			} else {
				policy = fmt.Sprintf(`{%q:%q}`, "history", name[len("history="):])
				defer h.worker(workers.Options{}, func(w *workers.Worker) {
					w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
						receive(t.Payload)
						return nil, nil
					})
				})()
			}
			publisher, err := jetstream.New(h.s.Connect())
			ok(b, err)
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			b.ResetTimer()
			for range b.N {
				<-tick.C
				m := nats.NewMsg("bellhop.trigger.s")
				if policy != "" {
					m.Header.Set("Bellhop-Policy", policy)
				}
				m.Data = binary.BigEndian.AppendUint64(nil, uint64(time.Since(base)))
				_, err := publisher.PublishMsgAsync(m)
				ok(b, err)
			}
			all := take(b, took, b.N)
			b.StopTimer()
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		})
	}
}
