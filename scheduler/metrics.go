package scheduler

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a scheduler counts.
type metrics struct {
	s        *Scheduler
	triggers prometheus.Counter
	epochs   prometheus.Counter
	lateness prometheus.Histogram
	leading  *prometheus.Desc
	jobs     *prometheus.Desc
	active   *prometheus.Desc
}

func newMetrics(s *Scheduler) *metrics {
	labels := prometheus.Labels{"namespace": s.ns.String()}
	return &metrics{
		s: s,
		triggers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bellhop_triggers_total", Help: "Triggers appended to the log by this scheduler.", ConstLabels: labels}),
		epochs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bellhop_epochs_ended_total", Help: "Epochs of leading that have ended.", ConstLabels: labels}),
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "bellhop_append_lateness_seconds", Help: "Time from a job's due time to its trigger being appended.", ConstLabels: labels,
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .5, 1, 5, 30, 300}}),
		leading: prometheus.NewDesc("bellhop_leading", "1 while this scheduler leads.", nil, labels),
		jobs:    prometheus.NewDesc("bellhop_jobs", "Job definitions.", nil, labels),
		active:  prometheus.NewDesc("bellhop_jobs_active", "Jobs in this scheduler's agenda.", nil, labels),
	}
}

// rung counts a trigger.
func (m *metrics) rung(now stamp, due int64) {
	m.triggers.Inc()
	m.lateness.Observe(float64(int64(now)-due) / 1000)
}

// Describe implements prometheus.Collector.
func (s *Scheduler) Describe(ch chan<- *prometheus.Desc) {
	m := s.metrics
	m.triggers.Describe(ch)
	m.epochs.Describe(ch)
	m.lateness.Describe(ch)
	ch <- m.leading
	ch <- m.jobs
	ch <- m.active
}

// Collect implements prometheus.Collector.
func (s *Scheduler) Collect(ch chan<- prometheus.Metric) {
	m, st := s.metrics, s.Status()
	m.triggers.Collect(ch)
	m.epochs.Collect(ch)
	m.lateness.Collect(ch)
	leading := 0.0
	if st.Leading {
		leading = 1
	}
	ch <- prometheus.MustNewConstMetric(m.leading, prometheus.GaugeValue, leading)
	ch <- prometheus.MustNewConstMetric(m.jobs, prometheus.GaugeValue, float64(st.Jobs))
	ch <- prometheus.MustNewConstMetric(m.active, prometheus.GaugeValue, float64(st.Active))
}
