package main

import (
	"os/exec"
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
