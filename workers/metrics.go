package workers

import "github.com/prometheus/client_golang/prometheus"

// metrics are a worker's figures, by service. They are collected with the
// worker, and only there.
type metrics struct {
	runs     *prometheus.CounterVec
	duration *prometheus.HistogramVec
	lateness *prometheus.HistogramVec
	running  *prometheus.GaugeVec
}

func newMetrics() *metrics {
	histogram := func(name, help string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "bellhop", Subsystem: "worker", Name: name, Help: help,
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10), // to 131 s
		}, []string{"service"})
	}
	return &metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "worker", Name: "runs_total",
			Help: "Attempts that ended, by outcome.",
		}, []string{"service", "outcome"}),
		duration: histogram("run_duration_seconds", "How long an attempt took."),
		lateness: histogram("run_lateness_seconds", "How long after its due time an attempt started."),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "bellhop", Subsystem: "worker", Name: "running",
			Help: "Attempts that are under way.",
		}, []string{"service"}),
	}
}

// Describe is part of prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
}

// Collect is part of prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.runs, m.duration, m.lateness, m.running}
}

func (m *metrics) observe(r *Run) {
	m.runs.WithLabelValues(r.Service, r.Outcome).Inc()
	if r.Started.IsZero() {
		return
	}
	m.duration.WithLabelValues(r.Service).Observe(r.Duration().Seconds())
	if !r.Due.IsZero() && r.Attempt <= 1 {
		m.lateness.WithLabelValues(r.Service).Observe(r.Lateness().Seconds())
	}
}
