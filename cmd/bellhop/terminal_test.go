package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestConfirm answers at a terminal: only a yes deletes.
func TestConfirm(t *testing.T) {
	t.Parallel()
	_, url := upServer(t, "BELLHOP_SYNC=1s")
	env, do := client(t, url)
	do("job", "create", "a job", "-s", "echo", "--every", "1h")
	term := openTerminal(t, env)
	answer := func(text, want string) {
		term.write(binary + " job delete 'a job'\n")
		term.await(`delete the job "a job" for good\? \[y/N\]`)
		term.write(text)
		term.await(want)
	}
	answer("n\n", "nothing was done")
	do("job", "get", "a job")
	answer("y\n", `deleted "a job"`)
	c := exec.CommandContext(t.Context(), binary, "job", "get", "a job")
	c.Env = env
	if c.Run(); c.ProcessState.ExitCode() != 3 {
		t.Error("the job is still there")
	}
}

// TestInterruptedInput leaves a command that waits for its input.
func TestInterruptedInput(t *testing.T) {
	t.Parallel()
	p := &running{Cmd: exec.CommandContext(t.Context(), binary, "service", "call", "echo", "-")}
	p.Env = environment(t)
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	// As much as no pipe holds: when it is written, the command reads.
	if _, err := in.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	p.interrupt(t)
	p.Wait()
	if p.ProcessState.Success() {
		t.Error("it goes on")
	}
}

// TestApplyAtATerminal stops a large file in the middle, and applies it again.
func TestApplyAtATerminal(t *testing.T) {
	t.Parallel()
	_, url := upServer(t, "BELLHOP_SYNC=1s")
	env, do := client(t, url)
	const n = 30_000
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"name":"job %05d","service":"none","schedule":{"every":"1d"}}`+"\n", i)
	}
	file := filepath.Join(t.TempDir(), "jobs.json")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	term := openTerminal(t, env)
	term.write(binary + " job apply -f " + file + "; echo \"[end\"\"ed $?]\"\n")
	term.await(`\[#*\.*\] \d+ of 30000`)
	term.write("\x03")
	end := term.await(`(?:bellhop: (\d+) of 30000 changes are made; applying the file again makes the rest|created 30000, )[^\[]*\[ended (\d)\]`)
	t.Logf("it was stopped after %q", end[1])
	if (end[1] == "") != (end[2] == "0") {
		t.Errorf("it exits with %s", end[2])
	}
	do("job", "apply", "-f", file)
	status, shown := term.typed(binary + " job apply -f " + file + " 2>/dev/null")
	if want := "created 0, updated 0, unchanged 30000, deleted 0\n"; status != "0" || !strings.HasSuffix(shown, want) {
		t.Errorf("exits with %s, shows %q", status, shown)
	}
}
