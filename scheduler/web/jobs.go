package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/scheduler/web/index"
)

// listed is a job as lists show it.
type listed struct {
	Name        string             `json:"name"`
	Service     string             `json:"service,omitempty"`
	Schedule    scheduler.Schedule `json:"schedule"`
	State       string             `json:"state"`
	Reason      string             `json:"reason,omitempty"`
	Error       string             `json:"error,omitempty"`
	Labels      map[string]string  `json:"labels,omitempty"`
	Description string             `json:"description,omitempty"`
	Revision    uint64             `json:"revision"`
	Changed     time.Time          `json:"changed"`
	Next        time.Time          `json:"next,omitzero"`
	Recent      []mark             `json:"recent,omitempty"`
}

// mark is how one of the last runs has ended.
type mark struct {
	Run      string    `json:"run"`
	Outcome  string    `json:"outcome"`
	Finished time.Time `json:"finished"`
	Took     string    `json:"took,omitempty"`
}

func list(j *index.Job) listed {
	l := listed{
		Name: j.Name, Service: j.Service, Schedule: j.Schedule, State: j.State, Reason: j.Reason, Error: j.Error,
		Labels: j.Labels, Description: j.Description, Revision: j.Revision, Changed: j.Changed.UTC(), Next: j.Next,
	}
	for _, m := range j.Recent {
		one := mark{Run: m.Run, Outcome: m.Outcome, Finished: m.Finished.UTC()}
		if m.Took > 0 {
			one.Took = m.Took.String()
		}
		l.Recent = append(l.Recent, one)
	}
	return l
}

func (h *Handler) listJobs(w http.ResponseWriter, r *http.Request) error {
	q, err := jobQuery(r.URL.Query())
	if err != nil {
		return err
	}
	x, err := h.indexed(r.Context())
	if err != nil {
		return err
	}
	p, err := x.Jobs(q)
	if err != nil {
		return err
	}
	out := struct {
		Jobs   []listed `json:"jobs"`
		Total  int      `json:"total"`
		Cursor string   `json:"cursor,omitempty"`
	}{make([]listed, len(p.Jobs)), p.Total, p.Cursor}
	for i, j := range p.Jobs {
		out.Jobs[i] = list(j)
	}
	return ok(w, r, out)
}

// segment writes a name for a path. Of dots alone, a client would make another
// path before it asks.
func segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// job answers with a job, its payload as it is.
func job(w http.ResponseWriter, r *http.Request, status int, j *scheduler.Job) error {
	def, err := j.Definition()
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(j.Revision))
	if status == http.StatusCreated {
		w.Header().Set("Location", Base+"/jobs/"+segment(j.Name))
	}
	answer(w, r, status, "application/json", def)
	return nil
}

func (h *Handler) getJob(w http.ResponseWriter, r *http.Request) error {
	j, err := h.jobs.Get(r.Context(), name(r, "job"))
	if err != nil {
		return err
	}
	if known(r, etag(j.Revision)) {
		w.Header().Set("ETag", etag(j.Revision))
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return job(w, r, http.StatusOK, j)
}

// definition reads a job from a body; the path may name it in its place.
func definition(r *http.Request, name string) (*scheduler.Job, error) {
	data, err := body(r)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return scheduler.ParseJob(data)
	}
	var named struct {
		Name *string `json:"name"`
	}
	if json.Unmarshal(data, &named) == nil && named.Name == nil {
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		if rest := bytes.TrimLeft(data, " \t\r\n"); len(rest) > 0 && rest[0] == '{' {
			comma := ","
			if rest = bytes.TrimLeft(rest[1:], " \t\r\n"); len(rest) > 0 && rest[0] == '}' {
				comma = ""
			}
			data = append([]byte(`{"name":`+string(quoted)+comma), rest...)
		}
	}
	j, err := scheduler.ParseJob(data)
	if err == nil && j.Name != name {
		err = bad("name", "leave it out", "the body is about %.60q, the path about %.60q", j.Name, name)
	}
	return j, err
}

func (h *Handler) createJob(w http.ResponseWriter, r *http.Request) error {
	return h.define(w, r, "", http.StatusCreated, (*scheduler.Client).Create)
}

func (h *Handler) putJob(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("If-None-Match") == "*" {
		return h.define(w, r, name(r, "job"), http.StatusCreated, (*scheduler.Client).Create)
	}
	if r.Header.Get("If-Match") != "*" {
		return h.define(w, r, name(r, "job"), http.StatusOK, (*scheduler.Client).Put)
	}
	j, err := h.jobs.Get(r.Context(), name(r, "job"))
	if scheduler.Code(err) == http.StatusNotFound {
		return &scheduler.Error{Code: http.StatusPreconditionFailed, Field: "name", Message: "there is no such job", Hint: "leave out If-Match to make it"}
	}
	if err != nil {
		return err
	}
	r.Header.Set("If-Match", etag(j.Revision)) // so that it is still there
	return h.define(w, r, name(r, "job"), http.StatusOK, (*scheduler.Client).Put)
}

func (h *Handler) define(w http.ResponseWriter, r *http.Request, name string, status int,
	do func(*scheduler.Client, context.Context, *scheduler.Job) (*scheduler.Job, error)) error {
	c, err := h.as(r)
	if err != nil {
		return err
	}
	j, err := definition(r, name)
	if err != nil {
		return err
	}
	if j, err = do(c, r.Context(), j); err != nil {
		return err
	}
	return job(w, r, status, j)
}

func (h *Handler) updateJob(w http.ResponseWriter, r *http.Request) error {
	c, err := h.as(r)
	if err != nil {
		return err
	}
	data, err := body(r)
	if err != nil {
		return err
	}
	var fields map[string]json.RawMessage // which keeps the bytes of a payload
	if err := json.Unmarshal(data, &fields); err != nil {
		return bad("", "send an object with the fields to change; null removes one", "the body: %v", err)
	}
	if fields == nil {
		return bad("", "send an object with the fields to change; null removes one", "the body is null")
	}
	if sent, there := fields["name"]; there {
		var same string
		if json.Unmarshal(sent, &same) != nil || same != name(r, "job") {
			return bad("name", "leave it out; make another job and delete this one", "a job cannot be renamed")
		}
	}
	j, err := c.Update(r.Context(), name(r, "job"), 0, fields)
	if err != nil {
		return err
	}
	return job(w, r, http.StatusOK, j)
}

func (h *Handler) deleteJob(w http.ResponseWriter, r *http.Request) error {
	c, err := h.as(r)
	if err != nil {
		return err
	}
	if err := c.Delete(r.Context(), name(r, "job")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *Handler) activateJob(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Schedule *schedule `json:"schedule"`
	}
	if err := arguments(r, &q); err != nil {
		return err
	}
	return h.changed(w, r, func(ctx context.Context, c *scheduler.Client) (*scheduler.Job, error) {
		return c.Activate(ctx, name(r, "job"), (*scheduler.Schedule)(q.Schedule))
	})
}

func (h *Handler) deactivateJob(w http.ResponseWriter, r *http.Request) error {
	return h.changed(w, r, func(ctx context.Context, c *scheduler.Client) (*scheduler.Job, error) {
		return c.Deactivate(ctx, name(r, "job"))
	})
}

func (h *Handler) restoreJob(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Revision uint64 `json:"revision"`
	}
	if err := arguments(r, &q); err != nil {
		return err
	}
	if q.Revision == 0 {
		return bad("revision", `send {"revision": 12}; history shows those that are kept`, "it is missing")
	}
	return h.changed(w, r, func(ctx context.Context, c *scheduler.Client) (*scheduler.Job, error) {
		j, err := c.Restore(ctx, name(r, "job"), q.Revision)
		if e, ok := errors.AsType[*scheduler.Error](err); ok && e.Field == "to" {
			e.Field = "revision" // as it is called here
		}
		return j, err
	})
}

func (h *Handler) changed(w http.ResponseWriter, r *http.Request, do func(context.Context, *scheduler.Client) (*scheduler.Job, error)) error {
	c, err := h.as(r)
	if err != nil {
		return err
	}
	j, err := do(r.Context(), c)
	if err != nil {
		return err
	}
	return job(w, r, http.StatusOK, j)
}

// rung is the answer where a run was asked for.
type rung struct {
	Run string `json:"run"`
}

func (h *Handler) runJob(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Payload json.RawMessage `json:"payload"`
	}
	if err := arguments(r, &q); err != nil {
		return err
	}
	c, err := h.as(r)
	if err != nil {
		return err
	}
	run, err := c.Run(r.Context(), name(r, "job"), q.Payload)
	if err != nil {
		return err
	}
	return accepted(w, r, run)
}

func accepted(w http.ResponseWriter, r *http.Request, run string) error {
	w.Header().Set("Location", Base+"/runs/"+segment(run))
	answer(w, r, http.StatusAccepted, "application/json", rung{run})
	return nil
}

func (h *Handler) nextOfJob(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if err := only(q, "count", "after"); err != nil {
		return err
	}
	after, err := moment(q, "after")
	if err != nil {
		return err
	}
	count := scheduler.NextCount
	if text := q.Get("count"); text != "" {
		if count, err = strconv.Atoi(text); err != nil {
			return bad("count", fmt.Sprintf("use 1 to %d", scheduler.MaxNextCount), "%.20q", text)
		}
	}
	next, err := h.jobs.Next(r.Context(), name(r, "job"), count, after)
	if err != nil {
		return err
	}
	return ok(w, r, map[string][]time.Time{"next": nonNil(next)})
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (h *Handler) historyOfJob(w http.ResponseWriter, r *http.Request) error {
	all, err := h.jobs.History(r.Context(), name(r, "job"))
	if err != nil {
		return err
	}
	return ok(w, r, map[string][]scheduler.Revision{"revisions": nonNil(all)})
}

func (h *Handler) counts(w http.ResponseWriter, r *http.Request) error {
	x, err := h.indexed(r.Context())
	if err != nil {
		return err
	}
	c := x.Counts()
	return ok(w, r, map[string]any{
		"total": c.Total, "active": c.Active, "inactive": c.Inactive, "invalid": c.Invalid, "reasons": c.Reasons, "services": c.Services,
	})
}
