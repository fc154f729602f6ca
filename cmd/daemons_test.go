package cmd_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	// What the daemons are made of: a test's remembered result is forgotten when
	// what it imports has changed, and this test builds what it does not import.
	_ "github.com/bellhop-run/bellhop/cmd/internal/bridge"
	_ "github.com/bellhop-run/bellhop/cmd/internal/connect"
	_ "github.com/bellhop-run/bellhop/cmd/internal/process"
	_ "github.com/bellhop-run/bellhop/cmd/internal/services"
	_ "github.com/bellhop-run/bellhop/cmd/internal/telemetry"
	_ "github.com/bellhop-run/bellhop/cmd/internal/wiring"
	_ "github.com/bellhop-run/bellhop/workers/stock"
)

// daemon is a started process of ours, whose log can be read.
type daemon struct {
	*exec.Cmd
	log chan string
}

func start(t *testing.T, binary string, env ...string) *daemon {
	t.Helper()
	d := &daemon{Cmd: exec.CommandContext(t.Context(), binary), log: make(chan string, 10_000)}
	d.Env = append(env, "HOME="+t.TempDir(), "GORACE=halt_on_error=1")
	stderr, err := d.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.log)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			d.log <- s.Text()
		}
	}()
	t.Cleanup(func() { d.Process.Kill(); d.exits() })
	return d
}

// await reads the log up to a line that matches, and gives the match.
func (d *daemon) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var all strings.Builder
	for line := range d.log {
		fmt.Fprintln(&all, line)
		if m := re.FindStringSubmatch(line); m != nil {
			return m
		}
	}
	t.Fatalf("it has ended without a line like %q:\n%s", pattern, all.String())
	return nil
}

// exits gives the code that the process exits with.
func (d *daemon) exits() int {
	for range d.log { // to its end
	}
	d.Wait()
	return d.ProcessState.ExitCode()
}

// build makes the daemons and gives their directory.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"go", "build", "-o", dir}
	if raceDetector {
		args = append(args, "-race")
	}
	output(t, append(args, "./cmd/bellhop-scheduler", "./cmd/bellhop-worker", "./cmd/bellhop-bridge")...)
	return dir
}

// serve runs a NATS server on a port until the test ends.
func serve(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.NoSigs, o.NoLog, o.JetStream, o.StoreDir = "127.0.0.1", true, true, true, t.TempDir()
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server does not start")
	}
	return s
}

// TestDaemons starts a scheduler and a worker before there is a NATS server,
// has one come, makes a job, sees it run, and stops them.
func TestDaemons(t *testing.T) {
	dir := build(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	url := fmt.Sprintf("BELLHOP_NATS_URL=nats://127.0.0.1:%d", port)

	timekeeper := start(t, filepath.Join(dir, "bellhop-scheduler"), url, "BELLHOP_HTTP_ADDR=127.0.0.1:0")
	defined := filepath.Join(t.TempDir(), "services.yaml")
	if err := os.WriteFile(defined, []byte("greet:\n  shell: echo \"$TRIGGER_CHANNEL says $(cat)\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	worker := start(t, filepath.Join(dir, "bellhop-worker"), url, "BELLHOP_SERVICES="+defined)
	timekeeper.await(t, "waiting for NATS")
	worker.await(t, "waiting for NATS")
	s := serve(t, server.Options{Port: port})
	url = timekeeper.await(t, `serving HTTP.*url=(\S+)`)[1]
	timekeeper.await(t, "msg=leading")
	worker.await(t, "worker started")
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_, err = scheduler.NewClient(nc, "").Create(t.Context(), &scheduler.Job{
		Name: "My Sample", Service: "log-input", Payload: scheduler.Text("hello"),
		Schedule: scheduler.Schedule{Every: scheduler.Duration(100 * time.Millisecond)},
	})
	if err != nil {
		t.Fatal(err)
	}
	worker.await(t, "hello")
	worker.await(t, "hello")
	if m, err := nc.Request("bellhop.call.greet", []byte("hi"), time.Minute); err != nil || string(m.Data) != "call says hi\n" {
		t.Errorf("greet: %v, %v", m, err)
	}
	resp, err := http.Get(url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("healthz: %s", resp.Status)
	}

	for _, d := range []*daemon{worker, timekeeper} {
		if err := d.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		d.await(t, "msg=stopped")
		if code := d.exits(); code != 0 {
			t.Errorf("%s exits with %d", d.Path, code)
		}
	}

	if code := start(t, filepath.Join(dir, "bellhop-worker"), "BELLHOP_SERVICES=/does/not/exist").exits(); code != 2 {
		t.Errorf("without its file the worker exits with %d", code)
	}

	guarded := serve(t, server.Options{Port: server.RANDOM_PORT, Username: "ann", Password: "s3cret"})
	for _, name := range []string{"bellhop-scheduler", "bellhop-worker"} {
		for env, code := range map[string]int{
			"BELLHOP_NATS_URL=" + guarded.ClientURL(): 1,
			"BELLHOP_NATS_URL=mailto:ann":             2,
			"BELLHOP_NATS_CREDS=/does/not/exist":      2,
		} {
			if got := start(t, filepath.Join(dir, name), env).exits(); got != code {
				t.Errorf("%s %s exits with %d, want %d", env, name, got, code)
			}
		}
	}
}
