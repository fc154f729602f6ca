package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestConfirmDeadLetters says how many are chosen before anything is done; one
// alone is not asked about.
func TestConfirmDeadLetters(t *testing.T) {
	t.Parallel()
	_, url := upServer(t, "BELLHOP_SYNC=1s")
	env, do := client(t, url)
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, service := range []string{"a", "b", "b"} {
		if _, err := nc.Request("bellhop.dead."+service, []byte("pay"), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	term := openTerminal(t, env)
	answer := func(command, question, text, want string) {
		t.Helper()
		term.write(binary + " dead " + command + "\n")
		term.await(question)
		term.write(text)
		term.await(want)
	}
	answer("redrive --all", `send 3 dead letters \(b: 2, a: 1\) back to work\? \[y/N\]`, "\n", "nothing was done")
	answer("drop --service b", `drop 2 dead letters \(b: 2\) for good\? \[y/N\]`, "y\n", "dropped 2\ndropped 3")
	do("dead", "show", "1")
	answer("redrive --service a", `1 is rung again: bellhop-dead:1`, "", "")
}

// TestRedriveBesideARefusal sends back what can be, though the oldest letter
// cannot.
func TestRedriveBesideARefusal(t *testing.T) {
	t.Parallel()
	_, url := upServer(t, "BELLHOP_SYNC=1s")
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, place := range []string{"bellhop-rings:7", "bellhop-rings:8", ""} {
		m := nats.NewMsg("bellhop.dead.s")
		if place != "" {
			m.Header.Set("Bellhop-Omitted", "3")
			m.Header.Set("Bellhop-Place", place)
		}
		if _, err := nc.RequestMsg(m, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), binary, "dead", "redrive", "--all", "--yes")
	c.Env = environment(t, "BELLHOP_NATS_URL="+url)
	out, err := c.CombinedOutput()
	if code := c.ProcessState.ExitCode(); code != 4 {
		t.Errorf("it exits with %d (%v)", code, err)
	}
	for _, want := range []string{"no longer at bellhop-rings:7", "no longer at bellhop-rings:8", "3 is rung again: bellhop-dead:3\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it says\n%s\nwithout %q", out, want)
		}
	}
	c = exec.CommandContext(t.Context(), binary, "dead", "show", "1", "--payload")
	c.Env = environment(t, "BELLHOP_NATS_URL="+url)
	if out, _ := c.CombinedOutput(); c.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "may still be at bellhop-rings:7") {
		t.Errorf("its payload is %s", out)
	}
}
