package scheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const million = 1_000_000

// BenchmarkAgenda measures the heap with a million jobs in it.
func BenchmarkAgenda(b *testing.B) {
	jobs := make([]job, million)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range jobs {
		jobs[i] = *keyed(fmt.Sprintf("job-%07d", i))
		jobs[i].due = rnd.Int64N(86_400_000)
	}
	fill := func() agenda {
		a := agenda{heap: make(heap, 0, million)}
		for i := range jobs {
			jobs[i].place = nowhere
			a.put(&jobs[i])
		}
		return a
	}
	b.Run("push", func(b *testing.B) {
		for b.Loop() {
			fill()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/job")
	})
	b.Run("advance", func(b *testing.B) { // pop the first, and put it back later
		a := fill()
		for b.Loop() {
			j := a.top()
			j.due += 1 + rnd.Int64N(86_400_000)
			a.put(j)
		}
	})
	for _, drawn := range []bool{true, false} { // all are due at once, again and again
		b.Run(fmt.Sprintf("together/drawn=%v", drawn), func(b *testing.B) {
			for i := range jobs {
				jobs[i].due = 0
			}
			a := fill()
			for b.Loop() {
				j := a.top()
				if drawn {
					a.draw(j.due)
					j = a.top()
				}
				j.due++
				a.put(j)
			}
		})
	}
}

// BenchmarkBook measures what a definition of 300 bytes costs in memory, all
// of it: the definition, the plan, the book and the agenda.
func BenchmarkBook(b *testing.B) {
	js := connectProcess(b, false)
	s := benchScheduler(b, js)
	for b.Loop() {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		bk := newBook()
		var learned time.Duration
		for i := range million {
			e := benchEntry(i, 300, time.Hour)
			start := time.Now()
			bk.learn(e)
			learned += time.Since(start)
		}
		start := time.Now()
		bk.start(&opened{hand: hand{Time: nowStamp()}, tail: &tail{}}, nil, 1)
		started := time.Since(start)
		runtime.GC()
		start = time.Now()
		for range 5 {
			runtime.GC()
		}
		b.ReportMetric(float64(time.Since(start).Nanoseconds())/5/million, "collect-ns/job")
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/million, "B/job")
		b.ReportMetric(float64(learned.Nanoseconds())/million, "learn-ns/job")
		b.ReportMetric(float64(started.Nanoseconds())/million, "open-ns/job")
		runtime.KeepAlive(bk)
	}
	runtime.KeepAlive(s)
}

// BenchmarkLog measures appending to the log beside the client library's own
// asynchronous publish of the same messages.
func BenchmarkLog(b *testing.B) {
	for _, sync := range []bool{false, true} {
		mode := map[bool]string{false: "relaxed", true: "durable"}[sync]
		b.Run("append/"+mode, func(b *testing.B) {
			s := benchScheduler(b, connectProcess(b, sync))
			end, err := readEnd(b.Context(), s.log, s.ns.HandSubject())
			if err != nil {
				b.Fatal(err)
			}
			o, err := s.openLog(b.Context(), end)
			if err != nil {
				b.Fatal(err)
			}
			defer o.w.close()
			jobs := benchJobs(b.N + 1)
			l := &leader{s: s, b: s.book, w: o.w, tick: nowStamp(), claims: newClaims(o), next: newBlank(s.ns)}
			o.hand.Time = nowStamp() - 1000
			for _, j := range jobs {
				j.due = int64(o.hand.Time) + 1
			}
			s.book.start(o, nil, o.w.last+1)
			for _, j := range jobs {
				s.book.agenda.add(j)
			}
			s.book.agenda.build()
			b.ResetTimer()
			for l.acked < o.w.last || s.book.agenda.top().due <= int64(l.tick) {
				if err := l.settle(b.Context()); err != nil {
					b.Fatal(err)
				}
				if err := l.ring(b.Context()); err != nil {
					b.Fatal(err)
				}
				if l.acked < o.w.last {
					<-o.w.wake
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "triggers/s")
		})
		b.Run("raw/"+mode, func(b *testing.B) {
			js := connectProcess(b, sync)
			s := benchScheduler(b, js)
			jobs := benchJobs(1)
			fast, err := jetstream.New(js.Conn(), jetstream.WithPublishAsyncMaxPending(4000))
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for i := range b.N {
				if _, err := fast.PublishMsgAsync(trigger(s.ns, jobs[0], int64(i)), jetstream.WithStallWait(10*time.Second)); err != nil {
					b.Fatal(err)
				}
			}
			<-fast.PublishAsyncComplete()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "triggers/s")
		})
	}
}

// BenchmarkLateness measures the time from due to a worker's receiving the
// trigger, with a million jobs loaded, of which so many a second are due;
// beside it raw publish-to-receive at that rate.
func BenchmarkLateness(b *testing.B) {
	for _, rate := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("bellhop/%d", rate), func(b *testing.B) {
			js := connectProcess(b, false)
			s := benchScheduler(b, js)
			s.embedded = true
			for i := range million {
				period := 24 * time.Hour
				if i < rate {
					period = time.Second
				}
				s.book.learn(benchEntry(i, 300, period))
			}
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = s.Run(ctx) })
			<-s.Ready()
			receive(b, js, func(m *nats.Msg) time.Time {
				due, err := time.Parse(workers.DueLayout, m.Header.Get(workers.HeaderDue))
				if err != nil {
					b.Error(err)
				}
				return due
			})
			cancel()
			wg.Wait()
		})
		b.Run(fmt.Sprintf("raw/%d", rate), func(b *testing.B) {
			js := connectProcess(b, false)
			s := benchScheduler(b, js)
			jobs := benchJobs(1)
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					<-tick.C
					for range rate / 1000 {
						m := trigger(s.ns, jobs[0], 0)
						m.Header["Sent"] = []string{time.Now().Format(time.RFC3339Nano)}
						_, _ = js.PublishMsgAsync(m)
					}
				}
			})
			receive(b, js, func(m *nats.Msg) time.Time {
				sent, err := time.Parse(time.RFC3339Nano, m.Header.Get("Sent"))
				if err != nil {
					b.Error(err)
				}
				return sent
			})
			cancel()
			wg.Wait()
			<-js.PublishAsyncComplete()
		})
	}
}

// receive consumes triggers for some seconds and reports how long each took.
func receive(b *testing.B, js jetstream.JetStream, since func(*nats.Msg) time.Time) {
	b.Helper()
	cons, err := js.CreateConsumer(b.Context(), "bellhop-triggers", jetstream.ConsumerConfig{
		FilterSubject: "bellhop.trigger.>", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy, MaxAckPending: -1,
	})
	if err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	var mu sync.Mutex
	end := time.Now().Add(8 * time.Second)
	warm := time.Now().Add(2 * time.Second)
	cc, err := cons.Consume(func(m jetstream.Msg) {
		now := time.Now()
		d := now.Sub(since(&nats.Msg{Header: m.Headers()}))
		_ = m.Ack()
		if now.After(warm) {
			mu.Lock()
			took = append(took, d)
			mu.Unlock()
		}
	}, jetstream.PullMaxMessages(5000))
	if err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Until(end)) // it is measured for so long: jobs come at a rate
	cc.Stop()
	<-cc.Closed()
	slices.Sort(took)
	if len(took) == 0 {
		b.Fatal("nothing received")
	}
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	b.ReportMetric(float64(len(took))/end.Sub(warm).Seconds(), "msgs/s")
	b.ReportMetric(at(.5), "p50-ms")
	b.ReportMetric(at(.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
	b.ReportMetric(0, "ns/op")
}

func connectProcess(b *testing.B, sync bool) jetstream.JetStream {
	b.Helper()
	p := natstest.StartProcess(b, natstest.ProcessOptions{Sync: sync})
	nc, err := nats.Connect(p.URL)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	return js
}

func benchScheduler(b *testing.B, js jetstream.JetStream) *Scheduler {
	b.Helper()
	s, err := New(js.Conn(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.bind(b.Context()); err != nil {
		b.Fatal(err)
	}
	return s
}
