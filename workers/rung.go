package workers

import (
	"errors"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// What becomes of a ring, as bellhop_rings_total has it.
const (
	ringStored   = "stored"
	ringRepeated = "repeated" // it was there already
	ringRefused  = "refused"
	ringFailed   = "failed" // perhaps stored: it was not confirmed
)

func newRingsCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "bellhop", Name: "rings_total",
		Help: "Rings, by what became of them: stored, repeated, refused or failed.",
	}, []string{"channel", "service", "outcome"})
}

// count counts what has become of a ring. A channel or a service that cannot be
// one is no label, lest whoever makes up names fills the memory.
func (d *Dispatcher) count(r *Ring, ack *jetstream.PubAck, err error) {
	channel, service, outcome := r.Channel, r.Service, ringStored
	switch {
	case errors.Is(err, ErrRefused):
		outcome, service = ringRefused, ""
		if CheckChannel(channel) != nil {
			channel = ""
		}
	case err != nil:
		outcome = ringFailed
	case ack.Duplicate:
		outcome = ringRepeated
	}
	d.rings.WithLabelValues(channel, service, outcome).Inc()
}

// Describe is part of prometheus.Collector.
func (d *Dispatcher) Describe(ch chan<- *prometheus.Desc) { d.rings.Describe(ch) }

// Collect is part of prometheus.Collector.
func (d *Dispatcher) Collect(ch chan<- prometheus.Metric) { d.rings.Collect(ch) }
