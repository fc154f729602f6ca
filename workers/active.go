package workers

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// ActiveFilter says which of the runs that are under way are wanted; the zero
// value is all of them.
type ActiveFilter struct {
	Run     string `json:"run,omitempty"`
	Job     string `json:"job,omitempty"` // its key
	Service string `json:"service,omitempty"`
}

func (f *ActiveFilter) matches(t *Trigger) bool {
	return (f.Run == "" || f.Run == t.Run) && (f.Job == "" || f.Job == t.Job) && (f.Service == "" || f.Service == t.Service)
}

// ActiveRun is a run that a worker has under way.
type ActiveRun struct {
	// Run, Job, Service, Channel and Due are those of the Trigger.
	Run     string    `json:"run"`
	Job     string    `json:"job,omitempty"`
	Service string    `json:"service"`
	Channel string    `json:"channel,omitempty"`
	Due     time.Time `json:"due,omitzero"`
	// Started is when the attempt's service was called; zero while the run waits
	// at the worker: for a slot, for others of its job, or for a seat.
	Started time.Time `json:"started,omitzero"`
	Attempt int       `json:"attempt,omitempty"` // known once it has started
	Worker  string    `json:"worker"`
	// Progress is the last that the service has reported.
	Progress *Progress `json:"progress,omitempty"`
	// Logs are what the record would have of them now; only where the filter
	// names the run.
	Logs []LogLine `json:"logs,omitempty"`
}

// maxActive bounds a worker's answer, in bytes.
const maxActive = 200 << 10

// activeAnswer is a worker's answer.
type activeAnswer struct {
	Runs []ActiveRun `json:"runs"`
	More int         `json:"more,omitempty"` // for which there was no room
}

// Active asks all workers for the runs that they have under way, running ones
// before those that wait, each in the order of their names. more is how many
// others there are, where a worker has too many for one answer. What no worker
// has taken yet is not among them; see Backlogs.
func Active(ctx context.Context, nc *nats.Conn, ns Namespace, f ActiveFilter) (all []ActiveRun, more int, err error) {
	question, err := json.Marshal(f)
	if err != nil {
		return nil, 0, err
	}
	err = Gather(ctx, nc, ns.ActiveSubject(), question, func(m *nats.Msg) {
		var a activeAnswer
		if json.Unmarshal(m.Data, &a) == nil { // else somebody else's
			all, more = append(all, a.Runs...), more+a.More
		}
	})
	slices.SortStableFunc(all, compareActive)
	return all, more, err
}

func compareActive(a, b ActiveRun) int {
	switch waits := a.Started.IsZero(); {
	case waits != b.Started.IsZero():
		if waits {
			return 1
		}
		return -1
	case waits:
		return a.Due.Compare(b.Due)
	}
	return a.Started.Compare(b.Started)
}

// tellActive answers a question of Active's.
func (w *Worker) tellActive(m *nats.Msg) {
	var f ActiveFilter
	if m.Reply == "" || len(m.Data) > 0 && json.Unmarshal(m.Data, &f) != nil {
		return
	}
	answer := activeAnswer{Runs: []ActiveRun{}}
	for _, h := range w.taken {
		for _, a := range h.list() {
			if f.matches(&a.t) && !a.claimed.Load() { // one that is has ended: its record tells
				answer.Runs = append(answer.Runs, a.now(f.Run != ""))
			}
		}
	}
	slices.SortStableFunc(answer.Runs, compareActive)
	b, err := answer.encode()
	if err == nil {
		err = w.nc.Publish(m.Reply, b)
	}
	if err != nil {
		w.log.Warn("question about active runs not answered", "error", err)
	}
}

// encode leaves out what there is no room for.
func (a *activeAnswer) encode() ([]byte, error) {
	for {
		b, err := json.Marshal(a)
		if err != nil || len(b) <= maxActive || len(a.Runs) == 0 {
			return b, err
		}
		keep := len(a.Runs) * maxActive / (len(b) + 1)
		a.More += len(a.Runs) - keep
		a.Runs = a.Runs[:keep]
	}
}

// now is what is known of an attempt at this moment.
func (a *attempt) now(logs bool) ActiveRun {
	r := ActiveRun{Run: a.t.Run, Job: a.t.Job, Service: a.t.Service, Channel: a.t.Channel, Due: a.t.Due, Worker: a.w.o.Name}
	if deadline := a.deadline.Load(); deadline != 0 { // what is written before may be read
		r.Started, r.Attempt = time.Unix(0, deadline).Add(-a.rules.timeout).UTC(), a.t.Attempt
	}
	if d := a.live.told.Load(); d != nil {
		lines, progress := d.snapshot()
		if r.Progress = progress; logs {
			r.Logs = lines
		}
	}
	return r
}
