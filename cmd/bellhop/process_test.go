package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bellhop-run/bellhop/cmd/internal/processtest"
)

// binary is the built command. See TestMain.
var binary string

func TestMain(m *testing.M) {
	// Who was started in the background ignores these, and would hand that on to
	// whatever the tests start, and interrupt.
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	path, remove, err := processtest.Build(".")
	if err != nil {
		panic(err)
	}
	binary = path
	code := m.Run()
	remove()
	os.Exit(code)
}

// running is a started bellhop, whose screen can be read.
type running struct {
	*exec.Cmd
	lines  chan string // standard output
	errors chan string // standard error, as far as it has room
	mu     sync.Mutex
	all    strings.Builder // standard output and error
}

// environment is one in which a process of ours disturbs nobody: free ports and
// directories of the test's own.
func environment(t *testing.T, more ...string) []string {
	t.Helper()
	env := []string{
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"),
		"BELLHOP_DATA=" + filepath.Join(t.TempDir(), "data"),
		"BELLHOP_NATS_ADDR=127.0.0.1:0", "BELLHOP_HTTP_ADDR=127.0.0.1:0",
		"GORACE=halt_on_error=1 atexit_sleep_ms=0",
	}
	return append(env, more...)
}

func start(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	return startProcess(t, env, binary, args...)
}

func startProcess(t *testing.T, env []string, name string, args ...string) *running {
	t.Helper()
	p := &running{Cmd: exec.CommandContext(t.Context(), name, args...), lines: make(chan string, 10_000), errors: make(chan string, 10_000)}
	p.Env = env
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(p.lines)
		p.read(stdout, func(line string) { p.lines <- line })
	})
	reading.Go(func() {
		p.read(stderr, func(line string) {
			select {
			case p.errors <- line:
			default: // nobody looks
			}
		})
	})
	t.Cleanup(func() {
		p.Process.Kill()
		reading.Wait()
		p.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", strings.Join(args, " "), p.said())
		}
	})
	return p
}

func (p *running) read(r io.Reader, each func(string)) {
	for s := bufio.NewScanner(r); s.Scan(); {
		p.mu.Lock()
		p.all.WriteString(s.Text() + "\n")
		p.mu.Unlock()
		each(s.Text())
	}
}

func (p *running) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.String()
}

// await reads the screen up to a line that matches, and gives the match. Go
// test's own timeout bounds it.
func (p *running) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for line := range p.lines {
		if m := re.FindStringSubmatch(line); m != nil {
			return m
		}
	}
	t.Fatalf("it has ended without a line like %q", pattern)
	return nil
}

// awaitError reads standard error up to a line that matches, and gives the match.
func (p *running) awaitError(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for {
		select {
		case line := <-p.errors:
			if m := re.FindStringSubmatch(line); m != nil {
				return m
			}
		case <-t.Context().Done():
			t.Fatalf("no line of standard error is like %q", pattern)
		}
	}
}

// exits reads the rest and gives the code that the process exits with.
func (p *running) exits() int {
	for range p.lines { // to its end
	}
	p.Wait()
	return p.ProcessState.ExitCode()
}

// interrupt does what Ctrl-C does.
func (p *running) interrupt(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
}
