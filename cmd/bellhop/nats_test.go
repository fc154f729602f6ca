package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// expected is what the README's nats commands are to answer, by how they begin,
// in the README's order. Those that would go on for ever are stopped by a flag
// that is added here.
var expected = []struct{ command, flags, want string }{
	{"nats req bellhop.jobs.create", "", `"state":"active"`},
	{"nats req bellhop.jobs.list", "", `"name":"Tea Time"`},
	{"nats micro ls", "", "bellhop"},
	{"nats micro info bellhop", "", "bellhop.jobs.create"},
	{"nats kv get", "", `"payload":"hello"`},
	{"nats sub", "--count 1", "Bellhop-Job: Tea=20Time"},
	{"nats stream view", "", "bellhop.trigger.log-input"},
	{"nats kv put", "", "Europe/Prague"},
	{"nats req bellhop.jobs.run", "", `"run":"manual`},
	{"nats req bellhop.jobs.delete", "", "{}"},
}

// TestNatsCommands types the README's nats commands, one by one, into a shell.
func TestNatsCommands(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "tool", "-C", "../../.tools", "-n", "nats").Output()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, environment(t), "up")
	url := p.await(t, `NATS +(nats://\S+),`)[1]
	p.await(t, `^  bellhop job create `)

	bin := t.TempDir() // so that the shell finds this nats, and no other
	if err := os.Symlink(strings.TrimSpace(string(out)), filepath.Join(bin, "nats")); err != nil {
		t.Fatal(err)
	}
	commands := readme(t)
	if len(commands) != len(expected) {
		t.Fatalf("the README has %d nats commands, this test knows %d", len(commands), len(expected))
	}
	for i, command := range commands {
		e := expected[i]
		if !strings.HasPrefix(command, e.command) {
			t.Fatalf("the README says %q where this test knows %q", command, e.command)
		}
		env := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NATS_URL=" + url}
		if strings.HasPrefix(command, "nats stream view") { // which insists on a terminal
			term := openTerminal(t, env)
			term.write(command + "\n")
			term.await(e.want)
			continue
		}
		sh := exec.CommandContext(t.Context(), "sh", "-c", command+" "+e.flags)
		sh.Env = env
		out, err := sh.CombinedOutput()
		if err != nil || !strings.Contains(string(out), e.want) || strings.Contains(string(out), "Nats-Service-Error") {
			t.Errorf("$ %s\n%s%v: want %q in it", command, out, err, e.want)
		}
	}
	// The worker rang for what was made and for what was asked for by hand.
	p.await(t, `Tea Time +log-input +ok`)
	p.await(t, `nightly +log-input +ok`)
}

// readme gives the README's commands that begin with nats, but for backups, of
// which TestReadme makes some.
func readme(t *testing.T) []string {
	t.Helper()
	f, err := os.Open("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var commands []string
	in := false
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "```") {
			in = s.Text() == "```sh"
		} else if in && strings.HasPrefix(s.Text(), "nats ") && !strings.Contains(s.Text(), " backup ") {
			commands = append(commands, s.Text())
		}
	}
	return commands
}
