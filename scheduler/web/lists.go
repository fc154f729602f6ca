package web

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/scheduler/web/index"
	"github.com/bellhop-run/bellhop/workers"
)

// plural counts in words.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// asked are the parameters of a page without those that only the page means.
// Empty ones come from forms, and mean nothing.
func asked(r *http.Request) url.Values {
	q := r.URL.Query()
	q.Del("told")
	for name := range q {
		if q.Get(name) == "" {
			q.Del(name)
		}
	}
	return q
}

// with is a query with one parameter changed, and begun at its first page.
func with(q url.Values, name, value string) string {
	c := maps.Clone(q)
	c.Del("cursor")
	c.Del(name)
	if value != "" {
		c.Set(name, value)
	}
	return "?" + c.Encode()
}

// filtered is what every page with filters has.
type filtered struct {
	url.Values
	Cursor string // of the next page
}

// V is the value of a filter.
func (f filtered) V(name string) string { return f.Get(name) }

// Next is the query of the next page, First that of the first one.
func (f filtered) Next() string  { return with(f.Values, "cursor", f.Cursor) }
func (f filtered) First() string { return with(f.Values, "cursor", "") }

// By is the query in the order of a column, the other way round if it is that
// already.
func (f filtered) By(order string) string {
	if f.Get("order") == order {
		order = "-" + order
	}
	return with(f.Values, "order", order)
}

func (h *Handler) jobsPage(r *http.Request, _ *page) (any, error) {
	values := asked(r)
	q, err := jobQuery(values)
	if err != nil {
		return nil, err
	}
	x, err := h.indexed(r.Context())
	if err != nil {
		return nil, err
	}
	p, err := x.Jobs(q)
	if err != nil {
		return nil, err
	}
	return struct {
		filtered
		Jobs   []*index.Job
		Total  int
		Counts index.Counts
	}{filtered{values, p.Cursor}, p.Jobs, p.Total, x.Counts()}, nil
}

func (h *Handler) runsPage(r *http.Request, _ *page) (any, error) {
	values := asked(r)
	underWay := values.Get("active") != ""
	values.Del("active")
	f, n, err := runFilter(values)
	if err != nil {
		return nil, err
	}
	d := struct {
		filtered
		Runs     []*workers.Run
		Active   []workers.ActiveRun
		More     int
		Outcomes []string
	}{Outcomes: outcomes}
	if f.Before == 0 {
		active := workers.ActiveFilter{Job: f.Job, Service: f.Service}
		if d.Active, d.More, err = workers.Active(r.Context(), h.nc, h.ns, active); err != nil {
			return nil, err
		}
	}
	if !underWay {
		p, err := h.runs(r, f, n)
		if err != nil {
			return nil, err
		}
		d.Runs, d.Cursor = p.Runs, p.Cursor
	}
	d.Values = values
	return d, nil
}

func (h *Handler) deadPage(r *http.Request, _ *page) (any, error) {
	values := asked(r)
	f, err := letterFilter(values)
	if err != nil {
		return nil, err
	}
	letters, next, err := h.jobs.LettersPage(r.Context(), f)
	if err != nil {
		return nil, err
	}
	total, err := h.jobs.CountLetters(r.Context(), f)
	return struct {
		filtered
		Letters []*workers.Letter
		Total   int
	}{filtered{values, next}, letters, total}, err
}

func (h *Handler) letterPage(r *http.Request, p *page) (any, error) {
	id, err := strconv.ParseUint(r.URL.Query().Get("id"), 10, 64)
	if err != nil {
		return nil, bad("id", "", "%.40q is no id", r.URL.Query().Get("id"))
	}
	letter, err := h.jobs.Letter(r.Context(), id)
	if err != nil {
		return nil, err
	}
	p.Title = "Dead letter " + strconv.FormatUint(id, 10)
	return struct {
		*workers.Letter
		Shown *contents
	}{letter, shown(r, letter.Bytes())}, nil
}

func (h *Handler) servicesPage(r *http.Request, _ *page) (any, error) {
	f := h.fleet(r.Context())
	active, more, err := workers.Active(r.Context(), h.nc, h.ns, workers.ActiveFilter{})
	busy := map[string]int{}
	for _, a := range active {
		busy[a.Worker]++
	}
	return struct {
		*fleet
		Busy map[string]int // runs at each worker
		More int
	}{f, busy, more}, err
}

func (h *Handler) channelsPage(r *http.Request, _ *page) (any, error) {
	return h.fleet(r.Context()), nil
}

func (h *Handler) changesPage(r *http.Request, _ *page) (any, error) {
	values := asked(r)
	if err := only(values, "job", "by", "cursor"); err != nil {
		return nil, err
	}
	before, err := place(values)
	if err != nil {
		return nil, err
	}
	p, err := h.changes(r.Context(), scheduler.ChangeFilter{Job: values.Get("job"), By: values.Get("by"), Before: before}, scheduler.ListLimit)
	return struct {
		filtered
		Changes []scheduler.Change
	}{filtered{values, p.Cursor}, p.Changes}, err
}

// day is how far the timeline looks, in hours.
const day = 24

// slotBar is an hour of the timeline.
type slotBar struct {
	index.Slot
	Width float64 // of 100
}

func (h *Handler) timelinePage(r *http.Request, _ *page) (any, error) {
	x, err := h.indexed(r.Context())
	if err != nil {
		return nil, err
	}
	from := time.Now().UTC().Truncate(time.Hour)
	slots, err := x.Due(from, from.Add(day*time.Hour), day)
	if err != nil {
		return nil, err
	}
	most := 1
	for _, s := range slots {
		most = max(most, s.Count)
	}
	d := struct {
		Slots []slotBar
		Chart chart
	}{Chart: columns(x.Hours(), h.o.Prefix(r)+Pages+"/runs", time.Hour)}
	for _, s := range slots {
		d.Slots = append(d.Slots, slotBar{s, 100 * float64(s.Count) / float64(most)})
	}
	return d, nil
}
