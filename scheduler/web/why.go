package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// reasons are what is found out about a time at which a job did or did not run.
type reasons struct {
	Job string    `json:"job"`
	At  time.Time `json:"at"`
	// Answer says it in a sentence; Facts are what it rests on.
	Answer string   `json:"answer"`
	Facts  []string `json:"facts"`
	// Runs are the records of the occurrence.
	Runs []*workers.Run `json:"runs,omitempty"`
}

// near is how far from the time that is asked for an occurrence may be.
const near = time.Minute

func (h *Handler) whyJob(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if err := only(q, "at"); err != nil {
		return err
	}
	at, err := moment(q, "at")
	if err != nil {
		return err
	}
	if at.IsZero() {
		return bad("at", "use one such as 2026-12-07T09:00:00Z", "say the time")
	}
	v, err := h.why(r.Context(), name(r, "job"), at)
	if err != nil {
		return err
	}
	return ok(w, r, v)
}

// why finds out what became of a job at a time.
func (h *Handler) why(ctx context.Context, name string, at time.Time) (*reasons, error) {
	v := &reasons{Job: name, At: at.UTC(), Facts: []string{}}
	s, unsaid, err := h.stateAt(ctx, v, name, at)
	if err != nil {
		return nil, err
	}
	j, err := h.jobs.Get(ctx, name)
	if scheduler.Code(err) == http.StatusNotFound && len(v.Facts) > 0 {
		err := h.recordsAt(ctx, v, name, time.Time{}, at)
		v.Answer = cmp.Or(v.Answer, s, "there is no such job any more")
		return v, err
	}
	if err != nil {
		return nil, err
	}
	if unsaid && j.State == scheduler.StateInactive {
		s = "it is inactive: " + j.Reason
	}
	due, err := occurrence(v, j, at)
	if err != nil {
		return nil, err
	}
	if err := h.recordsAt(ctx, v, name, due, at); err != nil {
		return nil, err
	}
	switch {
	case v.Answer != "":
	case s != "":
		v.Answer = s
	case due.IsZero():
		v.Answer = "its schedule names no time within a minute of that"
	case due.After(time.Now()):
		v.Answer = "that time is to come"
	default:
		v.Answer, err = h.waits(ctx, j, due)
	}
	return v, err
}

// occurrence finds the due time next to the one that is asked for.
func occurrence(v *reasons, j *scheduler.Job, at time.Time) (time.Time, error) {
	anchor := j.Anchor
	if anchor.IsZero() {
		anchor = at
	}
	plan, err := j.Schedule.Compile(anchor.UnixMilli())
	if err != nil {
		v.Facts = append(v.Facts, "its definition is invalid: "+err.Error())
		return time.Time{}, nil //nolint:nilerr // which is the answer
	}
	key := workers.Escape(j.Name)
	if words, err := j.Schedule.Explain(); err == nil {
		v.Facts = append(v.Facts, "as it is defined now, it is due "+words)
	}
	// The nearest one counts: of those before, the last.
	from := at.Add(-near).UnixMilli()
	var best time.Time
	for due, n := plan.Next(key, from-1), 0; due != scheduler.Never && due <= at.Add(near).UnixMilli() && n < 1000; due, n = plan.Next(key, due), n+1 {
		if t := time.UnixMilli(due).UTC(); best.IsZero() || t.Sub(at).Abs() < best.Sub(at).Abs() {
			best = t
		}
	}
	if best.IsZero() {
		if due := plan.Next(key, at.UnixMilli()); due != scheduler.Never {
			v.Facts = append(v.Facts, "after that, it is due at "+time.UnixMilli(due).UTC().Format(time.RFC3339Nano))
		} else {
			v.Facts = append(v.Facts, "after that, it is never due")
		}
	} else {
		v.Facts = append(v.Facts, "it is due at "+best.Format(time.RFC3339Nano))
	}
	return best, nil
}

// stateAt tells from the changes what the job was at the time, and gives the
// answer if it was not to run. unsaid means that no change says whether it was
// active, so that it is still what it was.
func (h *Handler) stateAt(ctx context.Context, v *reasons, name string, at time.Time) (answer string, unsaid bool, err error) {
	changes, err := scheduler.OpenChanges(ctx, h.js, h.ns)
	if err != nil {
		return "", false, err
	}
	var before, after *scheduler.Change
	unsaid, active, settled := true, true, false
	for c, err := range changes.List(ctx, scheduler.ChangeFilter{Job: name}) {
		if err != nil {
			return "", false, err
		}
		one := c.Change
		if one.Time.After(at) {
			after = &one
			if was, said := wasActive(&one); said {
				unsaid, active = false, was
			}
			continue
		}
		if before == nil {
			before = &one
		}
		// An edit says nothing of it: what was before goes on.
		if answer, settled = became(&one); settled || one.Was == 0 {
			break
		}
	}
	if after != nil {
		v.Facts = append(v.Facts, "since then it was changed: "+tell(after))
	}
	if before == nil {
		if after != nil && after.Was == 0 {
			return "it was not there yet: " + tell(after), false, nil
		}
		return "", after == nil, nil
	}
	v.Facts = append(v.Facts, "before that it was changed: "+tell(before))
	if !settled && !active {
		answer = "it was inactive: " + tell(before)
	}
	return answer, unsaid && !settled, nil
}

// became gives the answer that a change makes, if it says what the job became.
func became(c *scheduler.Change) (answer string, said bool) {
	switch c.Verb {
	case "deactivate", scheduler.ReasonCompleted, scheduler.ReasonMissed, scheduler.ReasonExpired:
		return "it was inactive: " + tell(c), true
	case "delete", scheduler.ChangeDeleted:
		return "it was deleted: " + tell(c), true
	case "activate":
		return "", true
	}
	for _, f := range c.Fields {
		if f.Field == "active" && string(f.To) == "false" {
			return "it was inactive: " + tell(c), true
		}
		if f.Field == "active" {
			return "", true
		}
	}
	return "", false
}

// wasActive tells what a job was before a change, if that says so.
func wasActive(c *scheduler.Change) (was, said bool) {
	for _, f := range c.Fields {
		if f.Field == "active" {
			return string(f.From) != "false", true
		}
	}
	switch c.Verb {
	case "deactivate", "activate", "delete", scheduler.ChangeDeleted, scheduler.ReasonCompleted, scheduler.ReasonMissed, scheduler.ReasonExpired:
		return true, true
	}
	return false, false
}

func tell(c *scheduler.Change) string {
	text := c.Verb
	if c.By != "" {
		text += " by " + c.By
	}
	return text + " at " + c.Time.UTC().Format(time.RFC3339Nano)
}

// recordsAt looks for what the records say of the occurrence.
func (h *Handler) recordsAt(ctx context.Context, v *reasons, name string, due, at time.Time) error {
	history, err := workers.OpenHistory(ctx, h.js, h.ns)
	if err != nil {
		return err
	}
	about := due
	if about.IsZero() {
		about = at
	}
	for r, err := range history.Runs(ctx, workers.RunFilter{Job: workers.Escape(name)}) {
		if err != nil {
			return err
		}
		m := r.Missed
		switch {
		case m != nil && !about.Before(m.From) && !about.After(m.To):
			v.Runs = append(v.Runs, r)
			v.Answer = fmt.Sprintf("nobody was there to ring: %d times from %s to %s were missed", m.Count, m.From.Format(time.RFC3339), m.To.Format(time.RFC3339))
		case m == nil && !r.Due.IsZero() && r.Due.Equal(about.Truncate(time.Millisecond)):
			if v.Runs = append(v.Runs, r); len(v.Runs) == 1 {
				v.Answer = "it was rung, and its last attempt has ended: " + r.Outcome
				if r.Error != "" {
					v.Answer += ": " + r.Error
				}
			}
		}
	}
	return nil
}

// waits says what may have become of an occurrence of which there is no record.
func (h *Handler) waits(ctx context.Context, j *scheduler.Job, due time.Time) (string, error) {
	id := fmt.Sprintf("%s@%d", workers.Escape(j.Name), due.UnixMilli())
	active, _, err := workers.Active(ctx, h.nc, h.ns, workers.ActiveFilter{Run: id})
	if err != nil {
		return "", err
	}
	if len(active) > 0 {
		return "it is under way, at the worker " + active[0].Worker, nil
	}
	all := map[string]*workers.ServiceStatus{}
	if err := workers.Survey(ctx, h.nc, h.js, h.ns, all); err != nil {
		return "", err
	}
	s := all[j.Service]
	switch {
	case s != nil && s.Stranded():
		return fmt.Sprintf("it waits for a worker: none serves %s, and %d triggers wait", j.Service, s.Triggers), nil
	case s != nil && s.Triggers > 0:
		return fmt.Sprintf("it may wait for its turn: %d triggers of %s do", s.Triggers, j.Service), nil
	case j.History == "none" || j.History == "failures":
		return "its job keeps no records of such runs (history: " + j.History + ")", nil
	}
	return "nothing is known of it: its record has aged out, or the job was defined otherwise then", nil
}
