package httpchannel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Name is the Ring.Channel of what is rung over HTTP.
const Name = "http"

// MaxWait is the longest that Prefer: wait may ask for.
const MaxWait = time.Minute

// Options of a Channel; zero fields mean the defaults.
type Options struct {
	// MaxBody bounds a payload, in bytes: what NATS takes, its max_payload less
	// 4 KiB, which is the most in any case.
	MaxBody int64
	// MaxInFlight is how many requests are under way at most, those that wait
	// for an output or follow a run among them: 1,024.
	MaxInFlight int
	// Strict refuses services that no worker has ever run.
	Strict bool
	// Pass names other headers that go with the payload.
	Pass []string
	// Caller names who has sent a request, empty if nobody knows: keys of
	// different callers are different keys.
	Caller func(*http.Request) string
	// Logger is told what a person should know, never a payload: nobody.
	Logger *slog.Logger
}

// Channel is an http.Handler, and a channels.Channel: before Run and after its
// end it answers 503.
type Channel struct {
	o     Options
	meter *channels.Meter
	known channels.Directory
	mux   *http.ServeMux
	pass  []string

	mu       sync.Mutex
	at       *desk // nil: closed
	inFlight int
	idle     chan struct{} // closed when nothing is under way after the end
}

// desk is what requests are served with while the channel runs.
type desk struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	ns      workers.Namespace
	ring    *workers.Dispatcher
	pipe    *workers.Pipe
	closing context.Context // its end is the channel's
}

// New makes a channel.
func New(o Options) *Channel {
	o.MaxInFlight = max(cmp.Or(o.MaxInFlight, 1024), 1)
	if o.Caller == nil {
		o.Caller = func(*http.Request) string { return "" }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Channel{o: o, meter: channels.NewMeter(Name, Name), mux: http.NewServeMux()}
	for _, name := range append([]string{"Content-Type", "Content-Encoding", "Content-Language", "Traceparent", "Tracestate"}, o.Pass...) {
		c.pass = append(c.pass, http.CanonicalHeaderKey(name))
	}
	c.handle("/services/{service}", http.MethodPost, c.postRing)
	c.handle("/runs/{id}", http.MethodGet, c.getRun)
	c.handle("/runs/{id}/events", http.MethodGet, c.getEvents)
	c.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		write(w, r, problem{Status: http.StatusNotFound, Detail: "there is nothing at this path", Hint: "POST /services/{service} rings, GET /runs/{id} shows a run"})
	})
	return c
}

// Meter counts what the channel does.
func (c *Channel) Meter() *channels.Meter { return c.meter }

// Run serves until ctx is done. Then whoever waits for an output is told where to
// find it, and Run returns when every request is answered.
func (c *Channel) Run(ctx context.Context, d *workers.Dispatcher) error {
	pipe, err := d.NewPipe()
	if err != nil {
		return fmt.Errorf("run HTTP channel: %w", err)
	}
	defer pipe.Close()
	c.mu.Lock()
	if c.at != nil {
		c.mu.Unlock()
		return errors.New("run HTTP channel: it runs already")
	}
	c.at, c.idle = &desk{d.JetStream().Conn(), d.JetStream(), d.Namespace(), d, pipe, ctx}, make(chan struct{})
	c.mu.Unlock()
	c.meter.Up()
	<-ctx.Done()
	c.meter.Down(nil)
	c.mu.Lock()
	c.at = nil
	if c.inFlight == 0 {
		close(c.idle)
	}
	idle := c.idle
	c.mu.Unlock()
	<-idle
	return nil
}

// enter takes a place; nil where there is none, or the channel is closed.
func (c *Channel) enter() (at *desk, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.at == nil:
		return nil, errClosed
	case c.inFlight >= c.o.MaxInFlight:
		return nil, errBusy
	}
	c.inFlight++
	return c.at, nil
}

func (c *Channel) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight--; c.inFlight == 0 && c.at == nil {
		close(c.idle)
	}
}

// ServeHTTP serves one request.
func (c *Channel) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.mux.ServeHTTP(w, r) }

// handle serves one method at a path.
func (c *Channel) handle(path, method string, serve func(http.ResponseWriter, *http.Request, *desk)) {
	allow := method + ", OPTIONS"
	if method == http.MethodGet {
		allow = "GET, HEAD, OPTIONS"
	}
	c.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodOptions:
			w.Header().Set("Allow", allow)
			w.WriteHeader(http.StatusNoContent)
			return
		case r.Method != method && (r.Method != http.MethodHead || method != http.MethodGet):
			w.Header().Set("Allow", allow)
			write(w, r, problem{Status: http.StatusMethodNotAllowed, Detail: "there is no " + r.Method + " at this path", Hint: "use " + allow})
			return
		}
		at, err := c.enter()
		if err != nil {
			write(w, r, explain(err))
			return
		}
		defer c.leave()
		serve(w, r, at)
	})
}
