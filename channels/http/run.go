package httpchannel

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// lookTime bounds a search for a run.
const lookTime = 3 * time.Second

// getRun shows a run.
func (c *Channel) getRun(w http.ResponseWriter, r *http.Request, at *desk) {
	ctx, cancel := context.WithTimeout(r.Context(), lookTime)
	defer cancel()
	v, err := c.look(ctx, at, r.PathValue("id"))
	switch {
	case err != nil:
		write(w, r, problem{Status: http.StatusServiceUnavailable, Detail: "the run could not be looked for: " + err.Error(), Hint: again})
	case v == nil:
		write(w, r, problem{
			Status: http.StatusNotFound, Detail: "there is no such run",
			Hint: "its record has aged out, or its job keeps none; a trigger of a job that no worker has taken is not looked for",
		})
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(v) // whoever asked has gone
	}
}

// look finds a run; nil where there is none.
func (c *Channel) look(ctx context.Context, at *desk, run string) (*workers.RunView, error) {
	f := workers.RunFilter{Run: run}
	service, ours := serviceOf(run)
	if ours {
		f.Service, f.Jobless = service, true
	}
	v, err := workers.View(ctx, at.nc, at.js, at.ns, f)
	if err != nil || v.State != workers.RunPending {
		return v, err
	}
	if ours {
		there, err := at.ring.Pending(ctx, Name, service, run)
		if there || err != nil {
			return v, err
		}
	}
	return nil, nil
}

// serviceOf is the service of a run that was rung over HTTP: it stands in its id.
func serviceOf(run string) (service string, ours bool) {
	rest, ours := strings.CutPrefix(run, Name+":")
	source, _, ok := strings.Cut(rest, ":")
	if !ours || !ok {
		return "", false
	}
	text, err := workers.Unescape(source)
	if err != nil {
		return "", false
	}
	service, _, _ = strings.Cut(text, "/")
	return service, workers.CheckService(service) == nil && !strings.HasPrefix(service, "sha256-")
}
