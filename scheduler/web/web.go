package web

import (
	"context"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/scheduler/web/index"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Role is what somebody may do; each may do all that those before it may.
type Role int

// The roles.
const (
	Nobody   Role = iota
	Viewer        // look at everything
	Operator      // run, activate, deactivate, cancel, send back to work
	Admin         // make, change, restore, delete, drop
)

func (r Role) String() string { return [...]string{"nobody", "viewer", "operator", "admin"}[r] }

// Caller is who a request comes from.
type Caller struct {
	// Name is recorded as Terms.By; empty where nobody has to say who he is.
	Name string
	Role Role
}

// Channel is how a channel fares, wherever it runs. It has the fields of
// channels.Status, which this package may not import; that one is converted to it,
// which does not compile when they differ.
type Channel struct {
	Name      string    `json:"name"`
	Kind      string    `json:"kind"`
	Host      string    `json:"host"`
	Process   int       `json:"process"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since"`
	InFlight  int       `json:"in_flight"`
	Received  uint64    `json:"received"`
	Rung      uint64    `json:"rung"`
	Refused   uint64    `json:"refused"`
	Requeued  uint64    `json:"requeued"`
	Answered  uint64    `json:"answered"`
	// Rate is how many were received per second, in the last ten.
	Rate        float64   `json:"rate"`
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// Options are a Handler's settings; the zero value lets everybody do everything.
type Options struct {
	Namespace workers.Namespace
	// Caller says who a request comes from, and what he may do; nil means that
	// everybody is an Admin. Whoever mounts the handler checks tokens, and what
	// browsers must not send across origins.
	Caller func(*http.Request) Caller
	// Channels asks how the channels fare, which this package does not know; nil
	// means that there are none.
	Channels func(context.Context) ([]Channel, error)
	// Prefix is the path under which a proxy serves all this, for the links of
	// pages: /bellhop, without a slash at the end; nil means none.
	Prefix func(*http.Request) string
	// Sessions says that pages may end a session, by a POST to /logout beside
	// Pages.
	Sessions bool
	// Logger is where trouble is told; nil means nowhere.
	Logger *slog.Logger
}

// Handler serves what is below Base and Pages. It is safe for concurrent use. Run must run
// for as long as it serves.
type Handler struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	ns     workers.Namespace
	jobs   *scheduler.Client
	o      Options
	index  *index.Index
	mux    *http.ServeMux // below Base
	ui     *http.ServeMux // below Pages
	pages  map[string]*template.Template
	wanted chan struct{} // closed when somebody wants the index
	want   sync.Once
	over   chan struct{} // closed when Run ends

	lastFleet lastFleet
}

// New makes a handler on the connection, which stays the caller's and should
// never give up (MaxReconnects(-1)).
func New(nc *nats.Conn, o Options) (*Handler, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	if o.Caller == nil {
		o.Caller = func(*http.Request) Caller { return Caller{Role: Admin} }
	}
	if o.Channels == nil {
		o.Channels = func(context.Context) ([]Channel, error) { return nil, nil }
	}
	if o.Prefix == nil {
		o.Prefix = func(*http.Request) string { return "" }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		nc: nc, js: js, ns: o.Namespace, jobs: scheduler.NewClient(nc, o.Namespace), o: o,
		index: index.New(nc, o.Namespace, index.Options{Logger: o.Logger}), mux: http.NewServeMux(), ui: http.NewServeMux(),
		wanted: make(chan struct{}), over: make(chan struct{}),
	}
	h.jobs.Patience = patience
	for _, r := range h.routes() {
		h.mux.Handle(r.pattern, h.route(r))
	}
	h.mux.Handle("/", h.route(route{role: Viewer, do: h.nothing}))
	return h, h.dress()
}

// patience is how long a request waits for a scheduler to lead.
const patience = 5 * time.Second

// Run keeps the index up to date once somebody has asked what it answers: it
// takes a few hundred bytes for each job. It returns nil when ctx ends.
func (h *Handler) Run(ctx context.Context) error {
	defer close(h.over)
	select {
	case <-ctx.Done():
		return nil
	case <-h.wanted:
	}
	return h.index.Run(ctx)
}

// indexWait bounds how long a request waits until the index is there.
const indexWait = 30 * time.Second

var errIndex = &scheduler.Error{Code: 503, Message: "the jobs are still being read", Hint: "repeat the request in a moment"}

// indexed gives the index once it knows all.
func (h *Handler) indexed(ctx context.Context) (*index.Index, error) {
	h.want.Do(func() { close(h.wanted) })
	within, cancel := context.WithTimeout(ctx, indexWait)
	defer cancel()
	if err := h.index.Ready(within); err != nil {
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = errIndex
		}
		return nil, err
	}
	return h.index, nil
}

// route is an operation.
type route struct {
	pattern string
	role    Role
	do      func(w http.ResponseWriter, r *http.Request) error
}

// Base is where the handler serves, in whatever it is mounted.
const Base = "/api/v1"

func (h *Handler) routes() []route {
	at := func(method, path string, role Role, do func(http.ResponseWriter, *http.Request) error) route {
		return route{method + " " + Base + path, role, do}
	}
	return []route{
		at("GET", "/openapi=2Eyaml", Viewer, h.describe),
		at("GET", "/jobs", Viewer, h.listJobs),
		at("POST", "/jobs", Admin, h.createJob),
		at("GET", "/jobs/{job}", Viewer, h.getJob),
		at("PUT", "/jobs/{job}", Admin, h.putJob),
		at("PATCH", "/jobs/{job}", Admin, h.updateJob),
		at("DELETE", "/jobs/{job}", Admin, h.deleteJob),
		at("POST", "/jobs/{job}/activate", Operator, h.activateJob),
		at("POST", "/jobs/{job}/deactivate", Operator, h.deactivateJob),
		at("POST", "/jobs/{job}/run", Operator, h.runJob),
		at("GET", "/jobs/{job}/next", Viewer, h.nextOfJob),
		at("GET", "/jobs/{job}/why", Viewer, h.whyJob),
		at("GET", "/jobs/{job}/history", Viewer, h.historyOfJob),
		at("POST", "/jobs/{job}/restore", Admin, h.restoreJob),
		at("POST", "/apply", Admin, h.apply),
		at("POST", "/bulk", Operator, h.bulk),
		at("POST", "/schedule", Viewer, h.explain),
		at("GET", "/counts", Viewer, h.counts),
		at("GET", "/runs", Viewer, h.listRuns),
		at("GET", "/active", Viewer, h.activeRuns),
		at("GET", "/runs/{run}", Viewer, h.getRun),
		at("GET", "/runs/{run}/events", Viewer, h.runEvents),
		at("POST", "/runs/{run}/cancel", Operator, h.cancelRun),
		at("GET", "/dead", Viewer, h.listLetters),
		at("GET", "/dead/{id}", Viewer, h.getLetter),
		at("POST", "/dead/{id}/redrive", Operator, h.redriveLetter),
		at("DELETE", "/dead/{id}", Admin, h.dropLetter),
		at("GET", "/services", Viewer, h.services),
		at("GET", "/channels", Viewer, h.channels),
		at("GET", "/schedulers", Viewer, h.schedulers),
		at("GET", "/changes", Viewer, h.listChanges),
		at("GET", "/events", Viewer, h.events),
	}
}

// route makes a handler of an operation: for those who may, with errors as
// problem documents.
func (h *Handler) route(op route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if c := h.o.Caller(r); c.Role < op.role {
			h.fail(w, r, &scheduler.Error{Code: http.StatusForbidden, Message: "a " + c.Role.String() + " may not do this", Hint: "it takes the role " + op.role.String()})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, h.nc.MaxPayload())
		if err := op.do(w, r); err != nil {
			h.fail(w, r, err)
		}
	}
}

// ServeHTTP serves what is below Base and Pages. Names in a path of REST are
// written with percent signs, as everywhere; the routes see them as keys, in which
// no slash and no dot can mean anything.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == Pages || strings.HasPrefix(r.URL.Path, Pages+"/") {
		h.ui.ServeHTTP(w, r)
		return
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil { // else what is broken is left out, and a filter with it
		h.fail(w, r, bad("", "write % as %25 and ; as %3B", "the parameters are badly escaped: %v", err))
		return
	}
	segments := strings.Split(r.URL.EscapedPath(), "/")
	for i, s := range segments {
		text, err := url.PathUnescape(s)
		if err != nil {
			h.fail(w, r, &scheduler.Error{Code: http.StatusBadRequest, Message: "the path is badly escaped"})
			return
		}
		if s == "" && i > 0 && i < len(segments)-1 { // which the mux would redirect, in its own spelling
			h.route(route{role: Viewer, do: h.nothing})(w, r)
			return
		}
		segments[i] = workers.Escape(text)
	}
	routed := r.Clone(r.Context())
	routed.URL.Path, routed.URL.RawPath = strings.Join(segments, "/"), ""
	h.mux.ServeHTTP(w, routed)
}

// name is the job that the path names, or another part of it.
func name(r *http.Request, part string) string {
	text, err := workers.Unescape(r.PathValue(part))
	if err != nil { // it was escaped by ServeHTTP
		return r.PathValue(part)
	}
	return text
}

func (h *Handler) nothing(_ http.ResponseWriter, r *http.Request) error {
	return &scheduler.Error{Code: http.StatusNotFound, Message: "there is nothing here that answers to " + r.Method, Hint: Base + "/openapi.yaml says what there is"}
}

// as gives a client that changes on behalf of whoever asks, on the condition
// that the request states.
func (h *Handler) as(r *http.Request) (*scheduler.Client, error) {
	t := scheduler.Terms{By: h.o.Caller(r).Name, Via: "http"}
	var err error
	if t.Revision, err = ifMatch(r); err != nil {
		return nil, err
	}
	return h.jobs.With(t), nil
}
