package web

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

func letterFilter(q url.Values) (f scheduler.LetterFilter, err error) {
	if err = only(q, "service", "job", "reason", "since", "until", "limit", "cursor"); err != nil {
		return f, err
	}
	f = scheduler.LetterFilter{Service: q.Get("service"), Job: q.Get("job"), Reason: q.Get("reason"), Cursor: q.Get("cursor")}
	if f.Since, err = moment(q, "since"); err != nil {
		return f, err
	}
	if f.Until, err = moment(q, "until"); err != nil {
		return f, err
	}
	f.Limit, err = limit(q)
	return f, err
}

func (h *Handler) listLetters(w http.ResponseWriter, r *http.Request) error {
	f, err := letterFilter(r.URL.Query())
	if err != nil {
		return err
	}
	page, next, err := h.jobs.LettersPage(r.Context(), f)
	if err != nil {
		return err
	}
	total, err := h.jobs.CountLetters(r.Context(), f)
	if err != nil {
		return err
	}
	return ok(w, r, struct {
		Letters []*workers.Letter `json:"letters"`
		Total   int               `json:"total"`
		Cursor  string            `json:"cursor,omitempty"`
	}{nonNil(page), total, next})
}

// letterID reads the id of the letter that the path names.
func letterID(r *http.Request) (uint64, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil || id == 0 {
		return 0, bad("id", "it is a number", "%.40q", name(r, "id"))
	}
	return id, nil
}

func (h *Handler) getLetter(w http.ResponseWriter, r *http.Request) error {
	id, err := letterID(r)
	if err != nil {
		return err
	}
	letter, err := h.jobs.Letter(r.Context(), id)
	if err != nil {
		return err
	}
	return ok(w, r, letter)
}

func (h *Handler) redriveLetter(w http.ResponseWriter, r *http.Request) error {
	id, err := letterID(r)
	if err != nil {
		return err
	}
	run, err := h.jobs.RedriveLetter(r.Context(), id)
	if err != nil {
		return err
	}
	return accepted(w, r, run)
}

func (h *Handler) dropLetter(w http.ResponseWriter, r *http.Request) error {
	id, err := letterID(r)
	if err != nil {
		return err
	}
	if err := h.jobs.DropLetter(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
