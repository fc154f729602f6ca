package web

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/scheduler/web/index"
	"github.com/bellhop-run/bellhop/workers"
)

// fleet is what runs where. It is asked for with messages to everybody, so an
// answer serves all pages for a moment.
type fleet struct {
	Schedulers []scheduler.Peer
	Services   []*workers.ServiceStatus
	Channels   []Channel
	// Trouble says what could not be asked.
	Trouble []string
}

// Leader is who leads; empty if nobody has answered so.
func (f *fleet) Leader() string {
	for _, s := range f.Schedulers {
		if s.Leading {
			return s.Name
		}
	}
	return ""
}

// Standbys are the others.
func (f *fleet) Standbys() (all []scheduler.Peer) {
	for _, s := range f.Schedulers {
		if !s.Leading {
			all = append(all, s)
		}
	}
	return all
}

// Stranded are the services for which something waits that nobody takes.
func (f *fleet) Stranded() (all []*workers.ServiceStatus) {
	for _, s := range f.Services {
		if s.Stranded() {
			all = append(all, s)
		}
	}
	return all
}

// fleetAge is how old an answer may be.
const fleetAge = 2 * time.Second

// lastFleet keeps the last answer.
type lastFleet struct {
	mu sync.Mutex
	at time.Time
	f  *fleet
}

// fleet asks who is there.
func (h *Handler) fleet(ctx context.Context) *fleet {
	l := &h.lastFleet
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil && time.Since(l.at) < fleetAge {
		return l.f
	}
	f := &fleet{}
	var mu sync.Mutex
	var all sync.WaitGroup
	ask := func(what string, do func() error) {
		all.Go(func() {
			if err := do(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				f.Trouble = append(f.Trouble, what+": "+err.Error())
			}
		})
	}
	ask("schedulers", func() (err error) { f.Schedulers, err = scheduler.Ping(ctx, h.nc, h.ns); return err })
	ask("services", func() (err error) { f.Services, err = h.survey(ctx); return err })
	ask("channels", func() (err error) { f.Channels, err = h.o.Channels(ctx); return err })
	all.Wait()
	if ctx.Err() == nil {
		l.f, l.at = f, time.Now()
	}
	return f
}

// soon is how far the overview looks ahead, hour how far back.
const (
	soon = 10 * time.Minute
	hour = 60
)

func (h *Handler) overview(r *http.Request, _ *page) (any, error) {
	x, err := h.indexed(r.Context())
	if err != nil {
		return nil, err
	}
	d := struct {
		Counts   index.Counts
		Upcoming []*index.Job
		Chart    chart
		Runs     int
		Failures int
		P50, P99 time.Duration
		Measured int
		Since    time.Time
		Fleet    *fleet
		Letters  int
	}{Counts: x.Counts(), Upcoming: x.Upcoming(10, soon), Fleet: h.fleet(r.Context())}
	minutes := x.Minutes(hour)
	d.Chart = columns(minutes, h.o.Prefix(r)+Pages+"/runs", time.Minute)
	for _, m := range minutes {
		d.Runs, d.Failures = d.Runs+m.Runs, d.Failures+m.Failures
	}
	if len(minutes) > 0 {
		d.Since = minutes[0].From
	}
	d.P50, d.P99, d.Measured = x.Lateness()
	letters, err := workers.OpenLetters(r.Context(), h.js, h.ns)
	if err == nil {
		d.Letters, err = letters.Count(r.Context(), workers.LetterFilter{})
	}
	return d, err
}

// chart is a row of columns, drawn to a width of 600 and a height of 120.
type chart struct {
	Columns []column
	Most    int
	Words   string // what it shows, for those who do not see it
}

// column is one of a chart: all of it, and the failed part at its foot.
type column struct {
	X, W, Y, H, BadY, BadH float64
	Label, Link            string
	Tick                   string // below it, where there is one
}

const (
	chartWidth  = 600.0
	chartHeight = 120.0
)

// columns draws minutes or hours, each a link to its runs.
func columns(all []index.Minute, base string, step time.Duration) chart {
	c := chart{Most: 1}
	runs, failures := 0, 0
	for _, m := range all {
		c.Most = max(c.Most, m.Runs)
		runs, failures = runs+m.Runs, failures+m.Failures
	}
	w := chartWidth / float64(max(len(all), 1))
	for i, m := range all {
		scale := chartHeight / float64(c.Most)
		col := column{X: float64(i)*w + w*.1, W: w * .8, H: float64(m.Runs) * scale, BadH: float64(m.Failures) * scale}
		col.Y, col.BadY = chartHeight-col.H, chartHeight-col.BadH
		col.Label = m.From.UTC().Format("15:04") + ": " + plural(m.Runs, "run") + ", " + plural(m.Failures, "failure")
		q := url.Values{"since": {m.From.UTC().Format(time.RFC3339)}, "until": {m.From.Add(step).UTC().Format(time.RFC3339)}}
		col.Link = base + "?" + q.Encode()
		if i%10 == 0 && step == time.Minute || i%4 == 0 && step != time.Minute {
			col.Tick = m.From.UTC().Format("15:04")
		}
		c.Columns = append(c.Columns, col)
	}
	c.Words = plural(runs, "run") + ", " + plural(failures, "failure")
	return c
}
