package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
)

// stuckVariable makes of the test's own binary a process that takes notice of
// the first signal and does not end.
const stuckVariable = "BELLHOP_TEST_STUCK"

func TestMain(m *testing.M) {
	if os.Getenv(stuckVariable) != "" {
		ctx, stop := Interruptible(context.Background())
		defer stop()
		fmt.Println("running")
		<-ctx.Done()
		fmt.Println("draining")
		os.Stdin.Read(make([]byte, 1)) // for ever
	}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, config.Prefix+"_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

func TestDaemon(t *testing.T) {
	interrupted := func(ctx context.Context) {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
	}
	tests := []struct {
		name   string
		args   []string
		run    func(ctx context.Context) error
		code   int
		stdout string
		stderr string
	}{
		{"runs out", nil, func(context.Context) error { return nil }, ExitOK, "", "stopped"},
		{"fails", nil, func(context.Context) error { return errors.New("no luck") }, ExitFailed, "", "thing: no luck"},
		{"is misconfigured", nil, func(context.Context) error {
			return fmt.Errorf("start: %w", &config.Error{Variable: "BELLHOP_DATA", Want: "something else"})
		}, ExitConfig, "", "BELLHOP_DATA"},
		{"is stopped", nil, func(ctx context.Context) error { interrupted(ctx); return nil }, ExitOK, "", "stopped"},
		{"is stopped while it waits", nil, func(ctx context.Context) error {
			interrupted(ctx)
			return fmt.Errorf("wait: %w", ctx.Err())
		}, ExitOK, "", "stopped"},
		{"fails to stop", nil, func(ctx context.Context) error {
			interrupted(ctx)
			return errors.New("stuck")
		}, ExitFailed, "", "thing: stuck"},
		{"help", []string{"-h"}, nil, ExitOK, "BELLHOP_NATS_URL", ""},
		{"long help", []string{"--help"}, nil, ExitOK, "does things", ""},
		{"version", []string{"--version"}, nil, ExitOK, "thing ", ""},
		{"argument", []string{"start"}, nil, ExitConfig, "", `unexpected argument "start"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			d := Daemon{Name: "thing", About: "does things", Run: func(ctx context.Context, _ config.Config, _ *slog.Logger) error {
				return tt.run(ctx)
			}}
			if code := d.Main(tt.args, &stdout, &stderr); code != tt.code {
				t.Errorf("exits with %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("out %q, err %q", stdout.String(), stderr.String())
			}
		})
	}
}

func TestDaemonRefusesEnvironment(t *testing.T) {
	t.Setenv("BELLHOP_GRACES", "1s")
	var stderr strings.Builder
	d := Daemon{Name: "thing", Run: func(context.Context, config.Config, *slog.Logger) error { t.Error("runs"); return nil }}
	if code := d.Main(nil, nil, &stderr); code != ExitConfig || !strings.Contains(stderr.String(), "BELLHOP_GRACE?") {
		t.Errorf("%d: %s", code, stderr.String())
	}
}

// TestSecondInterrupt sends SIGINT to a process that drains for ever: the second
// one ends it.
func TestSecondInterrupt(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), stuckVariable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"running", "draining"} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("it says %q, want %q", lines.Text(), want)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
		t.Errorf("it ends with %v", err)
	}
}
