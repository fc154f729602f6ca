package cmd_test

import (
	"os"
	"path/filepath"
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
// gives it: a job is made, rung, run, counted and deleted, a service called.
func TestPermissions(t *testing.T) {
	for _, role := range []string{"ADMIN", "SCHEDULER", "WORKER", "CLIENT"} {
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
	lead := start(t, filepath.Join(dir, "bellhop-scheduler"), as("scheduler")...)
	lead.await(t, `msg=leading`)
	work := start(t, filepath.Join(dir, "bellhop-worker"), as("worker")...)
	work.await(t, `msg="worker started"`)

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
		Schedule: scheduler.Schedule{Every: scheduler.Duration(50 * time.Millisecond), MaxRuns: 3},
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
	if err := client.Delete(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("$KV.bellhop-jobs.j", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := <-denied; !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
		t.Errorf("writing past the scheduler: %v", err)
	}
	for name, d := range map[string]*daemon{"scheduler": lead, "worker": work} {
		d.Process.Signal(os.Interrupt)
		for line := range d.log {
			if strings.Contains(strings.ToLower(line), "violation") || strings.Contains(line, "level=ERROR") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}
