package httpchannel

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

const (
	// beat is how often a stream of events shows that it is alive.
	beat = 15 * time.Second
	// slow is how long a client may take for one event.
	slow = 10 * time.Second
)

// getEvents follows a run: an event for each line that its service logs, for its
// progress and for the end of each attempt, until the run has ended. Their data
// is a workers.Event. Whoever connects again gets all of it again: the lines have
// numbers.
func (c *Channel) getEvents(w http.ResponseWriter, r *http.Request, at *desk) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(at.closing, cancel)()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies that would collect events
	if r.Method == http.MethodHead {
		return
	}
	s := stream{w: w, control: http.NewResponseController(w)}
	_ = s.control.SetReadDeadline(time.Time{})
	if s.send(": "+r.PathValue("id")+" is followed\n\n") != nil {
		return
	}
	events := make(chan workers.Event)
	failed := make(chan error, 1)
	go func() { // it ends with ctx, which is over when we return
		defer close(events)
		for e, err := range workers.Follow(ctx, at.nc, at.js, at.ns, r.PathValue("id")) {
			if err != nil {
				failed <- err
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		cancel()
		for range events { // until it has ended
		}
	}()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		var err error
		select {
		case e, more := <-events:
			if !more {
				s.end(ctx, failed)
				return
			}
			err = s.event(e.Type, e)
		case <-tick.C:
			err = s.send(": still there\n\n")
		}
		if err != nil {
			return // the client has gone
		}
	}
}

// stream is a response that goes on.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *stream) send(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(slow)) // where there is none, the server's own holds
	if _, err := fmt.Fprint(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}

func (s *stream) event(name string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.send("event: " + name + "\ndata: " + string(b) + "\n\n") // JSON has no line breaks
}

// end says why nothing follows: the run has ended, or something has failed.
func (s *stream) end(ctx context.Context, failed <-chan error) {
	select {
	case err := <-failed:
		if ctx.Err() == nil {
			_ = s.event("error", explain(err)) // the last that is sent
		}
	default:
		_ = s.event("end", struct{}{})
	}
}
