package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// examine runs bellhop doctor -o json and gives what it found, a line for each:
// "ok server nats-server 2.15.2".
func examine(t *testing.T, code int, env []string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, "doctor", "-o", "json")
	c.Env = env
	out, err := c.Output()
	if c.ProcessState.ExitCode() != code {
		t.Errorf("doctor exits with %d (%v), not %d:\n%s", c.ProcessState.ExitCode(), err, code, out)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		var f struct{ Level, What, Found, Do string }
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if f.Level != "ok" && f.Do == "" {
			t.Errorf("nothing is to be done about %q", line)
		}
		all = append(all, f.Level+" "+f.What+" "+f.Found)
	}
	return strings.Join(all, "\n")
}

func expect(t *testing.T, report string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(report, w) {
			t.Errorf("the report does not say %q:\n%s", w, report)
		}
	}
}

// TestDoctor breaks one thing after the other.
func TestDoctor(t *testing.T) {
	t.Parallel()
	p, url := upServer(t, "BELLHOP_SYNC=1s")
	env, do := client(t, url)
	report := examine(t, 0, env)
	expect(t, report, "ok connection "+url, "ok server nats-server 2.", "ok clock agrees", "ok stream bellhop-triggers",
		"ok bucket bellhop-jobs", "leads; nobody stands by", "ok jobs 0", "ok services 2 have workers", "ok permissions")
	if strings.Contains(report, "warn") {
		t.Errorf("it finds fault with what is as it should be:\n%s", report)
	}

	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	// A broken definition, a service that nobody serves, a stream with settings
	// that lose runs, one that is gone.
	if _, err := js.Publish(t.Context(), "$KV.bellhop-jobs.broken", []byte(`{"service":`)); err != nil {
		t.Fatal(err)
	}
	do("job", "create", "fine", "-s", "echo", "--every", "1h") // by now the scheduler knows of both
	do("service", "trigger", "nobody")
	rings, err := js.Stream(t.Context(), "bellhop-rings")
	if err != nil {
		t.Fatal(err)
	}
	c := rings.CachedInfo().Config
	c.Discard = jetstream.DiscardOld
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "bellhop-dead"); err != nil {
		t.Fatal(err)
	}
	expect(t, examine(t, 1, env), "fail stream bellhop-rings", "discard", "fail stream bellhop-dead is missing",
		`warn jobs 2, of which 1 are active; 1 cannot be read: "broken"`,
		"warn service nobody: 0 triggers and 1 rings wait, and it has no worker")

	p.interrupt(t)
	p.exits()
	expect(t, examine(t, 1, env), "fail connection cannot connect to NATS at "+url+": nobody answers")
}

// TestDoctorOutside sees a NATS without any Bellhop, and one that allows little.
func TestDoctorOutside(t *testing.T) {
	t.Parallel()
	o := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 8 << 10,
		Users: []*server.User{
			{Username: "all"},
			{Username: "few", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"$JS.API.>", "bellhop.jobs.>"}}}},
		},
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(10e9) {
		t.Fatal("server does not start")
	}
	env := environment(t, "BELLHOP_NATS_URL="+s.ClientURL(), "BELLHOP_NATS_USER=all")
	expect(t, examine(t, 1, env), "warn max_payload 8192", "ok jetstream", "fail stream bellhop-triggers is missing",
		"fail scheduler none runs", "fail jobs not known: no scheduler is leading")

	env = environment(t, "BELLHOP_NATS_URL="+s.ClientURL(), "BELLHOP_NATS_USER=few")
	expect(t, examine(t, 1, env), "fail jetstream not known", `forbidden: Publish to "$JS.API.INFO"`)

	// Any other command says at once what is forbidden.
	list := exec.CommandContext(t.Context(), binary, "job", "list")
	list.Env = env
	out, err := list.CombinedOutput()
	if list.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), `Violation for Publish to "bellhop.jobs.list"`) {
		t.Errorf("job list: %v\n%s", err, out)
	}
}
