package httpchannel

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
)

// postRing rings a service.
func (c *Channel) postRing(w http.ResponseWriter, r *http.Request, at *desk) {
	c.meter.Received()
	ring, wait, err := c.read(w, r, at)
	if err != nil {
		c.refuse(w, r, err)
		return
	}
	if wait == 0 {
		run, err := at.store(r.Context(), ring)
		if err != nil {
			c.refuse(w, r, err)
			return
		}
		c.meter.Rung()
		accepted(w, run)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(at.closing, cancel)() // it is told where the run is
	run, answer, err := at.ring.RingWait(ctx, *ring, wait)
	switch {
	case run == "":
		c.refuse(w, r, err)
	case err != nil:
		c.meter.Answered()
		p := explain(err)
		p.Run = run
		w.Header().Set("Location", location(run))
		write(w, r, p)
	case answer == nil:
		c.meter.Rung()
		accepted(w, run)
	default:
		c.meter.Answered()
		answered(w, run, answer)
	}
}

// refuse answers a request that rings nothing.
func (c *Channel) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := explain(err)
	if p.Status == http.StatusServiceUnavailable {
		c.meter.Requeued(err) // the client will
	} else {
		c.meter.Refused(err)
	}
	write(w, r, p)
}

// refusal is a request that cannot be right.
type refusal struct{ error }

// Is makes of it what channels.Permanent knows.
func (refusal) Is(target error) bool { return target == workers.ErrRefused }

// read makes a ring of a request.
func (c *Channel) read(w http.ResponseWriter, r *http.Request, at *desk) (*workers.Ring, time.Duration, error) {
	service := r.PathValue("service")
	if err := workers.CheckService(service); err != nil {
		return nil, 0, refusal{err}
	}
	wait, err := preferWait(r.Header)
	if err != nil {
		return nil, 0, refusal{err}
	}
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return nil, 0, refusal{err}
	}
	if c.o.Strict {
		if err := c.known.Check(r.Context(), at.ring, service); err != nil {
			return nil, 0, err
		}
	}
	limit := at.nc.MaxPayload() - 4<<10
	if c.o.MaxBody > 0 {
		limit = min(limit, c.o.MaxBody)
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, 0, bodyError(err)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // all is read; the wait is not part of that
	return &workers.Ring{
		Channel: Name, Service: service, Source: source(service, c.o.Caller(r)), ID: channels.Bound(key),
		Payload: payload, Header: c.passed(r.Header),
	}, wait, nil
}

// bodyError is permanent where the body cannot be read to its end.
func bodyError(err error) error {
	if _, tooLarge := err.(*http.MaxBytesError); tooLarge { //nolint:errorlint // it comes as it is
		return err
	}
	return refusal{err}
}

// source tells one caller's keys for a service from all others. It begins with
// the service, by which a run is found among the records.
func source(service, caller string) string {
	if caller == "" {
		return service
	}
	return channels.Bound(service + "/" + caller)
}

// passed are the headers that go with the payload.
func (c *Channel) passed(h http.Header) nats.Header {
	var all nats.Header
	for _, name := range c.pass {
		if values := h[name]; len(values) > 0 {
			if all == nil {
				all = make(nats.Header)
			}
			all[passedName(name)] = values
		}
	}
	return all
}

// passedName is how a header is written within NATS, whose names have their case:
// that of traces is lower, as everywhere else.
func passedName(name string) string {
	if strings.HasPrefix(name, "Trace") {
		return strings.ToLower(name)
	}
	return name
}

// store rings, and waits until the ring is stored.
func (at *desk) store(ctx context.Context, ring *workers.Ring) (run string, err error) {
	type outcome struct {
		run string
		err error
	}
	stored := make(chan outcome, 1)
	at.pipe.Ring(ctx, *ring, func(run string, err error) { stored <- outcome{run, err} })
	o := <-stored // the pipe gives up in time
	return o.run, o.err
}

// location is where a run is found.
func location(run string) string { return "/runs/" + url.PathEscape(run) }

// accepted says that the ring is stored.
func accepted(w http.ResponseWriter, run string) {
	h := w.Header()
	h.Set("Location", location(run))
	h.Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	b, _ := json.Marshal(map[string]string{"run": run}) // texts alone
	_, _ = w.Write(append(b, '\n'))                     // whoever asked has gone
}

// answered gives the output.
func answered(w http.ResponseWriter, run string, a *workers.Answer) {
	h := w.Header()
	h.Set("Content-Location", location(run))
	h.Set("Preference-Applied", "wait")
	h.Set("X-Content-Type-Options", "nosniff") // what a service gives is no page of ours
	h.Set("Content-Type", "application/octet-stream")
	if a.ContentType != "" {
		h.Set("Content-Type", a.ContentType)
	}
	_, _ = w.Write(a.Output) // whoever asked has gone
}
