package web

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// contents are a payload, once somebody has asked to see it.
type contents struct {
	Size int
	As   string // text or hex; empty while nobody has asked
	Text string
	Cut  bool
}

// maxShown is how much of a payload a page shows, in bytes.
const maxShown = 64 << 10

// shown prepares a payload for a page, which must ask for it with payload=text or
// payload=hex.
func shown(r *http.Request, payload []byte) *contents {
	c := &contents{Size: len(payload)}
	if len(payload) > maxShown {
		payload, c.Cut = payload[:maxShown], true
	}
	switch as := r.URL.Query().Get("payload"); {
	case as == "":
		return c
	case as == "text" && utf8.Valid(payload):
		c.As, c.Text = "text", string(payload)
	default:
		c.As, c.Text = "hex", hex.Dump(payload)
	}
	return c
}

// edit is a revision and what it has changed.
type edit struct {
	scheduler.Revision
	Fields []scheduler.FieldChange
	First  bool // nothing older is kept
}

// edits compares each revision with the one before.
func edits(all []scheduler.Revision) []edit {
	out := make([]edit, len(all))
	for i, r := range all {
		out[i] = edit{Revision: r, First: i == len(all)-1}
		if out[i].First {
			continue
		}
		before := all[i+1]
		out[i].Fields = scheduler.Differences(before.Definition, r.Definition)
		if before.PayloadHash != r.PayloadHash {
			out[i].Fields = append(out[i].Fields, scheduler.FieldChange{Field: "payload", Omitted: true})
		}
	}
	return out
}

// Pretty is the definition for people.
func (e edit) Pretty() string {
	var b bytes.Buffer
	if json.Indent(&b, e.Definition, "", "  ") != nil {
		return string(e.Definition)
	}
	return b.String()
}

// recent is how many of a job's runs its page shows.
const recent = 50

func (h *Handler) jobPage(r *http.Request, p *page) (any, error) {
	ctx, q := r.Context(), r.URL.Query()
	name := q.Get("name")
	j, err := h.jobs.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	p.Title = j.Name
	d := struct {
		Job      *scheduler.Job
		Words    string
		Next     []time.Time
		Zone     preview
		Clock    []scheduler.ClockChange
		Runs     []*workers.Run
		Active   []workers.ActiveRun
		Chart    chart
		Edits    []edit
		Changes  []scheduler.Change
		Shown    *contents
		Why      *reasons
		At       string
		Activate form
	}{Job: j, Zone: preview{Zone: zoneOf(&j.Schedule)}, At: q.Get("at"), Activate: formOf(fill(j))}
	if j.Error == "" {
		if d.Words, err = j.Schedule.Explain(); err != nil {
			return nil, err
		}
		if d.Next, err = h.jobs.Next(ctx, name, 10, time.Time{}); err != nil {
			return nil, err
		}
		if n := len(d.Next); n > 0 {
			if d.Clock, err = j.Schedule.ClockChanges(time.Now(), d.Next[n-1].Add(time.Second)); err != nil {
				return nil, err
			}
		}
		payload, err := j.Bytes()
		if err != nil {
			return nil, err
		}
		d.Shown = shown(r, payload)
	}
	key := workers.Escape(name)
	runs, err := h.runs(r, workers.RunFilter{Job: key}, recent)
	if err != nil {
		return nil, err
	}
	d.Runs, d.Chart = runs.Runs, durations(runs.Runs, p.Base+Pages+"/run")
	if d.Active, _, err = workers.Active(ctx, h.nc, h.ns, workers.ActiveFilter{Job: key}); err != nil {
		return nil, err
	}
	revisions, err := h.jobs.History(ctx, name)
	if err != nil {
		return nil, err
	}
	d.Edits = edits(revisions)
	changes, err := h.changes(ctx, scheduler.ChangeFilter{Job: name}, 10)
	if err != nil {
		return nil, err
	}
	d.Changes = changes.Changes
	if d.At != "" {
		at, err := time.Parse(time.RFC3339, d.At)
		if err != nil {
			return nil, bad("at", "use one such as 2026-12-07T09:00:00Z", "%.40q is no time", d.At)
		}
		if d.Why, err = h.why(ctx, name, at); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// durations draws how long runs took, the oldest first, failures in red.
func durations(runs []*workers.Run, base string) chart {
	c := chart{Words: "how long the last " + plural(len(runs), "attempt") + " took"}
	longest := time.Millisecond
	for _, r := range runs {
		longest = max(longest, r.Duration())
	}
	c.Most = int(longest.Milliseconds())
	w := chartWidth / float64(max(len(runs), 20))
	for i, r := range slices.Backward(runs) {
		n := len(runs) - 1 - i
		height := max(2, chartHeight*float64(r.Duration())/float64(longest))
		col := column{X: float64(n)*w + w*.1, W: w * .8, Y: chartHeight - height, H: height, BadY: chartHeight}
		if tone(r.Outcome) != "good" {
			col.BadY, col.BadH = col.Y, height
		}
		col.Label = r.Finished.UTC().Format("15:04:05") + ": " + r.Outcome + ", " + short(r.Duration())
		col.Link = base + "?id=" + url.QueryEscape(r.Run)
		c.Columns = append(c.Columns, col)
	}
	return c
}

// attempt is a record with its place in time, of the whole run.
type attempt struct {
	*workers.Run
	WaitX, WaitW, X, W float64 // of 100
}

func (h *Handler) runPage(r *http.Request, p *page) (any, error) {
	q := r.URL.Query()
	id := q.Get("id")
	p.Title, p.Run = "Run "+id, id
	v, err := workers.View(r.Context(), h.nc, h.js, h.ns, workers.RunFilter{Run: id})
	if err != nil {
		return nil, err
	}
	d := struct {
		*workers.RunView
		ID       string
		Attempts []attempt
		Service  string
		Job      string
		Due      time.Time
		Ended    bool
		Asked    string
		Shown    *contents
		Gone     string
	}{RunView: v, ID: id, Attempts: bars(v.Attempts), Ended: v.State == workers.RunEnded, Asked: q.Get("payload")}
	switch {
	case len(v.Attempts) > 0:
		d.Service, d.Job, d.Due = v.Attempts[0].Service, v.Attempts[0].Job, v.Attempts[0].Due
	case len(v.Active) > 0:
		d.Service, d.Job, d.Due = v.Active[0].Service, v.Active[0].Job, v.Active[0].Due
	}
	if d.Asked != "" && len(v.Attempts) > 0 {
		payload, err := workers.Payload(r.Context(), h.js, h.ns, v.Attempts[0])
		switch {
		case errors.Is(err, workers.ErrNoPayload):
			d.Gone = err.Error()
		case err != nil:
			return nil, err
		default:
			d.Shown = shown(r, payload)
		}
	}
	return d, nil
}

// bars lays attempts out between the run's due time and its end.
func bars(runs []*workers.Run) []attempt {
	all := make([]attempt, len(runs))
	var from, to time.Time
	for _, r := range runs {
		for _, t := range []time.Time{r.Due, r.Started, r.Finished} {
			if !t.IsZero() && (from.IsZero() || t.Before(from)) {
				from = t
			}
			if t.After(to) {
				to = t
			}
		}
	}
	whole := max(float64(to.Sub(from)), 1)
	at := func(t time.Time) float64 { return 100 * float64(t.Sub(from)) / whole }
	wait := from
	for i, r := range runs {
		all[i].Run = r
		if r.Started.IsZero() {
			continue
		}
		all[i].WaitX, all[i].WaitW = at(wait), max(0, at(r.Started)-at(wait))
		all[i].X, all[i].W = at(r.Started), max(.5, at(r.Finished)-at(r.Started))
		wait = r.Finished
	}
	return all
}
