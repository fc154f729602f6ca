//go:build unix

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/processtest"
	"github.com/bellhop-run/bellhop/kv/natstest"
)

// patience is how long a test waits for what must come, on a busy machine.
const patience = 3 * time.Minute

// built is the binary, which the first test that needs it builds.
var built struct {
	sync.Once
	binary string
	remove func()
	err    error
}

func TestMain(m *testing.M) {
	natstest.Main(m, func() {
		if built.remove != nil {
			built.remove()
		}
	})
}

// daemon is a process of the built binary.
type daemon struct {
	t    testing.TB
	cmd  *exec.Cmd
	done chan error

	mu  sync.Mutex
	log strings.Builder
}

// start starts the binary, with the configuration as name=value.
func start(t testing.TB, env ...string) *daemon {
	t.Helper()
	built.Do(func() { built.binary, built.remove, built.err = processtest.Build(".") })
	if built.err != nil {
		t.Fatal(built.err)
	}
	b := &daemon{t: t, cmd: exec.Command(built.binary), done: make(chan error, 1)}
	b.cmd.Env = append(env, "HOME="+t.TempDir(), "GORACE=halt_on_error=1")
	stderr, err := b.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(stderr); s.Scan(); {
			b.mu.Lock()
			fmt.Fprintln(&b.log, s.Text())
			b.mu.Unlock()
		}
		b.done <- b.cmd.Wait()
	}()
	t.Cleanup(b.kill)
	return b
}

func (b *daemon) said() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

// await waits until the log has a text.
func (b *daemon) await(text string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(b.said(), text); {
		if !wait(b.done, deadline) {
			b.t.Fatalf("it does not say %q:\n%s", text, b.said())
		}
	}
}

// wait waits a little; false when the time is over, or the process is.
func wait(done chan error, deadline time.Time) bool {
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case err := <-done:
		done <- err
		return false
	case <-t.C:
		return time.Now().Before(deadline)
	}
}

// exits waits for the process's end, and gives its exit code.
func (b *daemon) exits() int {
	b.t.Helper()
	select {
	case err := <-b.done:
		b.done <- err
	case <-time.After(patience):
		b.t.Fatalf("it does not end:\n%s", b.said())
	}
	return b.cmd.ProcessState.ExitCode()
}

// stop has it drain.
func (b *daemon) stop() {
	b.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	if code := b.exits(); code != 0 {
		b.t.Errorf("it exits with %d:\n%s", code, b.said())
	}
}

// kill ends it at once.
func (b *daemon) kill() {
	_ = b.cmd.Process.Kill() // it may have ended
	b.done <- <-b.done
}

// file writes a file of the test's own.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "channels.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
