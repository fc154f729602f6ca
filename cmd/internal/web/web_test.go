package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestHandler(t *testing.T) {
	failure := errors.New("nobody leads")
	var failing bool
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "bellhop_test_total", Help: "A test."})
	counter.Add(3)
	h, err := Handler("bellhop <up>", map[string]Check{
		"nats": func() (any, error) { return "nats://a:4222", nil },
		"scheduler": func() (any, error) {
			if failing {
				return nil, failure
			}
			return map[string]int{"jobs": 2}, nil
		},
	}, counter)
	if err != nil {
		t.Fatal(err)
	}

	for _, failing = range []bool{false, true} {
		want, status := http.StatusOK, "ok"
		if failing {
			want, status = http.StatusServiceUnavailable, "failing"
		}
		code, body := get(t, h, "/healthz")
		var got struct {
			Status string
			Checks map[string]struct {
				OK    bool
				Error string
			}
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if code != want || got.Status != status || got.Checks["scheduler"].OK == failing || !got.Checks["nats"].OK {
			t.Errorf("failing %v: %d %s", failing, code, body)
		}
	}
	if code, body := get(t, h, "/metrics"); code != 200 || !strings.Contains(body, "bellhop_test_total 3") || !strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics: %d %.200s", code, body)
	}
	if code, body := get(t, h, "/"); code != 200 || !strings.Contains(body, "bellhop &lt;up&gt;") || !strings.Contains(body, `href="/metrics"`) {
		t.Errorf("index: %d %s", code, body)
	}
	if w := ask(h, http.MethodGet, "/", "", "X-Forwarded-Prefix", "/bellhop"); !strings.Contains(w.Body.String(), `href="/bellhop/metrics"`) {
		t.Errorf("index under a prefix: %s", w.Body)
	}
	if code, _ := get(t, h, "/elsewhere"); code != 404 {
		t.Errorf("elsewhere: %d", code)
	}
	if _, err := Handler("twice", nil, counter, counter); err == nil {
		t.Error("the same metrics twice are not refused")
	}
}

// TestServe stops a server while it answers: the answer still comes.
func TestServe(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(asked)
			<-ctx.Done()
			io.WriteString(w, "bye")
		}))
	}()
	go func() { <-asked; cancel() }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(body) != "bye" {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServeFails(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := Serve(t.Context(), l, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestListen(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for addr, want := range map[string]string{
		l.Addr().String(): "somebody else listens",
		"192.0.2.1:80":    "cannot listen",
	} {
		_, err := Listen(t.Context(), addr)
		if e, ok := errors.AsType[*config.Error](err); !ok || e.Variable != "BELLHOP_HTTP_ADDR" || !strings.Contains(e.Want, want) {
			t.Errorf("%s: got %v", addr, err)
		}
	}
}

func TestRun(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if err := Run(t.Context(), "", "off", log, nil); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, "127.0.0.1:0", "stopped", log, nil); err != nil {
		t.Error(err)
	}
	if err := Run(t.Context(), "nowhere:1", "lost", log, nil); err == nil {
		t.Error("an address that does not exist is not refused")
	}
}

// TestConnected looks at a connection before and after its server stops.
func TestConnected(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	if !s.ReadyForConnections(10e9) {
		t.Fatal("server does not start")
	}
	gone := make(chan struct{})
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.DisconnectErrHandler(func(*nats.Conn, error) { close(gone) }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	check := Connected(nc)
	if detail, err := check(); err != nil || detail != s.ClientURL() {
		t.Errorf("connected: %v, %v", detail, err)
	}
	s.Shutdown()
	<-gone
	if _, err := check(); err == nil || err.Error() != "connection is reconnecting" {
		t.Errorf("disconnected: %v", err)
	}
}
