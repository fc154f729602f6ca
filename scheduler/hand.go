package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// hand is the checkpoint in the log, the clock hand. It claims only what is
// acknowledged: every occurrence at or before (Time, Cursor), of every
// definition up to Revision, is in the log at or before Seq, or is missed
// because it lies in one of Missed. Each hand rolls up the one before.
type hand struct {
	// Leader and Epoch say who wrote it; each opening is an epoch.
	Leader string `json:"leader"`
	Epoch  uint64 `json:"epoch"`
	// Time and Cursor are the position that is claimed.
	Time   stamp  `json:"time"`
	Cursor string `json:"cursor"`
	// Revision is of the jobs bucket. Whoever opens the log fires nothing
	// before its own view has passed it.
	Revision uint64 `json:"revision"`
	// Seq is a sequence of the log: what follows it is the tail. Up to it, the
	// log holds nothing past the position, so that the tail tells all of that.
	Seq uint64 `json:"seq"`
	// State is a revision of the state bucket: the counts written by then
	// cover everything up to Seq.
	State uint64 `json:"state"`
	// Judged is the time up to which somebody was there to ring: whatever was
	// due by then fires, however late. What falls due between Judged and the
	// next leader's first look may be missed.
	Judged stamp `json:"judged"`
	// Missed are the stretches whose records and completions are not all
	// written yet.
	Missed []stretch `json:"missed,omitempty"`
	// Released means that the leader has stopped and waits for nobody.
	Released bool `json:"released,omitempty"`
}

// stretch is a time in which nobody was there to ring: what fell due in
// [From, To) is missed, and fires only as the job's Missed policy says.
type stretch struct {
	From stamp `json:"from"`
	To   stamp `json:"to"`
}

func (s stretch) holds(due int64) bool { return int64(s.From) <= due && due < int64(s.To) }

func (h *hand) position() position { return position{h.Time, h.Cursor} }

func (h *hand) bytes() []byte {
	b, err := json.Marshal(h)
	if err != nil { // numbers and texts always marshal
		panic(err)
	}
	return b
}

// errBrokenHand means that somebody wrote something else where the hand is.
var errBrokenHand = errors.New("the hand cannot be read")

// readHand reads the last hand from the stream's leader. Without one the
// sequence is 0.
func readHand(ctx context.Context, log jetstream.Stream, subject string) (hand, uint64, error) {
	m, err := log.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return hand{}, 0, nil
	}
	if err != nil {
		return hand{}, 0, fmt.Errorf("read the hand: %w", err)
	}
	var h hand
	if err := json.Unmarshal(m.Data, &h); err != nil {
		return hand{}, m.Sequence, fmt.Errorf("%w at %d: %w", errBrokenHand, m.Sequence, err)
	}
	return h, m.Sequence, nil
}
