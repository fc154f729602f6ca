package web

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
)

// schedule is one that is sent alone. Where a scheduler.Schedule lets unknown
// fields pass, as stored ones may have them, it refuses them as a definition does.
type schedule scheduler.Schedule

func (s *schedule) UnmarshalJSON(data []byte) error {
	j, err := scheduler.ParseJob(slices.Concat([]byte(`{"name":"x","service":"x","schedule":`), data, []byte("}")))
	if err != nil {
		return err
	}
	*s = schedule(j.Schedule)
	return nil
}

// explain says in words when a schedule is due, and the next times.
func (h *Handler) explain(w http.ResponseWriter, r *http.Request) error {
	q := struct {
		Schedule *schedule `json:"schedule"`
		Count    int       `json:"count"`
		After    time.Time `json:"after"`
	}{Count: scheduler.NextCount, After: time.Now()}
	if err := arguments(r, &q); err != nil {
		return err
	}
	if q.Schedule == nil {
		return bad("schedule", `send {"schedule": {"cron": "0 3 * * *"}}`, "it is missing")
	}
	f, err := foresee((*scheduler.Schedule)(q.Schedule), q.After, q.Count)
	if err != nil {
		return err
	}
	return ok(w, r, f)
}

// forecast is what a schedule comes to.
type forecast struct {
	Words string      `json:"words"`
	Next  []time.Time `json:"next"`
	// Changes are the clock's until the last of the times that make a difference.
	Changes []scheduler.ClockChange `json:"clock_changes"`
}

func foresee(s *scheduler.Schedule, after time.Time, count int) (forecast, error) {
	if count < 1 || count > scheduler.MaxNextCount {
		return forecast{}, bad("count", fmt.Sprintf("use 1 to %d", scheduler.MaxNextCount), "%d times", count)
	}
	words, err := s.Explain()
	if err != nil {
		return forecast{}, err
	}
	next, err := s.Next(after, count)
	if err != nil {
		return forecast{}, err
	}
	f := forecast{words, nonNil(next), []scheduler.ClockChange{}}
	if len(next) > 0 {
		changes, err := s.ClockChanges(after, next[len(next)-1].Add(time.Second))
		if err != nil {
			return f, err
		}
		f.Changes = nonNil(changes)
	}
	return f, nil
}
