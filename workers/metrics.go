package workers

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outcomes are how an attempt may end in a worker, in the order of
// figures.outcomes.
var outcomes = [...]string{
	OutcomeOK, OutcomeFailed, OutcomeTimeout, OutcomeDead, OutcomeCancelled, OutcomeSkipped, OutcomeExpired,
}

// metrics are a worker's figures, by service. They are collected with the
// worker, and only there.
type metrics struct {
	w        *Worker
	runs     *prometheus.Desc
	running  *prometheus.Desc
	waiting  *prometheus.Desc
	duration *prometheus.HistogramVec
	lateness *prometheus.HistogramVec
}

func newMetrics(w *Worker) *metrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("bellhop_worker_"+name, help, append([]string{"service"}, labels...), nil)
	}
	histogram := func(name, help string, buckets ...float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "bellhop", Subsystem: "worker", Name: name, Help: help, Buckets: buckets,
		}, []string{"service"})
	}
	return &metrics{
		w:       w,
		runs:    desc("runs_total", "Attempts that ended, by outcome.", "outcome"),
		running: desc("running", "Attempts that are under way."),
		waiting: desc("waiting", "Triggers and rings that no worker of the fleet has settled yet."),
		duration: histogram("run_duration_seconds", "How long an attempt took.",
			.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 1800),
		// The bounds are those of the scheduler's own lateness: the two compare.
		lateness: histogram("run_lateness_seconds", "How long after its due time a run was first started.",
			.001, .002, .005, .01, .02, .05, .1, .5, 1, 5, 30, 300),
	}
}

// Describe is part of prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.runs, m.running, m.waiting} {
		ch <- d
	}
	m.duration.Describe(ch)
	m.lateness.Describe(ch)
}

// Collect is part of prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for service, h := range m.w.services {
		for i, outcome := range outcomes {
			n := float64(h.figures.outcomes[i].Load())
			ch <- prometheus.MustNewConstMetric(m.runs, prometheus.CounterValue, n, service, outcome)
		}
		ch <- prometheus.MustNewConstMetric(m.running, prometheus.GaugeValue, float64(h.figures.running.Load()), service)
		ch <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(h.figures.waiting.Load()), service)
	}
	m.duration.Collect(ch)
	m.lateness.Collect(ch)
}

// figures are what is counted of one service. Nothing is looked up by name in a
// run's way.
type figures struct {
	outcomes [len(outcomes)]atomic.Uint64
	running  atomic.Int64
	waiting  atomic.Int64
	duration prometheus.Observer
	lateness prometheus.Observer
	calls    calls
}

func (m *metrics) of(service string) *figures {
	return &figures{duration: m.duration.WithLabelValues(service), lateness: m.lateness.WithLabelValues(service)}
}

// begin counts an attempt whose service is about to be called.
func (f *figures) begin(a *attempt) {
	f.running.Add(1)
	if a.t.Attempt <= 1 && !a.t.Due.IsZero() {
		f.lateness.Observe(max(0, a.started.Sub(a.t.Due)).Seconds())
	}
}

// end counts one whose service has come to its end, also one that was given up.
// How an attempt ends is not known here yet: see ended.
func (f *figures) end(took time.Duration) {
	f.running.Add(-1)
	f.duration.Observe(took.Seconds())
}

// ended counts an attempt that was settled.
func (f *figures) ended(r *Run) {
	for i, outcome := range outcomes {
		if outcome == r.Outcome {
			f.outcomes[i].Add(1)
		}
	}
}

// byOutcome gives what has happened at all.
func (f *figures) byOutcome() map[string]uint64 {
	runs := make(map[string]uint64)
	for i, outcome := range outcomes {
		if n := f.outcomes[i].Load(); n > 0 {
			runs[outcome] = n
		}
	}
	return runs
}
