package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

const (
	// beat is how often a stream of events shows that it is alive.
	beat = 15 * time.Second
	// slow is how long a client may take for one event.
	slow = 10 * time.Second
)

// event is one of a stream.
type event struct {
	name string
	data any
}

// stream answers with events until the source ends, the client goes or Run ends.
// The source gives them with tell, until that says false.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request, source func(ctx context.Context, tell func(event) bool) error) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // proxies that would collect events
	if r.Method == http.MethodHead {      // its client would wait for the end
		return nil
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // where there is none, nothing cuts us off
	send := func(text string) bool {
		_ = control.SetWriteDeadline(time.Now().Add(slow))
		_, err := fmt.Fprint(w, text)
		return err == nil && control.Flush() == nil
	}
	if !send(": here is what happens\n\n") {
		return nil
	}
	events := make(chan event)
	var sourcing sync.WaitGroup
	var failed error
	sourcing.Go(func() {
		defer close(events)
		failed = source(ctx, func(e event) bool {
			select {
			case events <- e:
				return true
			case <-ctx.Done():
				return false
			}
		})
	})
	defer sourcing.Wait()
	defer cancel()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		var going bool
		select {
		case e, more := <-events:
			if !more {
				last := event{"end", struct{}{}}
				if failed != nil {
					last = event{"error", problemOf(explain(failed))}
				}
				send(last.text())
				return nil
			}
			going = send(e.text())
		case <-tick.C:
			going = send(": still there\n\n")
		case <-h.over:
		}
		if !going {
			return nil
		}
	}
}

func (e event) text() string {
	b, err := json.Marshal(e.data)
	if err != nil {
		b = []byte("{}")
	}
	return "event: " + e.name + "\ndata: " + string(b) + "\n\n" // JSON has no line breaks
}

// runEvents follows a run until its end: see workers.Follow.
func (h *Handler) runEvents(w http.ResponseWriter, r *http.Request) error {
	return h.stream(w, r, func(ctx context.Context, tell func(event) bool) error {
		for e, err := range workers.Follow(ctx, h.nc, h.js, h.ns, name(r, "run")) {
			if err != nil {
				return err
			}
			if !tell(event{e.Type, e}) {
				return nil
			}
		}
		return nil
	})
}

// events tells of changes and runs as they come: "change" with a
// scheduler.Change, "run" with the record of an attempt.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if err := only(q, "job"); err != nil {
		return err
	}
	job := q.Get("job")
	ctx := r.Context()
	changes, err := scheduler.OpenChanges(ctx, h.js, h.ns)
	if err != nil {
		return err
	}
	history, err := workers.OpenHistory(ctx, h.js, h.ns)
	if err != nil {
		return err
	}
	// From here on nothing is missed, which whoever reads our first line relies on.
	lastChange, err := changes.Last(ctx)
	if err != nil {
		return err
	}
	lastRun, err := history.Last(ctx)
	if err != nil {
		return err
	}
	f := workers.RunFilter{}
	if job != "" {
		f.Job = workers.Escape(job)
	}
	return h.stream(w, r, func(ctx context.Context, tell func(event) bool) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		failed := make(chan error, 2)
		var both sync.WaitGroup
		both.Go(func() {
			failed <- changes.Follow(ctx, scheduler.ChangeFilter{Job: job}, lastChange, func(c scheduler.Placed) bool { return tell(event{"change", c.Change}) })
			cancel()
		})
		both.Go(func() {
			failed <- history.Follow(ctx, f, lastRun, func(run *workers.Run) bool { return tell(event{"run", run}) })
			cancel()
		})
		both.Wait()
		return <-failed
	})
}

// liveEvents tells the pages what has changed: "jobs", "runs", and "run" for
// whatever happens to the run that they show.
func (h *Handler) liveEvents(w http.ResponseWriter, r *http.Request) error {
	x, err := h.indexed(r.Context())
	if err != nil {
		return err
	}
	run := r.URL.Query().Get("run")
	return h.stream(w, r, func(ctx context.Context, tell func(event) bool) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var following sync.WaitGroup
		defer following.Wait()
		defer cancel()
		if run != "" {
			following.Go(func() {
				for e, err := range workers.Follow(ctx, h.nc, h.js, h.ns, run) {
					if err != nil || !tell(event{"run", struct {
						Type string `json:"type"`
					}{e.Type}}) {
						return
					}
				}
			})
		}
		for e := range x.Subscribe(ctx) {
			if e.Jobs && !tell(event{"jobs", struct{}{}}) || e.Runs && !tell(event{"runs", struct{}{}}) {
				break
			}
		}
		return nil
	})
}
