package scheduler

import (
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// trigger makes the message that rings the job's service for one due time.
func trigger(ns workers.Namespace, j *job, due int64) *nats.Msg {
	h := make(nats.Header, 6) // with the expectation that the writer adds
	h[workers.HeaderRun] = []string{occurrence{j.key, due}.runID()}
	h[workers.HeaderJob] = []string{j.key}
	h[workers.HeaderDue] = []string{stamp(due).String()}
	h[workers.HeaderChannel] = []string{workers.ChannelScheduler}
	if j.policy != "" {
		h[workers.HeaderPolicy] = []string{j.policy}
	}
	return &nats.Msg{Subject: ns.TriggerSubject(j.service), Header: h, Data: j.payload.bytes(j.def)}
}

// handMsg makes the message of a hand, which takes the place of the ones
// before it.
func handMsg(ns workers.Namespace, h *hand) *nats.Msg {
	m := nats.NewMsg(ns.HandSubject())
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	m.Data = h.bytes()
	return m
}
