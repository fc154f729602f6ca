package cmd_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestPermissions runs each role with no more rights than docker/permissions.conf
// gives it: a job is made, rung, run, counted and deleted, a service called, a
// chain of jobs and services followed, a dead letter sent back to work, and a
// message taken from a queue to a service and from a service to a queue.
func TestPermissions(t *testing.T) {
	for _, role := range []string{"ADMIN", "SCHEDULER", "WORKER", "BRIDGE", "CLIENT"} {
		t.Setenv(role+"_PASSWORD", strings.ToLower(role)+"-secret")
	}
	s := serve(t, func() server.Options {
		o, err := server.ProcessConfigFile(filepath.Join("..", "docker", "permissions.conf"))
		if err != nil {
			t.Fatal(err)
		}
		o.Port = server.RANDOM_PORT
		return *o
	}())
	admin, err := nats.Connect(s.ClientURL(), nats.UserInfo("admin", "admin-secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	js, err := jetstream.New(admin)
	if err != nil {
		t.Fatal(err)
	}
	if err := scheduler.Setup(t.Context(), js, scheduler.Options{}); err != nil {
		t.Fatal(err)
	}

	dir := build(t)
	as := func(role string) []string {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(role+"-secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"BELLHOP_NATS_URL=" + s.ClientURL(), "BELLHOP_NATS_USER=" + role, "BELLHOP_NATS_PASSWORD_FILE=" + file}
	}
	lead := start(t, filepath.Join(dir, "bellhop-scheduler"), append(as("scheduler"), "BELLHOP_HISTORY=50", "BELLHOP_HTTP_ADDR=127.0.0.1:0")...)
	page := lead.await(t, `msg="serving HTTP" url=(\S+)`)[1]
	lead.await(t, `msg=leading`)
	services := filepath.Join(t.TempDir(), "services.yaml")
	if err := os.WriteFile(services, []byte("talks: {shell: 'echo told >&2; cat'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	work := start(t, filepath.Join(dir, "bellhop-worker"), append(as("worker"), "BELLHOP_SERVICES="+services)...)
	work.await(t, `msg="worker started"`)
	bridge, bridged := bridgeQueues(t, filepath.Join(dir, "bellhop-bridge"), as("bridge"))

	denied := make(chan error, 10)
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("client", "client-secret"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	records, err := nc.SubscribeSync("bellhop.run.j")
	if err != nil {
		t.Fatal(err)
	}
	client := scheduler.NewClient(nc, "")
	_, err = client.Create(t.Context(), &scheduler.Job{
		Name: "j", Service: "echo", Payload: scheduler.Text("hello"),
		Schedule: scheduler.Schedule{Every: scheduler.Duration(50 * time.Millisecond), MaxRuns: 3}, Overlap: workers.OverlapQueue,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		m, err := records.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(m.Data), `"outcome":"ok"`) {
			t.Errorf("a record says %s", m.Data)
		}
	}
	if _, err := client.Run(t.Context(), "j", nil); err != nil {
		t.Fatal(err)
	}
	if m, err := records.NextMsg(time.Minute); err != nil || !strings.Contains(string(m.Data), `"channel":"manual"`) {
		t.Errorf("after a run by hand: %v", err)
	}
	if m, err := nc.Request(workers.Namespace("").CallSubject("echo"), []byte("direct"), time.Minute); err != nil || string(m.Data) != "direct" {
		t.Errorf("called directly: %v", err)
	}
	if c, err := client.CancelRun(t.Context(), "manual:unheard-of"); err != nil || c.Outcome != "" {
		t.Errorf("cancelled: %v, %v", c, err)
	}
	followRun(t, nc)
	followChain(t, client, js)
	if _, err := client.History(t.Context(), "j"); err != nil {
		t.Error(err)
	}
	changeRecorded(t, js)
	for _, path := range []string{
		"/api/v1/jobs", "/api/v1/jobs/j", "/api/v1/jobs/j/history", "/api/v1/jobs/j/why?at=2020-01-01T00:00:00Z", "/api/v1/runs", "/api/v1/active",
		"/api/v1/dead", "/api/v1/services", "/api/v1/channels", "/api/v1/schedulers", "/api/v1/changes", "/ui/", "/ui/job?name=j", "/ui/timeline",
	} {
		if status, text := fetch(t, page+path); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	bridged(nc)
	if err := client.Delete(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("$KV.bellhop-jobs.j", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := <-denied; !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
		t.Errorf("writing past the scheduler: %v", err)
	}
	for name, d := range map[string]*daemon{"scheduler": lead, "worker": work, "bridge": bridge} {
		d.Process.Signal(os.Interrupt)
		for line := range d.log {
			if strings.Contains(strings.ToLower(line), "violation") || strings.Contains(line, "level=ERROR") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

// followRun waits for a run's output, and reads what it has told.
func followRun(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	run, answer, err := workers.NewDispatcher(js, "").RingWait(t.Context(), workers.Ring{Channel: "cli", Service: "talks", Payload: []byte("hello")}, time.Minute)
	if err != nil || answer == nil || string(answer.Output) != "hello" {
		t.Fatalf("waited for: %v, %v", answer, err)
	}
	var told []string
	for e, err := range workers.Follow(t.Context(), nc, js, "", run) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Line != nil {
			told = append(told, e.Line.Text)
		}
	}
	if len(told) != 1 || told[0] != "told" {
		t.Errorf("it has told %q", told)
	}
}

// followChain has a job be followed by another one, that by a service, and sends
// back to work what could not be rung.
// fetch reads a page.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// changeRecorded waits until the scheduler has recorded a change, which it does some
// milliseconds after its reply.
func changeRecorded(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	changes, err := scheduler.OpenChanges(t.Context(), js, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	recorded := false
	err = changes.Follow(ctx, scheduler.ChangeFilter{Job: "j"}, 0, func(c scheduler.Placed) bool {
		recorded = c.Verb == "create"
		return !recorded
	})
	if !recorded {
		t.Errorf("no change is recorded: %v", err)
	}
}

func followChain(t *testing.T, client *scheduler.Client, js jetstream.JetStream) {
	t.Helper()
	history, err := workers.OpenHistory(t.Context(), js, "")
	if err != nil {
		t.Fatal(err)
	}
	last, err := history.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	weekly := scheduler.Schedule{Every: scheduler.Duration(7 * 24 * time.Hour)}
	define := func(name, next string) {
		t.Helper()
		if _, err := client.Create(t.Context(), &scheduler.Job{Name: name, Service: "echo", Schedule: weekly, OnSuccess: next}); err != nil {
			t.Fatal(err)
		}
	}
	// ends waits for the end of a run of each job.
	ends := func(jobs ...string) {
		t.Helper()
		err := history.Follow(t.Context(), workers.RunFilter{Outcome: workers.OutcomeOK}, last, func(r *workers.Run) bool {
			jobs = slices.DeleteFunc(jobs, func(job string) bool { return job == r.Job && (job != "" || r.Parent != "") })
			return len(jobs) > 0
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	define("one", "job:two")
	define("two", "log-input")
	define("three", "job:four")
	for _, job := range []string{"one", "three"} {
		if _, err := client.Run(t.Context(), job, scheduler.Text("hello")); err != nil {
			t.Fatal(err)
		}
	}
	ends("one", "two", "", "three")
	var letters []*workers.Letter
	for l, err := range client.Letters(t.Context(), scheduler.LetterFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, l)
	}
	if len(letters) != 1 || letters[0].Target != "job:four" {
		t.Fatalf("dead letters: %v", letters)
	}
	define("four", "")
	if _, err := client.RedriveLetter(t.Context(), letters[0].ID); err != nil {
		t.Fatal(err)
	}
	ends("four")
	if _, err := client.Letter(t.Context(), letters[0].ID); scheduler.Code(err) != 404 {
		t.Errorf("after it was sent back to work: %v", err)
	}
	for _, job := range []string{"one", "two", "three", "four"} {
		if err := client.Delete(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
}
