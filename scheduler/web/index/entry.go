package index

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unique"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// Job is what is shown of a job; it is the caller's own.
type Job struct {
	// Key is where the definition is stored, Name what it stands for.
	Key, Name string
	// Service is who is rung; empty where the definition cannot be read.
	Service  string
	Schedule scheduler.Schedule
	// State is active or inactive; Reason says why it is inactive, and Error
	// what is wrong with a definition that cannot be read.
	State, Reason, Error string
	Labels               map[string]string
	Description          string
	// Revision is the definition's, and Changed when it was written.
	Revision uint64
	Changed  time.Time
	// Next is the next due time, zero if there is none. That max_runs may be
	// used up by then is not seen.
	Next time.Time
	// Recent are the last final outcomes, at most ten, the oldest first.
	Recent []Mark
}

// Mark is how a run of a job has ended.
type Mark struct {
	Outcome, Run string
	Finished     time.Time
	// Took is how long the last attempt took, zero if there was none.
	Took time.Duration
}

// maxError and maxReason bound what a stored definition can have shown, in
// bytes.
const (
	maxError  = 1024
	maxReason = 64
)

// entry is what is kept of one revision of a job. All but recent is never
// changed.
type entry struct {
	key string
	// name and description are parts of one string, and so is text if nothing
	// in it is upper case: a line for each, and for each label, to be searched.
	name, description, text string
	// Labels, services and schedules are shared by jobs that have the same.
	labels   []unique.Handle[label]
	service  unique.Handle[string]
	schedule unique.Handle[scheduler.Schedule]
	plan     scheduler.Plan
	reason   string // empty for an active job
	err      string
	revision uint64
	changed  int64 // Unix nanoseconds
	recent   atomic.Pointer[[]mark]
}

type label struct{ key, value string }

// readEntry makes an entry of a revision, whatever it holds.
func readEntry(stored kv.Entry[[]byte]) *entry {
	e := &entry{
		key: strings.Clone(stored.Key), revision: stored.Revision, changed: stored.Created.UnixNano(),
		service: unique.Make(""),
	}
	j, err := scheduler.ReadStored(e.key, stored.Value)
	if err == nil {
		anchor := stored.Created
		if !j.Anchor.IsZero() {
			anchor = j.Anchor
		}
		e.plan, err = j.Schedule.Compile(anchor.UnixMilli())
	}
	if err != nil {
		name, unescaped := workers.Unescape(e.key)
		if unescaped != nil {
			name = e.key
		}
		e.write(&scheduler.Job{Name: name})
		e.reason, e.err = scheduler.ReasonInvalid, clip(err.Error(), maxError)
		return e
	}
	e.service, e.schedule = unique.Make(j.Service), unique.Make(j.Schedule)
	e.reason = shareReason(j.Reason)
	e.write(j)
	return e
}

// write makes the entry's texts.
func (e *entry) write(j *scheduler.Job) {
	var b strings.Builder
	b.WriteString(j.Name)
	b.WriteByte('\n')
	b.WriteString(j.Service)
	b.WriteByte('\n')
	described := b.Len()
	b.WriteString(j.Description)
	if len(j.Labels) > 0 {
		e.labels = make([]unique.Handle[label], 0, len(j.Labels))
	}
	for _, k := range slices.Sorted(maps.Keys(j.Labels)) {
		b.WriteByte('\n')
		b.WriteString(k)
		b.WriteByte('=')
		b.WriteString(j.Labels[k])
		e.labels = append(e.labels, unique.Make(label{k, j.Labels[k]}))
	}
	all := strings.Clone(b.String()) // without the room that the builder has left
	if j.Name == e.key {
		e.name = e.key
	} else {
		e.name = all[:len(j.Name)]
	}
	e.description = all[described : described+len(j.Description)]
	e.text = strings.ToLower(all)
}

// clip cuts a text, and makes a copy that holds nothing else in memory.
func clip(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.Clone(s)
}

// shareReason gives one copy of the scheduler's own reasons; people can write
// others.
func shareReason(reason string) string {
	for _, own := range [...]string{
		"", scheduler.ReasonCompleted, scheduler.ReasonDeactivated, scheduler.ReasonExpired, scheduler.ReasonMissed,
	} {
		if reason == own {
			return own
		}
	}
	return clip(reason, maxReason)
}

func (e *entry) active() bool { return e.reason == "" }

func (e *entry) invalid() bool { return e.err != "" }

// next is the first due time after now, in Unix milliseconds, or Never.
func (e *entry) next(now time.Time) int64 {
	if !e.active() {
		return scheduler.Never
	}
	return e.plan.Next(e.key, now.UnixMilli())
}

// show makes of an entry what is shown.
func (e *entry) show(now time.Time) *Job {
	j := &Job{
		Key: e.key, Name: e.name, Service: e.service.Value(),
		State: scheduler.StateActive, Reason: e.reason, Error: e.err, Description: e.description,
		Revision: e.revision, Changed: time.Unix(0, e.changed).UTC(),
	}
	if !e.active() {
		j.State = scheduler.StateInactive
	}
	if !e.invalid() {
		j.Schedule = e.schedule.Value()
	}
	if next := e.next(now); next != scheduler.Never {
		j.Next = time.UnixMilli(next).UTC()
	}
	if len(e.labels) > 0 {
		j.Labels = make(map[string]string, len(e.labels))
		for _, l := range e.labels {
			j.Labels[l.Value().key] = l.Value().value
		}
	}
	for _, m := range e.marks() {
		j.Recent = append(j.Recent, m.show(e.key))
	}
	return j
}

// Job gives one job by its key.
func (x *Index) Job(key string) (*Job, bool) {
	x.mu.Lock()
	e, ok := x.jobs[key]
	x.mu.Unlock()
	if !ok {
		return nil, false
	}
	return e.show(time.Now()), true
}
