package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// outcomes are those that a filter may name.
var outcomes = []string{
	workers.OutcomeOK, workers.OutcomeFailed, workers.OutcomeTimeout, workers.OutcomeDead,
	workers.OutcomeCancelled, workers.OutcomeSkipped, workers.OutcomeMissed, workers.OutcomeExpired,
}

func errOutcome(s string) error {
	return bad("outcome", "use "+strings.Join(outcomes, ", "), "%.40q", s)
}

// runFilter reads which records are wanted.
func runFilter(q url.Values) (f workers.RunFilter, n int, err error) {
	if err = only(q, "job", "run", "service", "outcome", "since", "until", "limit", "cursor"); err != nil {
		return f, 0, err
	}
	f = workers.RunFilter{Run: q.Get("run"), Service: q.Get("service"), Outcome: q.Get("outcome")}
	if j := q.Get("job"); j != "" {
		f.Job = workers.Escape(j)
	}
	if f.Outcome != "" && !slices.Contains(outcomes, f.Outcome) {
		return f, 0, errOutcome(f.Outcome)
	}
	if f.Since, err = moment(q, "since"); err != nil {
		return f, 0, err
	}
	if f.Until, err = moment(q, "until"); err != nil {
		return f, 0, err
	}
	if f.Before, err = place(q); err != nil {
		return f, 0, err
	}
	n, err = limit(q)
	return f, n, err
}

// place reads a cursor that names a place in a stream.
func place(q url.Values) (uint64, error) {
	text := q.Get("cursor")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, bad("cursor", "send the one that the page before has given", "not a cursor")
	}
	return n, nil
}

// runPage is a page of records, the newest first.
type runPage struct {
	Runs   []*workers.Run `json:"runs"`
	Cursor string         `json:"cursor,omitempty"`
}

func (h *Handler) runs(r *http.Request, f workers.RunFilter, n int) (p runPage, err error) {
	history, err := workers.OpenHistory(r.Context(), h.js, h.ns)
	if err != nil {
		return p, err
	}
	p.Runs = []*workers.Run{}
	for run, err := range history.Runs(r.Context(), f) {
		if err != nil {
			return p, err
		}
		if len(p.Runs) == n {
			p.Cursor = strconv.FormatUint(p.Runs[n-1].Place, 10)
			break
		}
		p.Runs = append(p.Runs, run)
	}
	return p, nil
}

func (h *Handler) listRuns(w http.ResponseWriter, r *http.Request) error {
	f, n, err := runFilter(r.URL.Query())
	if err != nil {
		return err
	}
	p, err := h.runs(r, f, n)
	if err != nil {
		return err
	}
	return ok(w, r, p)
}

func (h *Handler) activeRuns(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if err := only(q, "job", "service"); err != nil {
		return err
	}
	f := workers.ActiveFilter{Service: q.Get("service")}
	if j := q.Get("job"); j != "" {
		f.Job = workers.Escape(j)
	}
	all, more, err := workers.Active(r.Context(), h.nc, h.ns, f)
	if err != nil {
		return err
	}
	return ok(w, r, map[string]any{"runs": nonNil(all), "more": more})
}

// view looks for a run.
func (h *Handler) view(r *http.Request, run string) (*workers.RunView, error) {
	v, err := workers.View(r.Context(), h.nc, h.js, h.ns, workers.RunFilter{Run: run})
	if err == nil && v.State == workers.RunPending {
		err = &scheduler.Error{
			Code: http.StatusNotFound, Field: "run", Message: "no worker has or has had this run",
			Hint: "it waits for one, or its record has aged out, or its job keeps none",
		}
	}
	return v, err
}

func (h *Handler) getRun(w http.ResponseWriter, r *http.Request) error {
	v, err := h.view(r, name(r, "run"))
	if err != nil {
		return err
	}
	return ok(w, r, v)
}

func (h *Handler) cancelRun(w http.ResponseWriter, r *http.Request) error {
	c, err := h.jobs.CancelRun(r.Context(), name(r, "run"))
	if err != nil {
		return err
	}
	answer(w, r, http.StatusAccepted, "application/json", c)
	return nil
}
