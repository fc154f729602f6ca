package command_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/command"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

func TestPayload(t *testing.T) {
	binary := make([]byte, 900<<10)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(binary)
	for name, payload := range map[string][]byte{
		"none": nil, "empty": {}, "text": []byte("héllo\n"), "zero": {0}, "not text": {0xff, 0, '\r', '\n', 0x1a}, "900 KiB": binary,
	} {
		t.Run(name, func(t *testing.T) {
			before := bytes.Clone(payload)
			out, err := program(t, command.Options{}, "cat").Serve(t.Context(), &workers.Trigger{Payload: payload})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out, before) || !bytes.Equal(payload, before) {
				t.Errorf("%d bytes came back as %d others", len(before), len(out))
			}
			// One that does not read it.
			if _, err := script(t, command.Options{}, "exit 0").Serve(t.Context(), &workers.Trigger{Payload: payload}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trigger workers.Trigger
		want    []string
	}{
		{"all", workers.Trigger{
			Run: "My=20Sample@1", Job: "My=20Sample", Service: "a.b", Channel: "scheduler", Attempt: 2, LastError: "bad\nluck",
			Due:    time.Date(2026, 12, 7, 9, 0, 0, 5e6, time.UTC),
			Header: nats.Header{"traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "tracestate": {"a=b,c=d"}},
		}, []string{
			`KEPT=yes`, `TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`, `TRACESTATE=a=b,c=d`,
			`TRIGGER_ATTEMPT=2`, `TRIGGER_CHANNEL=scheduler`, `TRIGGER_DUE=2026-12-07T09:00:00.005Z`, `TRIGGER_JOB=My Sample`,
			`TRIGGER_JOB_KEY=My=20Sample`, "TRIGGER_LAST_ERROR=bad\nluck", `TRIGGER_RUN=My=20Sample@1`, `TRIGGER_SERVICE=a.b`,
		}},
		{"nothing", workers.Trigger{}, []string{
			`KEPT=yes`, `TRIGGER_ATTEMPT=0`, `TRIGGER_CHANNEL=`, `TRIGGER_DUE=`, `TRIGGER_JOB=`, `TRIGGER_JOB_KEY=`,
			`TRIGGER_LAST_ERROR=`, `TRIGGER_RUN=`, `TRIGGER_SERVICE=`,
		}},
		{"hostile", workers.Trigger{
			Run: "r", Job: "=00=0Ax", Attempt: 1, LastError: "a\x00b", Header: nats.Header{"traceparent": {strings.Repeat("x", 200_000)}},
		}, []string{
			`KEPT=yes`, `TRIGGER_ATTEMPT=1`, `TRIGGER_CHANNEL=`, `TRIGGER_DUE=`, "TRIGGER_JOB=\nx", `TRIGGER_JOB_KEY==00=0Ax`,
			`TRIGGER_LAST_ERROR=ab`, `TRIGGER_RUN=r`, `TRIGGER_SERVICE=`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := program(t, command.Options{Env: []string{"KEPT=yes", "TRIGGER_RUN=mine"}}, "env")
			out, err := p.Serve(t.Context(), &tt.trigger)
			if err != nil {
				t.Fatal(err)
			}
			var want strings.Builder
			for _, v := range tt.want {
				fmt.Fprintf(&want, "%q\n", v)
			}
			if d := cmp.Diff(want.String(), string(out)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestExit(t *testing.T) {
	long := strings.Repeat("y", 5000)
	for _, tt := range []struct {
		name, line string
		want       string // in the error; empty means success
		permanent  bool
	}{
		{"well", "echo said >&2; exit 0", "", false},
		{"badly", "exit 1", "exit status 1", false},
		{"with words", "echo first >&2; echo; echo ' last ' >&2; exit 7", "exit status 7: first\n last", false},
		{"for good", "echo no such customer >&2; exit 65", "exit status 65: no such customer", true},
		{"by a signal", "kill -9 $$", "signal: killed", false},
		{"not found by the shell", "no-such-program-anywhere", "exit status 127: ", false},
		{"with a long line", "echo " + long + " >&2; exit 3", "yyyy…", false},
		{"with many lines", "seq 100000 >&2; exit 3", "\n99999\n100000", false},
		{"without a newline", "printf 'a\\nb' >&2; exit 3", "exit status 3: a\nb", false},
		{"in no language", `printf '\377\376' >&2; exit 3`, "exit status 3: \uFFFD", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := script(t, command.Options{Env: os.Environ()}, tt.line).Serve(t.Context(), &workers.Trigger{})
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if workers.IsPermanent(err) != tt.permanent {
				t.Errorf("permanent: %v", !tt.permanent)
			}
			if err != nil && len(err.Error()) > 1<<10 {
				t.Errorf("the error has %d bytes, more than a record keeps", len(err.Error()))
			}
		})
	}
}

func TestStandardErrorIsLogged(t *testing.T) {
	var log journal
	p := script(t, command.Options{Env: os.Environ(), Logger: log.logger()}, `printf 'one\ntwo\r\n\nthree' >&2; echo not this`)
	if _, err := p.Serve(t.Context(), &workers.Trigger{Run: "r", Service: "s"}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one", "two", "three"} {
		if want := `level=INFO msg="standard error" service=s run=r line=` + line + "\n"; !strings.Contains(log.String(), want) {
			t.Errorf("no line %q in:\n%s", want, &log)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, &log)
	}
}

func TestHugeOutput(t *testing.T) {
	var log journal
	const most, all = 100_000, 12 << 20
	p := program(t, command.Options{MaxOutput: most, Logger: log.logger()}, "huge", fmt.Sprint(all))
	out, err := p.Serve(t.Context(), &workers.Trigger{})
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != strings.Repeat("x", most) {
		t.Errorf("%d bytes were kept", len(out))
	}
	if !strings.Contains(log.String(), fmt.Sprintf("bytes=%d kept=%d", all, most)) || !strings.Contains(log.String(), "bytes_dropped=") {
		t.Error("it does not say what was dropped")
	}
	if n := len(log.String()); n > 2<<20 {
		t.Errorf("%d bytes were logged", n)
	}
}

// TestGroup ends programs in every way while a child of theirs, which does not
// heed SIGTERM, is still there: it never survives.
func TestGroup(t *testing.T) {
	stopped := errors.New("stopped for a reason")
	for _, tt := range []struct {
		name  string
		child string // chatty: holds the program's output open
		how   string
		end   error // of the context; nil: the program ends by itself
	}{
		{"left behind in silence", "quiet", "leave", nil},
		{"left behind with our output", "chatty", "leave", nil},
		{"cancelled", "chatty", "wait", stopped},
		{"cancelled, in silence", "quiet", "wait", stopped},
		{"cancelled, ends well", "quiet", "tidy", stopped},
		{"cancelled, stubborn", "chatty", "stubborn", stopped},
		{"worker stops", "chatty", "stubborn", workers.ErrStopped},
		{"too late", "chatty", "stubborn", context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			grandchild := newWitness(t)
			p := program(t, command.Options{Grace: 100 * time.Millisecond}, "family", grandchild.address(), tt.child, tt.how)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			served := make(chan error)
			go func() {
				_, err := p.Serve(ctx, &workers.Trigger{})
				served <- err
			}()
			grandchild.born()
			if tt.end != nil {
				cancel(tt.end)
			}
			err := <-served
			if !errors.Is(err, tt.end) {
				t.Errorf("got %v, want %v", err, tt.end)
			}
			grandchild.dead()
		})
	}
}

// TestKill ends what runs without waiting for it.
func TestKill(t *testing.T) {
	grandchild := newWitness(t)
	p := program(t, command.Options{Grace: time.Hour}, "family", grandchild.address(), "chatty", "stubborn")
	served := make(chan error)
	go func() {
		_, err := p.Serve(t.Context(), &workers.Trigger{})
		served <- err
	}()
	grandchild.born()
	p.Kill()
	grandchild.dead()
	if err := <-served; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v", err)
	}
	p.Kill() // nobody is there
}

// TestKillWhileStarting leaves none that has just started, and none starts afterwards.
func TestKillWhileStarting(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 30 {
		p := script(t, command.Options{Grace: time.Millisecond}, "exec sleep 1000")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if _, err := p.Serve(ctx, &workers.Trigger{}); err == nil || ctx.Err() != nil {
					t.Errorf("it was not killed: %v", err)
				}
			})
		}
		time.Sleep(time.Duration(rand.IntN(int(4 * time.Millisecond)))) // to meet them anywhere
		p.Kill()
		all.Wait()
	}
}

// TestEndedContext starts nothing.
func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := script(t, command.Options{}, "exit 0").Serve(ctx, &workers.Trigger{}); !errors.Is(err, context.Canceled) || workers.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		o    command.Options
		want string
	}{
		{"nothing", nil, command.Options{}, "no program"},
		{"empty", []string{""}, command.Options{}, "no program"},
		{"unheard of", []string{"no-such-program-anywhere"}, command.Options{}, "no-such-program-anywhere"},
		{"no such path", []string{"./nowhere"}, command.Options{Dir: dir}, dir},
		{"not executable", []string{"./file"}, command.Options{Dir: dir}, "permission denied"},
		{"a directory", []string{dir}, command.Options{}, dir},
		{"no such directory", []string{"sh"}, command.Options{Dir: dir + "/no"}, "/no"},
		{"a file for a directory", []string{"sh"}, command.Options{Dir: file}, "not a directory"},
		{"zero byte", []string{"sh", "a\x00b"}, command.Options{}, "zero byte"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := command.New(tt.args, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestLostProgram is one that goes away, or never was one, while the worker runs.
func TestLostProgram(t *testing.T) {
	for name, text := range map[string]string{"gone": "", "no program": "\x00\x01", "without its interpreter": "#!/no/such/thing\n"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "run")
			if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
			p, err := command.New([]string{"./run"}, command.Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if text == "" {
				os.Remove(path)
			}
			if _, err := p.Serve(t.Context(), &workers.Trigger{}); !workers.IsPermanent(err) {
				t.Errorf("got %v, want a permanent error", err)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "run"), []byte("#!/bin/sh\npwd -P\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	// Through the shell: a program that was just written may still be open in a
	// process that another test is about to start.
	p, err := command.New([]string{"sh", "run"}, command.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := p.Serve(t.Context(), &workers.Trigger{}); err != nil || string(out) != dir+"\n" {
		t.Errorf("%q, %v", out, err)
	}
}
