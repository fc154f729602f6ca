package httpchannel_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	httpchannel "github.com/bellhop-run/bellhop/channels/http"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// house is a NATS server, and a channel that is served.
type house struct {
	t       testing.TB
	s       *natstest.Server
	nc      *nats.Conn
	js      jetstream.JetStream
	channel *httpchannel.Channel
	server  *httptest.Server
	stop    func() // of the channel
}

func newHouse(t testing.TB, o httpchannel.Options) *house {
	t.Helper()
	h := &house{t: t, s: natstest.Start(t)}
	h.nc = h.s.Connect()
	var err error
	h.js, err = jetstream.New(h.nc)
	h.ok(err)
	h.ok(workers.Setup(t.Context(), h.js, workers.SetupOptions{}))
	h.channel = httpchannel.New(o)
	h.server = httptest.NewServer(h.channel)
	t.Cleanup(h.server.Close)
	h.open()
	return h
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// open runs the channel.
func (h *house) open() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.channel.Run(ctx, workers.NewDispatcher(h.js, "")); err != nil {
			h.t.Error(err)
		}
	})
	h.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	h.t.Cleanup(h.stop)
	h.until(func() bool { return h.channel.Meter().Status().Connected })
}

// until waits for what nobody tells of.
func (h *house) until(so func() bool) {
	h.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatal("it does not come to that")
		}
	}
}

// work runs a worker of a service.
func (h *house) work(service string, f workers.ServiceFunc) {
	h.t.Helper()
	w := workers.New(h.nc, workers.Options{Logger: slog.New(slog.DiscardHandler), Attempts: 1, DrainTimeout: -1})
	w.HandleFunc(service, f)
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			h.t.Error(err)
		}
	})
	h.t.Cleanup(func() { cancel(); running.Wait() })
}

// request sends a request, and gives the answer with its body.
func (h *house) request(method, path, body string, header ...string) (*http.Response, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+path, strings.NewReader(body))
	h.ok(err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := h.server.Client().Do(req)
	h.ok(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	h.ok(err)
	return resp, string(b)
}

// run reads the id of a run that was rung.
func (h *house) run(resp *http.Response, body string) string {
	h.t.Helper()
	var v struct{ Run string }
	if resp.StatusCode != http.StatusAccepted || json.Unmarshal([]byte(body), &v) != nil || v.Run == "" {
		h.t.Fatalf("%s: %s", resp.Status, body)
	}
	return v.Run
}

// rings gives what is stored.
func (h *house) rings() []*jetstream.RawStreamMsg {
	h.t.Helper()
	s, err := h.js.Stream(h.t.Context(), "bellhop-rings")
	h.ok(err)
	var all []*jetstream.RawStreamMsg
	for n := uint64(1); n <= s.CachedInfo().State.LastSeq; n++ {
		m, err := s.GetMsg(h.t.Context(), n)
		h.ok(err)
		all = append(all, m)
	}
	return all
}

// What is posted is rung as it is, with what may go along and nothing else.
func TestRing(t *testing.T) {
	h := newHouse(t, httpchannel.Options{Pass: []string{"X-Tenant", "Nats-Expected-Last-Msg-Id"}})
	for _, payload := range []string{"hello", "", "\x00\xff\r\n", strings.Repeat("x", 1<<20-4<<10-200)} {
		resp, body := h.request(http.MethodPost, "/services/billing", payload,
			"Content-Type", "text/csv; header=present", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			"X-Tenant", "a", "X-Tenant", "b", "Authorization", "Bearer secret", "Cookie", "a=b",
			"Nats-Expected-Last-Msg-Id", "x", "nats-rollup", "all", "Bellhop-Run", "mine", "X-Other", "x")
		run := h.run(resp, body)
		if l := resp.Header.Get("Location"); l != "/runs/"+run {
			t.Errorf("location %s of %s", l, run)
		}
		all := h.rings()
		m := all[len(all)-1]
		if m.Subject != "bellhop.ring.http.billing" || string(m.Data) != payload {
			t.Errorf("%s with %d bytes", m.Subject, len(m.Data))
		}
		got := fmt.Sprint(m.Header["Content-Type"], m.Header["traceparent"], m.Header["X-Tenant"], m.Header[workers.HeaderChannel], m.Header[workers.HeaderRun])
		want := fmt.Sprint([]string{"text/csv; header=present"}, []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, []string{"a", "b"}, []string{"http"}, []string{run})
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if len(m.Header) != 6 { // and Nats-Msg-Id
			t.Errorf("headers %v", m.Header)
		}
	}
	if s := h.channel.Meter().Status(); s.Received != 4 || s.Rung != 4 || s.InFlight != 0 {
		t.Errorf("status %+v", s)
	}
}

// The same key is the same run: of one caller, for one service.
func TestIdempotencyKey(t *testing.T) {
	caller := func(r *http.Request) string { return r.Header.Get("X-Caller") }
	h := newHouse(t, httpchannel.Options{Caller: caller})
	post := func(service, who, key string) string {
		t.Helper()
		return h.run(h.request(http.MethodPost, "/services/"+service, "x", "Idempotency-Key", key, "X-Caller", who))
	}
	first := post("a", "", "k 1")
	if first != "http:a:k=201" {
		t.Errorf("run %s", first)
	}
	for _, tt := range []struct {
		service, who, key string
		same              bool
	}{
		{"a", "", "k 1", true}, {"a", "", `"k 1"`, true}, {"a", "", "k 2", false}, {"b", "", "k 1", false}, {"a", "ci", "k 1", false},
	} {
		if run := post(tt.service, tt.who, tt.key); (run == first) != tt.same {
			t.Errorf("%+v: run %s", tt, run)
		}
	}
	if n := len(h.rings()); n != 4 {
		t.Errorf("%d rings are stored", n)
	}
	if a, b := h.run(h.request(http.MethodPost, "/services/a", "")), h.run(h.request(http.MethodPost, "/services/a", "")); a == b {
		t.Errorf("without a key twice the same run %s", a)
	}
	long := strings.Repeat("k", 255)
	if a, b := post("a", "", long), post("a", "", long); a != b || len(a) > 1024 {
		t.Errorf("a long key: runs %s and %s", a, b)
	}
}

// Whoever waits has the output with its type, or the error.
func TestWait(t *testing.T) {
	h := newHouse(t, httpchannel.Options{})
	h.work("s", func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
		switch string(t.Payload) {
		case "csv":
			workers.SetContentType(ctx, "text/csv")
			return []byte("a;b"), nil
		case "bad":
			return nil, workers.Permanent(errors.New("no such customer"))
		case "fails":
			return nil, errors.New("no luck")
		case "never":
			<-ctx.Done()
		}
		return []byte{0, 1}, nil
	})
	wait := func(payload, prefer string) (*http.Response, string) {
		return h.request(http.MethodPost, "/services/s", payload, "Prefer", prefer)
	}
	resp, body := wait("csv", `respond-async, wait=30; x=y`)
	if resp.StatusCode != http.StatusOK || body != "a;b" || resp.Header.Get("Content-Type") != "text/csv" || resp.Header.Get("Preference-Applied") != "wait" || !strings.HasPrefix(resp.Header.Get("Content-Location"), "/runs/http:s:") {
		t.Errorf("%s: %q %v", resp.Status, body, resp.Header)
	}
	if resp, body = wait("", "wait=30"); resp.StatusCode != http.StatusOK || body != "\x00\x01" || resp.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%s: %q %v", resp.Status, body, resp.Header)
	}
	for payload, want := range map[string]string{"bad": "422 no such customer", "fails": "502 no luck"} {
		resp, body := wait(payload, "wait=30")
		p := h.problem(resp, body)
		if got := fmt.Sprint(p.Status, " ", p.Detail); got != want || !strings.HasPrefix(p.Run, "http:s:") {
			t.Errorf("%s: %s, run %s", payload, got, p.Run)
		}
	}
	h.run(wait("never", "wait=1"))

	// When the channel stops, who waits is told where the run is.
	done := make(chan string)
	go func() {
		resp, body := wait("never", "wait=60")
		done <- h.run(resp, body)
	}()
	h.until(func() bool { return len(h.rings()) == 6 })
	h.stop()
	<-done
	resp, body = wait("csv", "wait=30")
	if p := h.problem(resp, body); p.Status != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("after the end: %+v", p)
	}
}

type problem struct {
	Title, Detail, Hint, Run string
	Status                   int
}

// problem reads a problem document, which says what the status line does.
func (h *house) problem(resp *http.Response, body string) problem {
	h.t.Helper()
	var p problem
	if resp.Header.Get("Content-Type") != "application/problem+json" || json.Unmarshal([]byte(body), &p) != nil || p.Status != resp.StatusCode || p.Title == "" || p.Detail == "" {
		h.t.Fatalf("%s is no problem document: %s", resp.Status, body)
	}
	return p
}

// What cannot be right is refused with what is wrong, and rings nothing.
func TestRefusals(t *testing.T) {
	h := newHouse(t, httpchannel.Options{MaxBody: 100, Strict: true})
	h.work("known", func(context.Context, *workers.Trigger) ([]byte, error) { return nil, nil })
	for {
		if resp, _ := h.request(http.MethodPost, "/services/known", ""); resp.StatusCode == http.StatusAccepted {
			break // its worker has started
		}
	}
	before := len(h.rings())
	for _, tt := range []struct {
		method, path, body string
		header             []string
		status             int
		detail             string
	}{
		{"POST", "/services/a%20b", "", nil, 400, "use dot-separated tokens"},
		{"POST", "/services/a..b", "", nil, 400, "use dot-separated tokens"},
		{"POST", "/services/%3E", "", nil, 400, "use dot-separated tokens"},
		{"POST", "/services/" + strings.Repeat("x", 200), "", nil, 400, "at most 128"},
		{"POST", "/services/known", "", []string{"Prefer", "wait=soon"}, 400, "use wait=N"},
		{"POST", "/services/known", "", []string{"Idempotency-Key", ""}, 400, "1 to 255"},
		{"POST", "/services/known", "", []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, 400, "use one"},
		{"POST", "/services/known", "", []string{"Idempotency-Key", "\xff"}, 400, "printable text"},
		{"POST", "/services/known", strings.Repeat("x", 101), nil, 413, "too large"},
		{"POST", "/services/unknown", "", nil, 404, "no worker has ever run"},
		{"GET", "/services/known", "", nil, 405, "no GET"},
		{"DELETE", "/runs/x", "", nil, 405, "no DELETE"},
		{"GET", "/services/", "", nil, 404, "nothing at this path"},
		{"GET", "/elsewhere", "", nil, 404, "nothing at this path"},
		{"GET", "/runs/http:known:nobody", "", nil, 404, "no such run"},
		{"GET", "/runs/%00", "", nil, 404, "no such run"},
	} {
		resp, body := h.request(tt.method, tt.path, tt.body, tt.header...)
		if p := h.problem(resp, body); p.Status != tt.status || !strings.Contains(p.Detail, tt.detail) {
			t.Errorf("%s %.40s %v: %+v", tt.method, tt.path, tt.header, p)
		}
		if tt.status == 405 && resp.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", tt.method, tt.path)
		}
	}
	if resp, _ := h.request(http.MethodOptions, "/services/known", ""); resp.StatusCode != http.StatusNoContent || resp.Header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("OPTIONS: %s %s", resp.Status, resp.Header.Get("Allow"))
	}
	if n := len(h.rings()); n != before {
		t.Errorf("%d rings are stored", n-before)
	}
}

// A full stream, a server that is away and too many at once are passing trouble.
func TestPressure(t *testing.T) {
	h := newHouse(t, httpchannel.Options{MaxInFlight: 1})
	began, end := make(chan struct{}), make(chan struct{})
	h.work("s", func(context.Context, *workers.Trigger) ([]byte, error) {
		close(began)
		<-end
		return nil, nil
	})
	done := make(chan int)
	go func() {
		resp, _ := h.request(http.MethodPost, "/services/s", "", "Prefer", "wait=60")
		done <- resp.StatusCode
	}()
	<-began
	busy := func(why string) {
		t.Helper()
		resp, body := h.request(http.MethodPost, "/services/t", "")
		if p := h.problem(resp, body); p.Status != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(p.Detail, why) {
			t.Errorf("%s: %+v", why, p)
		}
	}
	busy("too many requests")
	close(end)
	if code := <-done; code != 200 {
		t.Errorf("it was answered %d", code)
	}
	s, err := h.js.Stream(t.Context(), "bellhop-rings")
	h.ok(err)
	c := s.CachedInfo().Config
	c.MaxMsgs = 1
	_, err = h.js.UpdateStream(t.Context(), c)
	h.ok(err)
	busy("maximum messages exceeded")
	h.s.Down()
	busy("")
	h.s.Up()
}

// A run is found from the moment that it is stored until its record is gone.
func TestRun(t *testing.T) {
	h := newHouse(t, httpchannel.Options{})
	view := func(path string) (v struct {
		Run, State, Outcome string
		Attempts            []workers.Run
		Active              []workers.ActiveRun
	}) {
		t.Helper()
		resp, body := h.request(http.MethodGet, path, "")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", resp.Status, body)
		}
		h.ok(json.Unmarshal([]byte(body), &v))
		return v
	}
	resp, body := h.request(http.MethodPost, "/services/s", "x")
	run, path := h.run(resp, body), resp.Header.Get("Location")
	if v := view(path); v.Run != run || v.State != "pending" {
		t.Errorf("before there is a worker: %+v", v)
	}
	began, end := make(chan struct{}), make(chan struct{})
	h.work("s", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
		workers.Log(ctx, "hello")
		workers.Report(ctx, 0.5, "half")
		close(began)
		<-end
		return []byte("out"), nil
	})
	<-began
	if v := view(path); v.State != "running" || v.Active[0].Progress.Note != "half" {
		t.Errorf("while it runs: %+v", v)
	}

	// Followed to its end, from the middle.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.server.URL+path+"/events", nil)
	h.ok(err)
	events, err := h.server.Client().Do(req)
	h.ok(err)
	defer events.Body.Close()
	lines := bufio.NewScanner(events.Body)
	var names []string
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			if names = append(names, name); name == "log" {
				close(end)
			}
		}
	}
	if got := strings.Join(names, " "); got != "log progress ended end" {
		t.Errorf("events: %s", got)
	}
	if ct := events.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("content type %s", ct)
	}
	if v := view(path); v.State != "ended" || v.Outcome != "ok" || v.Attempts[0].Output != "out" || v.Attempts[0].Logs[0].Text != "hello" {
		t.Errorf("after its end: %+v", v)
	}
	if resp, body := h.request(http.MethodHead, path, ""); resp.StatusCode != http.StatusOK || body != "" {
		t.Errorf("HEAD: %s %s", resp.Status, body)
	}
}

// Many clients at once, each of which repeats what it gets no answer to while the
// server goes up and down: nothing is lost, nothing is stored twice.
func TestNothingIsLost(t *testing.T) {
	h := newHouse(t, httpchannel.Options{})
	const clients, each = 20, 30
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for n := range each {
				key := fmt.Sprintf("%d-%d", i, n)
				for {
					resp, _ := h.request(http.MethodPost, "/services/s", key, "Idempotency-Key", key)
					if resp.StatusCode == http.StatusAccepted {
						break
					}
					if resp.StatusCode != http.StatusServiceUnavailable {
						t.Errorf("%s: %s", key, resp.Status)
						return
					}
					select {
					case <-time.After(20 * time.Millisecond): // as Retry-After would have it, only sooner
					case <-t.Context().Done():
						return
					}
				}
			}
		})
	}
	for range 3 {
		h.s.Down()
		h.s.Up()
	}
	all.Wait()
	stored := map[string]int{}
	for _, m := range h.rings() {
		stored[m.Header.Get(workers.HeaderRun)]++
		if !strings.HasSuffix(m.Header.Get(workers.HeaderRun), ":"+string(m.Data)) {
			t.Errorf("%s has the payload %s", m.Header.Get(workers.HeaderRun), m.Data)
		}
	}
	for run, n := range stored {
		if n != 1 {
			t.Errorf("%s is stored %d times", run, n)
		}
	}
	if len(stored) != clients*each {
		t.Errorf("%d runs, want %d", len(stored), clients*each)
	}
}

// Clients that break off, or send half a request, harm nobody.
func TestOddClients(t *testing.T) {
	h := newHouse(t, httpchannel.Options{MaxInFlight: 4})
	for _, text := range []string{
		"POST /services/s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
		"POST /services/s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
		"POST /services/s HTTP/1.1\r\nHo",
		"\x00\x01\x02",
	} {
		for range 5 {
			c, err := net.Dial("tcp", h.server.Listener.Addr().String())
			h.ok(err)
			_, err = io.WriteString(c, text)
			h.ok(err)
			c.Close()
		}
	}
	h.run(h.request(http.MethodPost, "/services/s", "whole"))
	if all := h.rings(); len(all) != 1 || !bytes.Equal(all[0].Data, []byte("whole")) {
		t.Errorf("%d rings", len(all))
	}
}
