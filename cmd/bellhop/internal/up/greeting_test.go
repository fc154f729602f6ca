package up

import (
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

func TestGreeting(t *testing.T) {
	now := time.Date(2026, 12, 7, 9, 0, 0, 0, time.Local)
	g := greeting{
		config: config.Config{}, command: "bellhop", server: config.DefaultURL, dir: "/d", http: "http://127.0.0.1:8080",
		services: []string{"log-input", "echo"}, demo: demoJobs(now),
	}
	want := `Bellhop ` + workers.Version + `

  NATS      nats://127.0.0.1:4222, embedded
  data      /d, synced at every write
  HTTP      http://127.0.0.1:8080 with the dashboard, /api/v1, /healthz and /metrics
            POST /services/NAME rings, GET /runs/ID tells
  services  log-input, echo
  jobs      My Sample      every 2s         rings log-input
            On the minute  cron * * * * *   rings echo
            Just once      at 09:00:10      rings log-input

Each run is a line: due, lateness, job, service, outcome, duration. Ctrl-C stops.
Make a job yourself, from another terminal:

  bellhop job create Mine --service log-input --every 5s --payload hi`
	if diff := cmp.Diff(want, g.String()); diff != "" {
		t.Error(diff)
	}

	g = greeting{config: config.Config{Namespace: "blue", Sync: config.Sync(time.Second)}, command: "go run ./cmd/bellhop", server: "nats://far:4222"}
	text := g.String()
	for _, not := range []string{"embedded", "data", "HTTP", "jobs  "} {
		if strings.Contains(text, not) {
			t.Errorf("says %q of what is not there:\n%s", not, text)
		}
	}
	if lines := strings.Split(text, "\n"); !strings.HasSuffix(lines[len(lines)-1], " --server nats://far:4222 --namespace blue") {
		t.Errorf("last line: %s", lines[len(lines)-1])
	}
}
