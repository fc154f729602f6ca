package forward_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/forward"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// serve has a handler served, and an endpoint of it; path is what follows the
// host in its URL.
func serve(t *testing.T, o forward.Options, path string, h http.HandlerFunc) *forward.Endpoint {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return endpoint(t, s.URL+path, o)
}

func endpoint(t *testing.T, url string, o forward.Options) *forward.Endpoint {
	t.Helper()
	if o.Transport == nil {
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		o.Transport = transport
	}
	e, err := forward.New(url, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestPayload(t *testing.T) {
	binary := make([]byte, 900<<10)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(binary)
	e := serve(t, forward.Options{}, "", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			t.Errorf("method %s", r.Method)
		}
		io.Copy(w, r.Body)
	})
	for name, payload := range map[string][]byte{"none": nil, "text": []byte("héllo\n"), "not text": {0xff, 0, '\r', '\n'}, "900 KiB": binary} {
		out, err := e.Serve(t.Context(), &workers.Trigger{Payload: payload})
		if err != nil || !bytes.Equal(out, payload) {
			t.Errorf("%s: %d bytes came back as %d, %v", name, len(payload), len(out), err)
		}
	}
}

func TestHeader(t *testing.T) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct {
		name    string
		trigger workers.Trigger
		header  http.Header
		want    http.Header
	}{
		{"all", workers.Trigger{
			Run: "My=20Sample@1", Job: "My=20Sample", Channel: "scheduler", Due: time.Date(2026, 12, 7, 9, 0, 0, 5e6, time.UTC),
			Header: nats.Header{"traceparent": {trace}, "tracestate": {"a=b"}, "Content-Type": {"text/csv"}, "Authorization": {"stolen"}, "Cookie": {"x"}},
		}, http.Header{"Authorization": {"Bearer t"}}, http.Header{
			"Bellhop-Run": {"My=20Sample@1"}, "Idempotency-Key": {"My=20Sample@1"}, "Bellhop-Job": {"My=20Sample"},
			"Bellhop-Channel": {"scheduler"}, "Bellhop-Due": {"2026-12-07T09:00:00.005Z"},
			"Traceparent": {trace}, "Tracestate": {"a=b"}, "Content-Type": {"text/csv"}, "Authorization": {"Bearer t"},
		}},
		{"little", workers.Trigger{Run: "r"}, nil, http.Header{
			"Bellhop-Run": {"r"}, "Idempotency-Key": {"r"}, "Content-Type": {"application/octet-stream"},
		}},
		{"the operator's word counts", workers.Trigger{Run: "ü", Header: nats.Header{"content-type": {"text/html"}}},
			http.Header{"Content-Type": {"application/json"}, "User-Agent": {"me"}}, http.Header{
				"Bellhop-Run": {"ü"}, "Idempotency-Key": {"ü"}, "Content-Type": {"application/json"}, "User-Agent": {"me"},
			}},
		{"hostile", workers.Trigger{Run: "r", Header: nats.Header{"traceparent": {"a\r\nX: y"}, "Content-Type": {strings.Repeat("x", 1<<20)}}}, nil, http.Header{
			"Bellhop-Run": {"r"}, "Idempotency-Key": {"r"}, "Content-Type": {"application/octet-stream"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got http.Header
			e := serve(t, forward.Options{Header: tt.header}, "", func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
			if _, err := e.Serve(t.Context(), &tt.trigger); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"Accept-Encoding", "Content-Length"} { // the transport's
				got.Del(name)
			}
			if tt.want.Get("User-Agent") == "" {
				tt.want.Set("User-Agent", "Bellhop/"+workers.Version)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		code      int
		permanent bool
		ok        bool
	}{
		{200, false, true}, {201, false, true}, {202, false, true}, {204, false, true},
		{304, false, false},
		{400, true, false}, {401, true, false}, {404, true, false}, {410, true, false}, {422, true, false}, {499, true, false},
		{408, false, false}, {425, false, false}, {429, false, false},
		{500, false, false}, {502, false, false}, {503, false, false}, {599, false, false},
	} {
		t.Run(fmt.Sprint(tt.code), func(t *testing.T) {
			e := serve(t, forward.Options{}, "/hook?key=secret", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "30")
				w.WriteHeader(tt.code)
				if tt.code != http.StatusNoContent && tt.code != http.StatusNotModified {
					io.WriteString(w, "said\n"+strings.Repeat("x", 10_000))
				}
			})
			out, err := e.Serve(t.Context(), &workers.Trigger{})
			if tt.ok {
				if err != nil || tt.code != http.StatusNoContent && len(out) != 10_005 {
					t.Errorf("%d bytes, %v", len(out), err)
				}
				return
			}
			if err == nil || workers.IsPermanent(err) != tt.permanent {
				t.Fatalf("got %v, want permanent: %v", err, tt.permanent)
			}
			text := err.Error()
			if !strings.Contains(text, fmt.Sprintf("/hook answers %d", tt.code)) || !strings.Contains(text, "retry after 30") || len(text) > 1<<10 {
				t.Errorf("says %s", text)
			}
			if strings.Contains(text, "secret") {
				t.Errorf("shows the query: %s", text)
			}
		})
	}
}

func TestHugeResponse(t *testing.T) {
	var log bytes.Buffer
	e := serve(t, forward.Options{MaxOutput: 1000, Logger: slog.New(slog.NewTextHandler(&log, nil))}, "", func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			if _, err := w.Write(bytes.Repeat([]byte{'x'}, 1<<20)); err != nil {
				return // the endpoint was not listened to
			}
		}
	})
	out, err := e.Serve(t.Context(), &workers.Trigger{})
	if err != nil || len(out) != 1000 || !strings.Contains(log.String(), "response was cut") {
		t.Errorf("%d bytes, %v: %s", len(out), err, &log)
	}
}

func TestRedirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("went elsewhere") }))
	defer elsewhere.Close()
	for _, tt := range []struct {
		code int
		to   string
		ok   bool
	}{
		{307, "/end", true}, {308, "/end", true},
		{301, "/end", false}, {302, "/end", false}, {303, "/end", false}, // without the payload
		{307, elsewhere.URL + "/end", false}, {308, elsewhere.URL + "/end?key=secret", false},
		{307, "/start", false}, // for ever
	} {
		t.Run(fmt.Sprint(tt.code, tt.to), func(t *testing.T) {
			var got string
			e := serve(t, forward.Options{}, "/start", func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/end" {
					b, _ := io.ReadAll(r.Body)
					got = r.Method + " " + string(b) + r.Header.Get("Bellhop-Run")
					return
				}
				http.Redirect(w, r, tt.to, tt.code)
			})
			_, err := e.Serve(t.Context(), &workers.Trigger{Run: "run", Payload: []byte("payload ")})
			if tt.ok != (err == nil) || tt.ok != (got == "POST payload run") {
				t.Errorf("%q, %v", got, err)
			}
			if err != nil && (!strings.Contains(err.Error(), "not followed") || strings.Contains(err.Error(), "secret")) {
				t.Errorf("says %v", err)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	arrived := make(chan struct{})
	e := serve(t, forward.Options{}, "", func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done() // until its client has gone
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-arrived; cancel(nil) }()
	if _, err := e.Serve(ctx, &workers.Trigger{}); !errors.Is(err, context.Canceled) || workers.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	e := endpoint(t, s.URL+"/?key=secret", forward.Options{})
	_, err := e.Serve(t.Context(), &workers.Trigger{})
	if err == nil || workers.IsPermanent(err) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		url    string
		header http.Header
		want   string
	}{
		{"", nil, "http or https"},
		{"crm.example/hook", nil, "http or https"},
		{"ftp://crm.example", nil, `"ftp"`},
		{"http://", nil, "no host"},
		{"http://u:s3cret@a b/", nil, "cannot be read"},
		{"http://a", http.Header{"X Y": {"z"}}, "letters"},
		{"http://a", http.Header{"x-y": {"z"}}, "write it X-Y"},
		{"http://a", http.Header{"X": {"s3cret\r\nY: z"}}, "line break"},
		{"http://a", http.Header{"Bellhop-Run": {"z"}}, "not yours"},
	} {
		_, err := forward.New(tt.url, forward.Options{Header: tt.header})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s %v: got %v, want %q", tt.url, tt.header, err, tt.want)
		}
	}
}

// TestRung goes all the way: a ring, a failure, a success at the second attempt
// under the same key.
func TestRung(t *testing.T) {
	nc := natstest.Start(t).Connect()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := workers.Setup(t.Context(), js, workers.SetupOptions{}); err != nil {
		t.Fatal(err)
	}
	var keys []string
	e := serve(t, forward.Options{}, "", func(w http.ResponseWriter, r *http.Request) {
		if keys = append(keys, r.Header.Get("Idempotency-Key")); len(keys) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "done")
	})
	runs := make(chan workers.Run, 10)
	w := workers.New(nc, workers.Options{
		Backoff: time.Millisecond, Logger: slog.New(slog.DiscardHandler), OnRun: func(r workers.Run) { runs <- r },
	})
	w.Handle("crm", e)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	run, err := workers.NewDispatcher(js, "").Ring(ctx, workers.Ring{Channel: "cli", Service: "crm"})
	if err != nil {
		t.Fatal(err)
	}
	first, second := <-runs, <-runs
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if first.Outcome != workers.OutcomeFailed || second.Outcome != workers.OutcomeOK || second.Output != "done" {
		t.Errorf("%+v, then %+v", first, second)
	}
	if d := cmp.Diff([]string{run, run}, keys); d != "" {
		t.Error(d)
	}
}
