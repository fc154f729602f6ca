package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs each script of testdata in a shell of its own, with a
// bellhop up of its own on free ports.
func TestScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, script := range scripts {
		t.Run(filepath.Base(script), func(t *testing.T) {
			_, url := upServer(t, "BELLHOP_SYNC=1s")
			testscript.Run(t, testscript.Params{
				Files: []string{script},
				Setup: func(e *testscript.Env) error {
					e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
					e.Setenv("BELLHOP_NATS_URL", url)
					e.Setenv("TZ", "UTC")
					e.Setenv("GORACE", "halt_on_error=1 atexit_sleep_ms=0")
					return nil
				},
				Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
				RequireExplicitExec: true,
			})
		})
	}
}

// exits runs a command that must exit with a code: exits 3 bellhop job get x.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		e, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("it exits with %d, not %d", got, want)
	}
}
