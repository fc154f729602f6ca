package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
)

// client gives an environment in which commands find the server, and a
// function that runs one of them.
func client(t *testing.T, url string) (env []string, do func(args ...string)) {
	env = environment(t, "BELLHOP_NATS_URL="+url, "TZ=UTC")
	return env, func(args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), binary, args...)
		c.Env = env
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("bellhop %q: %v\n%s", args, err, out)
		}
	}
}

// TestOutcomes sees what becomes of a run in the exit code: the services here
// fail, panic, and answer in bytes.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	_, url := upServer(t, "BELLHOP_SYNC=1s")
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	w := workers.New(nc, workers.Options{Logger: slog.New(slog.DiscardHandler)})
	w.HandleFunc("fails", func(context.Context, *workers.Trigger) ([]byte, error) {
		return nil, workers.Permanent(errors.New("no luck"))
	})
	w.HandleFunc("panics", func(context.Context, *workers.Trigger) ([]byte, error) { panic("oh") })
	w.HandleFunc("bytes", func(context.Context, *workers.Trigger) ([]byte, error) { return []byte("\xff\x00"), nil })
	w.HandleFunc("slow", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()

	env := environment(t, "BELLHOP_NATS_URL="+url)
	for _, tt := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"service trigger bytes --follow", 0, "\xff\x00", "cli:"},
		{"service call bytes", 0, "\xff\x00", ""},
		{"service call fails", 6, "", "failed: no luck"},
		{"service call panics", 6, "", "oh"},
		{"service call slow --timeout 50ms", 6, "", ""},
		{"service trigger fails --follow", 6, "", "dead: no luck"},
		{"service trigger slow --timeout 50ms --attempts 1 --follow", 6, "", "dead: "},
		{"run list --outcome dead -o json --service fails", 0, `"outcome":"dead","error":"no luck"`, ""},
		{"run cancel cli:1 cli:2", 0, "cli:1 is cancelled where it runs, or when it is its turn\ncli:2 is", ""},
	} {
		c := exec.CommandContext(t.Context(), binary, strings.Fields(tt.args)...)
		var stdout, stderr bytes.Buffer
		c.Env, c.Stdout, c.Stderr = env, &stdout, &stderr
		err := c.Run()
		if code := c.ProcessState.ExitCode(); code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("bellhop %s exits with %d (%v), says %q and %q", tt.args, code, err, stdout.String(), stderr.String())
		}
	}
}
