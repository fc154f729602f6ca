package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// A run's line: due, lateness, job, service, outcome, duration.
const sampleRun = `^\d\d:\d\d:\d\d\.\d{3} +\+\S+  My Sample +log-input +ok +\S+$`

// TestUpDemo is the README's first command, twice on the same data.
func TestUpDemo(t *testing.T) {
	t.Parallel()
	env := environment(t)
	for round := range 2 {
		p := start(t, env, "up", "--demo")
		url := p.await(t, `NATS +(nats://127\.0\.0\.1:\d+), embedded`)[1]
		site := p.await(t, `HTTP +(http://127\.0\.0\.1:\d+)`)[1]
		p.await(t, `^  bellhop job create Mine .* --server nats://\S+$`)
		p.await(t, sampleRun)
		p.await(t, sampleRun)
		p.await(t, `  Just once +log-input +ok `)

		if code, body := get(t, site+"/healthz"); code != http.StatusOK || !strings.Contains(body, `"leading": true`) {
			t.Errorf("healthz: %d %s", code, body)
		}
		if code, body := get(t, site+"/metrics"); code != http.StatusOK ||
			!strings.Contains(body, "bellhop_worker_runs_total") || !strings.Contains(body, "go_goroutines") {
			t.Errorf("metrics: %d %s", code, body)
		}

		// What its user makes of a demo job stays as it is.
		if job := describe(t, url, "My Sample", "mine"); job != "mine" && round > 0 {
			t.Errorf("the second time, the job is %q", job)
		}

		p.interrupt(t)
		p.await(t, "^draining")
		p.await(t, `^bye: \d+ runs, all ok$`)
		if code := p.exits(); code != 0 {
			t.Errorf("round %d exits with %d", round, code)
		}
	}
}

// TestUpAlone schedules nothing by itself, and stops as well when it is told
// by SIGTERM or has no HTTP.
func TestUpAlone(t *testing.T) {
	t.Parallel()
	p := start(t, environment(t, "BELLHOP_HTTP_ADDR=", "BELLHOP_SYNC=1s"), "up")
	p.await(t, `data +/.*, synced every 1s`)
	p.await(t, `^  bellhop job create `)
	if strings.Contains(p.said(), "HTTP") || strings.Contains(p.said(), "My Sample") {
		t.Error("it says what is not there")
	}
	p.interrupt(t)
	p.await(t, "^bye: no runs$")
	if code := p.exits(); code != 0 {
		t.Errorf("exits with %d", code)
	}
}

// TestUpOutside embeds nothing where NATS is named.
func TestUpOutside(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(10e9) {
		t.Fatal("server does not start")
	}
	data := filepath.Join(t.TempDir(), "data")
	p := start(t, environment(t, "BELLHOP_NATS_URL="+s.ClientURL(), "BELLHOP_DATA="+data, "BELLHOP_NAMESPACE=blue"), "up", "--demo")
	p.await(t, `^  bellhop job create .* --namespace blue$`)
	p.await(t, sampleRun)
	if _, err := os.Stat(data); err == nil {
		t.Error("it made a store that nobody needs")
	}
	p.interrupt(t)
	p.await(t, "^bye: ")
	if code := p.exits(); code != 0 {
		t.Errorf("exits with %d", code)
	}
}

// TestUpRefuses sees each thing that somebody else may have told by the name of
// the variable that helps.
func TestUpRefuses(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()

	env := environment(t)
	first := start(t, env, "up")
	first.await(t, `^  bellhop job create `)

	for _, tt := range []struct {
		name string
		env  []string
		want string
	}{
		{"NATS port", environment(t, "BELLHOP_NATS_ADDR="+taken), "BELLHOP_NATS_ADDR=\"" + taken},
		{"HTTP port", environment(t, "BELLHOP_HTTP_ADDR="+taken), "BELLHOP_HTTP_ADDR=\"" + taken},
		{"directory", env, "BELLHOP_DATA="},
		{"identity without a server", environment(t, "BELLHOP_NATS_USER=ann"), "set BELLHOP_NATS_URL as well"},
		{"slip", environment(t, "BELLHOP_DATE=x"), "did you mean BELLHOP_DATA?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, tt.env, "up")
			if code := p.exits(); code != 2 || !strings.Contains(p.said(), tt.want) {
				t.Errorf("exits with %d, says %s", code, p.said())
			}
		})
	}
}

// describe gives a job's description, after which it has another one.
func describe(t *testing.T, url, name, description string) string {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	client := scheduler.NewClient(nc, "")
	job, err := client.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Update(t.Context(), name, 0, map[string]json.RawMessage{"description": scheduler.Text(description)})
	if err != nil {
		t.Fatal(err)
	}
	return job.Description
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
