package web

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/bellhop-run/bellhop/scheduler"
)

// maxBulk is how many jobs one request may change.
const maxBulk = 1000

// done is what became of one job of many.
type done struct {
	Name  string   `json:"name"`
	OK    bool     `json:"ok"`
	Run   string   `json:"run,omitempty"`
	Error *problem `json:"error,omitempty"`
}

// bulk does one thing to many jobs, each for itself.
func (h *Handler) bulk(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Action string   `json:"action"`
		Names  []string `json:"names"`
	}
	if err := arguments(r, &q); err != nil {
		return err
	}
	all, err := h.each(r, q.Action, q.Names, "http")
	if err != nil {
		return err
	}
	return ok(w, r, map[string][]done{"results": all})
}

func (h *Handler) each(r *http.Request, action string, names []string, via string) ([]done, error) {
	caller := h.o.Caller(r)
	c := h.jobs.With(scheduler.Terms{By: caller.Name, Via: via})
	if len(names) > maxBulk {
		return nil, bad("names", fmt.Sprintf("at most %d", maxBulk), "%d jobs", len(names))
	}
	var do func(ctx context.Context, name string) (run string, err error)
	switch action {
	case "activate":
		do = func(ctx context.Context, name string) (string, error) {
			_, err := c.Activate(ctx, name, nil)
			return "", err
		}
	case "deactivate":
		do = func(ctx context.Context, name string) (string, error) {
			_, err := c.Deactivate(ctx, name)
			return "", err
		}
	case "run":
		do = func(ctx context.Context, name string) (string, error) { return c.Run(ctx, name, nil) }
	case "delete":
		if caller.Role < Admin {
			return nil, &scheduler.Error{Code: http.StatusForbidden, Message: "an operator may not delete", Hint: "it takes the role admin"}
		}
		do = func(ctx context.Context, name string) (string, error) { return "", c.Delete(ctx, name) }
	default:
		return nil, bad("action", "use activate, deactivate, run or delete", "%.40q", action)
	}
	return inParallel(names, func(name string) done {
		run, err := do(r.Context(), name)
		d := done{Name: name, OK: err == nil, Run: run}
		if err != nil {
			d.Error = problemOf(explain(err))
		}
		return d
	}), nil
}

// abreast is how many changes of one request are under way at once.
const abreast = 16

// inParallel does something for each name, and gives the results in their order.
func inParallel(names []string, do func(string) done) []done {
	all := make([]done, len(names))
	places := make(chan struct{}, abreast)
	var wg sync.WaitGroup
	for i, name := range names {
		places <- struct{}{}
		wg.Go(func() {
			all[i] = do(name)
			<-places
		})
	}
	wg.Wait()
	return all
}

// apply makes, replaces and deletes many jobs, all or none.
func (h *Handler) apply(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get("If-Match") != "" {
		return bad("If-Match", "leave it out", "many jobs have no revision in common")
	}
	data, err := body(r)
	if err != nil {
		return err
	}
	b, err := scheduler.ParseBatch(data)
	if err != nil {
		return err
	}
	c, err := h.as(r)
	if err != nil {
		return err
	}
	done, err := c.Apply(r.Context(), b)
	if err != nil {
		return err
	}
	return ok(w, r, map[string][]scheduler.Applied{"results": nonNil(done)})
}
