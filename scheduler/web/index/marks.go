package index

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// maxMarks is how many outcomes are kept of each job.
const maxMarks = 10

// mark is a Mark in little room.
type mark struct {
	finished int64 // Unix nanoseconds
	took     time.Duration
	// due is what makes the run's id of the job's key, in Unix milliseconds;
	// else run is the id.
	due     int64
	run     string
	outcome uint8 // of outcomes
}

// outcomes are all that a record of a worker or a scheduler can have.
var outcomes = [...]string{
	workers.OutcomeOK, workers.OutcomeFailed, workers.OutcomeTimeout, workers.OutcomeDead,
	workers.OutcomeCancelled, workers.OutcomeSkipped, workers.OutcomeMissed, workers.OutcomeExpired,
}

// maxRun bounds a run's id, in bytes: strangers write records, too.
const maxRun = 1024

// newMark gives false for a record that is no end of a run, or no record of ours.
func newMark(r *workers.Run) (mark, bool) {
	i := slices.Index(outcomes[:], r.Outcome)
	if i < 0 || !final(r) {
		return mark{}, false
	}
	m := mark{finished: r.Finished.UnixNano(), took: r.Duration(), outcome: uint8(i)}
	if due, ok := strings.CutPrefix(r.Run, r.Job+"@"); ok {
		ms, err := strconv.ParseInt(due, 10, 64)
		if err == nil && strconv.FormatInt(ms, 10) == due {
			m.due = ms
			return m, true
		}
	}
	m.run = clip(r.Run, maxRun)
	return m, true
}

// final tells whether no other attempt follows: a direct call has but one.
func final(r *workers.Run) bool {
	return r.Outcome != workers.OutcomeFailed && r.Outcome != workers.OutcomeTimeout || r.Channel == workers.ChannelCall
}

func (m *mark) show(key string) Mark {
	s := Mark{Outcome: outcomes[m.outcome], Run: m.run, Finished: time.Unix(0, m.finished).UTC(), Took: m.took}
	if s.Run == "" {
		s.Run = key + "@" + strconv.FormatInt(m.due, 10)
	}
	return s
}

// insert gives the marks with one more, by the time at which the runs have
// finished. The slice given is not changed: readers hold no lock.
func insert(marks []mark, m mark) []mark {
	i := len(marks)
	for i > 0 && marks[i-1].finished > m.finished {
		i--
	}
	if len(marks) == maxMarks {
		if i == 0 {
			return marks
		}
		marks, i = marks[1:], i-1
	}
	list := make([]mark, 0, len(marks)+1)
	return append(append(append(list, marks[:i]...), m), marks[i:]...)
}

func (e *entry) marks() []mark {
	if p := e.recent.Load(); p != nil {
		return *p
	}
	return nil
}

func (e *entry) adopt(marks []mark) {
	if len(marks) == 0 {
		e.recent.Store(nil)
		return
	}
	e.recent.Store(&marks)
}

// lastOutcome is empty for a job that has no runs.
func (e *entry) lastOutcome() string {
	if m := e.marks(); len(m) > 0 {
		return outcomes[m[len(m)-1].outcome]
	}
	return ""
}

// maxStrays is of how many jobs that are not known marks are kept. A record can
// come before the definition, for two streams are followed.
const maxStrays = 1000

func (x *Index) stray(key string, marks []mark) {
	if len(marks) == 0 {
		return
	}
	if _, ok := x.strays[key]; !ok && len(x.strays) >= maxStrays {
		clear(x.strays)
	}
	x.strays[strings.Clone(key)] = marks
}

// marksOf gives those of a job, be it known or not.
func (x *Index) marksOf(key string) []mark {
	if e := x.jobs[key]; e != nil {
		return e.marks()
	}
	return x.strays[key]
}
