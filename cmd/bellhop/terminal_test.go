package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestConfirm answers at a terminal: only a yes deletes.
func TestConfirm(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("there is no script(1) to make a terminal")
	}
	_, url := upServer(t, "BELLHOP_SYNC=1s")
	env, do := client(t, url)
	do("job", "create", "a job", "-s", "echo", "--every", "1h")
	answer := func(text string) string {
		c := exec.CommandContext(t.Context(), "script", "-qec", binary+" job delete 'a job'", "/dev/null")
		c.Env, c.Stdin = env, strings.NewReader(text)
		out, _ := c.CombinedOutput() // what it says is looked at, and what becomes of the job
		return string(out)
	}
	if said := answer("n\n"); !strings.Contains(said, `delete the job "a job" for good? [y/N]`) || !strings.Contains(said, "nothing was done") {
		t.Error(said)
	}
	do("job", "get", "a job")
	if said := answer("y\n"); !strings.Contains(said, `deleted "a job"`) {
		t.Error(said)
	}
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
