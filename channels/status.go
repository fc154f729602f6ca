package channels

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
)

// Status is how one channel of one process fares.
type Status struct {
	// Name and Kind are the Meter's; Host and Process (its id) say where it runs.
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Host    string `json:"host"`
	Process int    `json:"process"`
	// Connected says whether it has what it needs of the outside, and Since when
	// that is so.
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`
	// InFlight is what was received and has not ended; the others count since the
	// process started. See Meter.
	InFlight int    `json:"in_flight"`
	Received uint64 `json:"received"`
	Rung     uint64 `json:"rung"`
	Refused  uint64 `json:"refused"`
	Requeued uint64 `json:"requeued"`
	Answered uint64 `json:"answered"`
	// Rate is how many were received per second, in the last ten.
	Rate float64 `json:"rate"`
	// LastError is the last trouble, of whatever kind, and when that was.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// maxStatuses is how many one message holds: a few hundred bytes each.
const maxStatuses = 200

// Serve answers questions about the channels that have these meters, until ctx
// is done or the connection is closed for good.
func Serve(ctx context.Context, nc *nats.Conn, ns workers.Namespace, meters ...*Meter) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	closed := nc.StatusChanged(nats.CLOSED)
	defer nc.RemoveStatusListener(closed)
	sub, err := nc.Subscribe(ns.ChannelsSubject(), func(m *nats.Msg) {
		for part := range slices.Chunk(meters, maxStatuses) {
			all := make([]Status, len(part))
			for i, meter := range part {
				all[i] = meter.Status()
				all[i].Host, all[i].Process = host, os.Getpid()
			}
			if b, err := json.Marshal(all); err == nil { // nothing in it can fail
				_ = m.Respond(b) // whoever asks does so again
			}
		}
	})
	if err != nil {
		return fmt.Errorf("serve questions about channels: %w", err)
	}
	select {
	case <-ctx.Done():
		_ = sub.Unsubscribe() // fails when the connection is closed, and then it is gone
		return nil
	case <-closed:
		return fmt.Errorf("serve questions about channels: %w", nats.ErrConnectionClosed)
	}
}

// List asks every process how its channels fare, in the order of kind, name and
// process. Where none has any, nor answers, the list is empty.
func List(ctx context.Context, nc *nats.Conn, ns workers.Namespace) ([]Status, error) {
	var all []Status
	err := workers.Gather(ctx, nc, ns.ChannelsSubject(), nil, func(m *nats.Msg) {
		var some []Status
		if json.Unmarshal(m.Data, &some) == nil { // or somebody else answers
			all = append(all, some...)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Process, b.Process))
	})
	return all, nil
}
