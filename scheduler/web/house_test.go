package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // the zones of every machine, whatever it has installed

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// house is a NATS server, a scheduler, and the handler as clients see it.
type house struct {
	*testing.T
	s      *natstest.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	client *http.Client
	url    string
	rest   *Handler
	lead   *scheduler.Scheduler
	leave  func() // ends the scheduler
}

// newHouse serves on the loopback interface.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := open(t)
	server := httptest.NewServer(h.rest)
	t.Cleanup(server.Close)
	h.client, h.url = server.Client(), server.URL
	h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return h
}

// inBubble runs a test on fake time, which starts at midnight, 2000-01-01 UTC.
// A network has no place there: requests go straight to the handler.
func inBubble(t *testing.T, f func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		h.client, h.url = &http.Client{Transport: direct{h.rest}}, "http://bellhop.test"
		f(h)
	})
}

// direct is a transport that needs no network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	served := httptest.NewRequest(r.Method, r.URL.String(), r.Body).WithContext(r.Context())
	served.Header = r.Header
	w := httptest.NewRecorder()
	d.ServeHTTP(w, served)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func open(t *testing.T) *house {
	t.Helper()
	h := &house{T: t, s: natstest.Start(t)}
	h.nc = h.s.Connect()
	var err error
	h.js, err = jetstream.New(h.nc)
	h.ok(err)
	h.start()
	h.rest, err = New(h.s.Connect(), Options{Caller: caller, Channels: twoChannels, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	h.ok(err)
	h.background(h.rest.Run)
	return h
}

// caller is who the test says he is; an admin if it says nothing.
func caller(r *http.Request) Caller {
	c := Caller{Name: "alice", Role: Admin}
	if n, err := strconv.Atoi(r.Header.Get("Test-Role")); err == nil {
		c.Role = Role(n)
	}
	if name := r.Header.Get("Test-Name"); name != "" {
		c.Name = name
	}
	return c
}

func twoChannels(context.Context) ([]Channel, error) {
	at := time.Date(2026, 12, 7, 9, 0, 0, 0, time.UTC)
	return []Channel{
		{Name: "orders", Kind: "amqp", Host: "a", Process: 7, Since: at, LastError: "connection refused", LastErrorAt: at, Received: 3, Rung: 2, Refused: 1, Rate: .5},
		{Name: "web", Kind: "http", Host: "b", Process: 8, Connected: true, Since: at},
	}, nil
}

// background runs something until the test ends.
func (h *house) background(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := run(ctx); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			h.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	h.Cleanup(stop)
	return stop
}

// start runs a scheduler, and waits until it leads.
func (h *house) start() {
	h.Helper()
	nc := h.s.Connect(nats.ReconnectBufSize(-1))
	var err error
	h.lead, err = scheduler.New(nc, scheduler.Options{Embedded: true, Grace: time.Second, Name: "lead"})
	h.ok(err)
	h.leave = h.background(h.lead.Run)
	select {
	case <-h.lead.Ready():
	case <-time.After(time.Minute):
		h.Fatal("the scheduler does not lead within a minute")
	}
}

// work runs a worker of four services: good logs, reports and succeeds, bad fails
// for good, shaky fails once, and slow takes until somebody cancels it.
func (h *house) work() {
	h.Helper()
	w := workers.New(h.nc, workers.Options{
		Name: "worker", Attempts: 2, Backoff: time.Millisecond, DrainTimeout: -1, Logger: slog.New(slog.DiscardHandler),
	})
	w.HandleFunc("good", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
		workers.Log(ctx, "one <line>")
		workers.Report(ctx, .5, "half of it")
		return append([]byte("got "), t.Payload...), nil
	})
	w.HandleFunc("bad", func(context.Context, *workers.Trigger) ([]byte, error) {
		return nil, workers.Permanent(errors.New("no such account"))
	})
	w.HandleFunc("shaky", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		if t.Attempt == 1 {
			return nil, errors.New("not yet")
		}
		return []byte{0xff, 0}, nil
	})
	w.HandleFunc("slow", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
		workers.Log(ctx, "begun")
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	h.background(w.Run)
	h.until("the worker serves", func() bool {
		all := map[string]*workers.ServiceStatus{}
		return workers.Survey(h.Context(), h.nc, h.js, "", all) == nil && all["slow"] != nil && all["slow"].Workers > 0
	})
}

func (h *house) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// until looks again until it is so, for what nobody tells of.
func (h *house) until(what string, so func() bool) {
	h.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			h.Fatalf("not within a minute: %s", what)
		}
	}
}

// answered is an answer with its body.
type answered struct {
	*http.Response
	text string
}

// ask sends a request: header is name, value, name, value. A body is JSON unless
// the header says something else.
func (h *house) ask(method, path, body string, header ...string) answered {
	h.Helper()
	resp := h.send(h.Context(), method, path, body, header...)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	h.ok(err)
	return answered{resp, string(b)}
}

func (h *house) send(ctx context.Context, method, path, body string, header ...string) *http.Response {
	h.Helper()
	req, err := http.NewRequestWithContext(ctx, method, h.url+Base+path, strings.NewReader(body))
	h.ok(err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := h.client.Do(req)
	h.ok(err)
	return resp
}

// want is ask for an answer with that status.
func (h *house) want(status int, method, path, body string, header ...string) answered {
	h.Helper()
	a := h.ask(method, path, body, header...)
	if a.StatusCode != status {
		h.Fatalf("%s %s: %s, not %d\n%s", method, path, a.Status, status, a.text)
	}
	return a
}

// refused wants a problem document about a field.
func (h *house) refused(status int, field, method, path, body string, header ...string) problem {
	h.Helper()
	a := h.want(status, method, path, body, header...)
	var p problem
	if kind := a.Header.Get("Content-Type"); kind != "application/problem+json" || json.Unmarshal([]byte(a.text), &p) != nil {
		h.Fatalf("%s %s: %s: %s", method, path, kind, a.text)
	}
	if p.Status != status || p.Field != field || p.Detail == "" || p.Title != http.StatusText(status) {
		h.Errorf("%s %s: it is about %q, not %q: %s", method, path, p.Field, field, a.text)
	}
	return p
}

// read reads the body of an answer.
func read[T any](h *house, a answered) (v T) {
	h.Helper()
	if err := json.Unmarshal([]byte(a.text), &v); err != nil {
		h.Fatalf("%v: %s", err, a.text)
	}
	return v
}

// at is a path with each byte of a name escaped that could mean anything.
func at(format string, names ...string) string {
	all := make([]any, len(names))
	for i, name := range names {
		var b strings.Builder
		for _, c := range []byte(name) {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		all[i] = b.String()
	}
	return fmt.Sprintf(format, all...)
}

// make makes a job.
func (h *house) make(name, service, schedule string) answered {
	h.Helper()
	return h.want(http.StatusOK, http.MethodPut, at("/jobs/%s", name), fmt.Sprintf(`{"service":%q,"schedule":%s}`, service, schedule))
}

// run rings a job's service, and gives the run's id.
func (h *house) run(name string) string {
	h.Helper()
	return read[rung](h, h.want(http.StatusAccepted, http.MethodPost, at("/jobs/%s/run", name), "")).Run
}

// ended waits for the end of a run.
func (h *house) ended(run string) *workers.RunView {
	h.Helper()
	var v *workers.RunView
	h.until("the run "+run+" ends", func() bool {
		a := h.ask(http.MethodGet, at("/runs/%s", run), "")
		if a.StatusCode != http.StatusOK {
			return false
		}
		v = read[*workers.RunView](h, a)
		return v.State == workers.RunEnded
	})
	return v
}

// put writes into the bucket of jobs as the nats command would.
func (h *house) put(key, definition string) {
	h.Helper()
	_, err := h.js.Publish(h.Context(), "$KV.bellhop-jobs."+key, []byte(definition))
	h.ok(err)
}

// record stores a run record as a worker would.
func (h *house) record(r workers.Run) {
	h.Helper()
	b, err := json.Marshal(r)
	h.ok(err)
	_, err = h.js.Publish(h.Context(), workers.Namespace("").RunSubject(r.Job, r.Service), b)
	h.ok(err)
}

// told is an event of a stream.
type told struct{ name, data string }

// listen gives the events of a stream as they come; the channel is closed at its
// end, and so is the stream when the test ends.
func (h *house) listen(path string) <-chan told {
	h.Helper()
	ctx, cancel := context.WithCancel(h.Context())
	resp := h.send(ctx, http.MethodGet, path, "")
	if resp.StatusCode != http.StatusOK {
		h.Fatalf("%s: %s", path, resp.Status)
	}
	events := make(chan told, 1000)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(events)
		readEvents(resp.Body, func(e told) { events <- e })
	})
	h.Cleanup(func() { cancel(); resp.Body.Close(); reading.Wait() })
	return events
}

// next waits for an event of that name, whatever comes before it.
func (h *house) next(events <-chan told, name string) told {
	h.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case e, more := <-events:
			if !more {
				h.Fatalf("the stream ends before %q", name)
			}
			if e.name == name {
				return e
			}
		case <-deadline:
			h.Fatalf("no %q within a minute", name)
		}
	}
}

func readEvents(r io.Reader, tell func(told)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	var e told
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				tell(e)
			}
			e = told{}
		}
	}
}
