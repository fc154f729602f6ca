package channels

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Meter counts what one channel does, and knows how it fares. Everything that is
// received ends as exactly one of rung, refused, requeued and answered; what has
// not yet is in flight. Of a way out to elsewhere, rung means that the outside
// has taken it. It is safe for concurrent use, and a prometheus.Collector.
type Meter struct {
	kind, name string

	received, rung, refused, requeued, answered atomic.Uint64
	recent                                      recent

	mu        sync.Mutex
	connected bool
	since     time.Time
	lastError string
	lastAt    time.Time

	descs [6]*prometheus.Desc
}

// NewMeter makes the meter of a channel: kind is its Ring.Channel ("amqp"), name
// tells it from others of that kind in the process.
func NewMeter(kind, name string) *Meter {
	m := &Meter{kind: kind, name: name, since: time.Now()}
	labels := prometheus.Labels{"channel": kind, "name": name}
	for i, d := range []struct{ name, help string }{
		{"received_total", "What a channel was given."},
		{"rung_total", "What a channel has rung, or has handed to the outside."},
		{"refused_total", "What a channel has refused for good."},
		{"requeued_total", "What a channel has given back, to be tried again."},
		{"answered_total", "Requests that a channel has answered at once."},
		{"connected", "1 while a channel has its connection."},
	} {
		m.descs[i] = prometheus.NewDesc("bellhop_channel_"+d.name, d.help, nil, labels)
	}
	return m
}

// Received counts one that comes.
func (m *Meter) Received() {
	m.received.Add(1)
	m.recent.add(time.Now())
}

// Rung counts one that is stored, or that the outside has taken.
func (m *Meter) Rung() { m.rung.Add(1) }

// Refused counts one that is refused for good.
func (m *Meter) Refused(err error) {
	m.refused.Add(1)
	m.note(err)
}

// Requeued counts one that is given back and will come again.
func (m *Meter) Requeued(err error) {
	m.requeued.Add(1)
	m.note(err)
}

// Answered counts a request that got the service's output, or its error.
func (m *Meter) Answered() { m.answered.Add(1) }

// Up says that the channel has what it needs of the outside.
func (m *Meter) Up() { m.turn(true) }

// Down says that it has not; err tells why, nil that nothing is wrong.
func (m *Meter) Down(err error) {
	m.note(err)
	m.turn(false)
}

func (m *Meter) turn(connected bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.connected != connected {
		m.connected, m.since = connected, time.Now()
	}
}

// note keeps the last error.
func (m *Meter) note(err error) {
	if err == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastError, m.lastAt = cut(err.Error()), time.Now()
}

// maxError bounds the error in a Status, in bytes.
const maxError = 300

func cut(s string) string {
	if len(s) <= maxError {
		return s
	}
	for n := maxError; ; n-- {
		if s[n]&0xc0 != 0x80 { // a rune begins here
			return s[:n] + "…"
		}
	}
}

// InFlight is how many were received and have not ended.
func (m *Meter) InFlight() int {
	// The ends are read first: what is received meanwhile makes the sum larger.
	ended := m.rung.Load() + m.refused.Load() + m.requeued.Load() + m.answered.Load()
	return int(m.received.Load() - ended)
}

// Status says how the channel fares now.
func (m *Meter) Status() Status {
	s := Status{
		Name: m.name, Kind: m.kind, InFlight: m.InFlight(),
		Received: m.received.Load(), Rung: m.rung.Load(), Refused: m.refused.Load(),
		Requeued: m.requeued.Load(), Answered: m.answered.Load(),
		Rate: m.recent.rate(time.Now()),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Connected, s.Since = m.connected, m.since.UTC()
	s.LastError, s.LastErrorAt = m.lastError, m.lastAt.UTC()
	return s
}

// Describe is part of prometheus.Collector.
func (m *Meter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		ch <- d
	}
	ch <- m.inFlight()
}

// Collect is part of prometheus.Collector.
func (m *Meter) Collect(ch chan<- prometheus.Metric) {
	for i, n := range []*atomic.Uint64{&m.received, &m.rung, &m.refused, &m.requeued, &m.answered} {
		ch <- prometheus.MustNewConstMetric(m.descs[i], prometheus.CounterValue, float64(n.Load()))
	}
	up := 0.0
	if m.Status().Connected {
		up = 1
	}
	ch <- prometheus.MustNewConstMetric(m.descs[5], prometheus.GaugeValue, up)
	ch <- prometheus.MustNewConstMetric(m.inFlight(), prometheus.GaugeValue, float64(m.InFlight()))
}

func (m *Meter) inFlight() *prometheus.Desc {
	return prometheus.NewDesc("bellhop_channel_in_flight", "What a channel was given and has not settled.", nil,
		prometheus.Labels{"channel": m.kind, "name": m.name})
}

// seconds is how far back a rate looks.
const seconds = 10

// recent counts by the second, for a rate. A count may slip into the wrong
// second when two meet: it is for people.
type recent [seconds + 2]struct {
	second atomic.Int64
	n      atomic.Uint64
}

func (r *recent) add(now time.Time) {
	second := now.Unix()
	b := &r[second%int64(len(r))]
	if was := b.second.Load(); was != second && b.second.CompareAndSwap(was, second) {
		b.n.Store(0)
	}
	b.n.Add(1)
}

// rate is the mean of the last whole seconds.
func (r *recent) rate(now time.Time) float64 {
	var sum uint64
	for i := range r {
		if age := now.Unix() - r[i].second.Load(); age >= 1 && age <= seconds {
			sum += r[i].n.Load()
		}
	}
	return float64(sum) / seconds
}
