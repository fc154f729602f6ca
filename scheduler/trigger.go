package scheduler

import (
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// trigger makes the message that rings the job's service for one due time.
func trigger(ns workers.Namespace, j *job, due int64) *nats.Msg {
	return newBlank(ns).fill(j, due)
}

// blank is a message that is made one trigger after the other: what the next one
// has in common with it stays.
type blank struct {
	ns   workers.Namespace
	msg  nats.Msg
	kind *kind  // of the job that it rings, nil before the first
	due  int64  // when
	run  []byte // the run's id, to write it in
	data []byte // the payload
}

func newBlank(ns workers.Namespace) *blank {
	return &blank{ns: ns, msg: nats.Msg{Header: make(nats.Header, 6)}} // with the expectation that the writer adds
}

// fill makes it the trigger for one due time of the job. What it gives is good
// until it is filled again.
func (b *blank) fill(j *job, due int64) *nats.Msg {
	m, key := &b.msg, j.key()
	if b.kind == nil {
		set(m.Header, workers.HeaderChannel, workers.ChannelScheduler)
	}
	if b.kind == nil || b.due != due {
		b.due = due
		set(m.Header, workers.HeaderDue, stamp(due).String())
	}
	if b.kind != j.kind {
		b.kind = j.kind
		set(m.Header, workers.HeaderPolicy, j.kind.policy)
		m.Subject = b.ns.TriggerSubject(j.kind.service)
	}
	b.run = occurrence{key, due}.append(b.run[:0])
	set(m.Header, workers.HeaderRun, string(b.run))
	set(m.Header, workers.HeaderJob, key)
	b.data = j.payload(b.data[:0])
	m.Data = b.data
	return m
}

// set sets a header as it is spelt, without making anything where it was set
// before; empty removes it.
func set(h nats.Header, name, value string) {
	switch vs := h[name]; {
	case value == "":
		delete(h, name)
	case len(vs) == 1:
		vs[0] = value
	default:
		h[name] = []string{value}
	}
}

// handMsg makes the message of a hand, which takes the place of the ones
// before it.
func handMsg(ns workers.Namespace, h *hand) *nats.Msg {
	m := nats.NewMsg(ns.HandSubject())
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Data = h.bytes()
	return m
}
