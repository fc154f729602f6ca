package web

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// survey gives every service that a job rings, a worker runs, or a stream holds
// something for.
func (h *Handler) survey(ctx context.Context) ([]*workers.ServiceStatus, error) {
	x, err := h.indexed(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]*workers.ServiceStatus{}
	for name, n := range x.Counts().Services {
		all[name] = &workers.ServiceStatus{Name: name, Jobs: n}
	}
	if err := workers.Survey(ctx, h.nc, h.js, h.ns, all); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *workers.ServiceStatus) int { return strings.Compare(a.Name, b.Name) }), nil
}

func (h *Handler) services(w http.ResponseWriter, r *http.Request) error {
	all, err := h.survey(r.Context())
	if err != nil {
		return err
	}
	return ok(w, r, map[string]any{"services": nonNil(all)})
}

func (h *Handler) channels(w http.ResponseWriter, r *http.Request) error {
	all, err := h.o.Channels(r.Context())
	if err != nil {
		return err
	}
	return ok(w, r, map[string]any{"channels": nonNil(all)})
}

func (h *Handler) schedulers(w http.ResponseWriter, r *http.Request) error {
	all, err := scheduler.Ping(r.Context(), h.nc, h.ns)
	if err != nil {
		return err
	}
	return ok(w, r, map[string]any{"schedulers": nonNil(all)})
}

// changePage is a page of changes, the newest first.
type changePage struct {
	Changes []scheduler.Change `json:"changes"`
	Cursor  string             `json:"cursor,omitempty"`
}

func (h *Handler) changes(ctx context.Context, f scheduler.ChangeFilter, n int) (p changePage, err error) {
	changes, err := scheduler.OpenChanges(ctx, h.js, h.ns)
	if err != nil {
		return p, err
	}
	p.Changes = []scheduler.Change{}
	var last uint64
	for c, err := range changes.List(ctx, f) {
		if err != nil {
			return p, err
		}
		if len(p.Changes) == n {
			p.Cursor = strconv.FormatUint(last, 10)
			break
		}
		p.Changes, last = append(p.Changes, c.Change), c.Place
	}
	return p, nil
}

func (h *Handler) listChanges(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	err := only(q, "job", "by", "since", "until", "limit", "cursor")
	if err != nil {
		return err
	}
	f := scheduler.ChangeFilter{Job: q.Get("job"), By: q.Get("by")}
	if f.Since, err = moment(q, "since"); err != nil {
		return err
	}
	if f.Until, err = moment(q, "until"); err != nil {
		return err
	}
	if f.Before, err = place(q); err != nil {
		return err
	}
	n, err := limit(q)
	if err != nil {
		return err
	}
	p, err := h.changes(r.Context(), f, n)
	if err != nil {
		return err
	}
	return ok(w, r, p)
}
