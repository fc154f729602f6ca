package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a shell on a pseudo-terminal, and what it has shown.
type terminal struct {
	*testing.T
	tty   *os.File
	shown chan []byte
	text  string
}

func openTerminal(t *testing.T, env []string) *terminal {
	t.Helper()
	sh := exec.CommandContext(t.Context(), "bash", "--norc", "--noprofile")
	sh.Dir = "../.." // the repository
	sh.Env = append(env, "PS1=$ ", "TERM=dumb", "NO_COLOR=1")
	tty, err := pty.StartWithSize(sh, &pty.Winsize{Rows: 50, Cols: 400})
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{T: t, tty: tty, shown: make(chan []byte, 1000)}
	go func() {
		defer close(term.shown)
		const query = "\x1b[6n" // where is the cursor? A program that asks waits for the answer.
		var last []byte
		for {
			b := make([]byte, 4096)
			n, err := tty.Read(b)
			if err != nil {
				return
			}
			term.shown <- b[:n]
			last = append(last, b[:n]...)
			for range bytes.Count(last, []byte(query)) {
				if _, err := tty.WriteString("\x1b[50;1R"); err != nil {
					return
				}
			}
			last = bytes.Clone(last[max(0, len(last)-len(query)+1):])
		}
	}()
	t.Cleanup(func() {
		sh.Process.Kill()
		sh.Wait()
		tty.Close()
		for range term.shown { // to its end
		}
	})
	return term
}

func (t *terminal) write(s string) {
	t.Helper()
	if _, err := t.tty.WriteString(s); err != nil {
		t.Fatal(err)
	}
}

// await reads what the terminal shows until it matches, gives the match, and
// forgets all up to there.
func (t *terminal) await(pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for {
		if m := re.FindStringSubmatchIndex(t.text); m != nil {
			var groups []string
			for i := 0; i < len(m); i += 2 {
				groups = append(groups, t.text[m[i]:m[i+1]])
			}
			t.text = t.text[m[1]:]
			return groups
		}
		select {
		case b, ok := <-t.shown:
			if !ok {
				t.Fatalf("the terminal has ended without %q; it shows\n%s", pattern, t.text)
			}
			t.text += string(bytes.ReplaceAll(b, []byte("\r"), nil))
		case <-time.After(3 * time.Minute):
			t.Fatalf("the terminal waits for %q; it shows\n%s", pattern, t.text)
		}
	}
}

// seen tells whether the terminal shows within a few seconds what matches, as
// await has it.
func (t *terminal) seen(pattern string) bool {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for within := time.After(5 * time.Second); ; {
		if m := re.FindStringIndex(t.text); m != nil {
			t.text = t.text[m[1]:]
			return true
		}
		select {
		case b, ok := <-t.shown:
			if !ok {
				t.Fatalf("the terminal has ended without %q; it shows\n%s", pattern, t.text)
			}
			t.text += string(bytes.ReplaceAll(b, []byte("\r"), nil))
		case <-within:
			return false
		}
	}
}

// typed types a command, waits for its end, and gives its exit status and what
// it has shown.
func (t *terminal) typed(command string) (status, shown string) {
	t.Helper()
	t.write(command + "; echo \"[end\"\"ed $?]\"\n")
	end := t.await(`(?s)(.*)\[ended (\d+)\]\n`)
	_, shown, _ = strings.Cut(end[1], "\n") // after the command itself
	return end[2], shown
}

// script gives the README's commands, from top to bottom.
func script(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, block := range strings.Split(string(text), "\n```sh\n")[1:] {
		code, _, _ := strings.Cut(block, "\n```")
		commands = append(commands, strings.Split(code, "\n")...)
	}
	return commands
}

// answers are what commands of the README are to show, by how they begin.
var answers = []struct{ command, want string }{
	{`bellhop job create "My Job"`, `created "My Job": every 2s`},
	{`bellhop job create Invoices`, `created "Invoices": cron 0 9`},
	{`bellhop service call billing`, `billed`},
	{`bellhop job create Report`, `created "Report": every 1h`},
	{`bellhop service trigger billing`, "billed"},
	{`bellhop run logs cli:acme`, "a bill for ACME"},
	{`bellhop run list --active`, "no runs are under way"},
	{`curl -si http`, `202 Accepted(?s:.*)"run":"http:echo:4711"`},
	{"curl -s http://127.0.0.1:8080/api/v1/jobs -H", `"name":"Web"`},
	{`curl -s 'http://127.0.0.1:8080/api/v1/jobs?search`, `"total":1`},
	{`curl -s -X POST http`, `"run":"manual:`},
	{`curl -s 'http://127.0.0.1:8080/api/v1/jobs/Web/why`, `it was not there yet`},
	{`curl -s 'http://127.0.0.1:8080/api/v1/changes`, `"verb":"create"`},
	{`curl -si -X DELETE http`, `204 No Content`},
	{`curl -s http`, `hello`}, // as the output, and as that of a record
	{`bellhop token new`, `ci ring:billing,read sha256:(?s:.*)bellhop_`},
	{`bellhop run cancel`, `manual:\S+ is cancelled where it runs`},
	{`bellhop job list`, "My Job"},
	{`echo '[{"name":"Ebb"`, `created 2, updated 0, unchanged 0, deleted 0`},
	{`bellhop job get Ebb`, `dry run, nothing was done: created 0, updated 0, unchanged 2`},
	{`bellhop job next`, `T\d\d:\d\d:\d\d`},
	{`bellhop job update`, `every 1m`},
	{`bellhop job deactivate`, "inactive"},
	{`bellhop job activate`, "activated"},
	{`bellhop job run`, "manual:"},
	{`bellhop job history`, "create"},
	{`bellhop job log`, "create .*cli"},
	{`bellhop service trigger no-such-program`, "cli:"},
	{`bellhop work no-such-program`, `no-such-program +dead `},
	{`bellhop dead list`, "no-such-program +.*exit status 1"},
	{`bellhop dead show`, "payload: hello"},
	{`bellhop dead redrive --service`, "it would send the dead letter 1 back to work"},
	{`bellhop dead redrive 1`, "1 is rung again: cli:"},
	{`bellhop dead drop`, "no dead letters: nothing was done"},
	{`bellhop service call echo`, "hello"},
	{`bellhop service list`, "log-input +"},
	{`bellhop run list`, "log-input +.* ok "},
	{`bellhop channel list`, `http +http +connected`},
	{`bellhop cron explain`, "02:30 does not exist"},
	{`bellhop job delete`, "deleted"},
	{`bellhop doctor`, "ok +scheduler"},
	{`bellhop bench --list`, "append +"},
	{`bellhop bench`, `(?s)append +\d+ jobs +outside .*burst +\d+ jobs`},
	{`nats req bellhop.jobs.create`, `"state":"active"`},
	{`nats req bellhop.jobs.list`, `"name":"Tea Time"`},
	{`nats micro`, "bellhop"},
	{`nats kv get`, `"payload":"hello"`},
	{`nats sub`, "Bellhop-Job: Tea=20Time"},
	{`nats stream view`, "Bellhop-Run"},
	{`nats kv put`, "Europe/Prague"},
	{`nats req bellhop.jobs.run`, `"run":"manual`},
	{`nats req bellhop.jobs.delete`, "{}"},
	{`bellhop work`, `Ctrl-C stops`},
	{`go install`, ""},
	{`DIR=`, ""},
	{`nats stream backup`, "Received"},
}

// TestReadme types the README into terminals, from top to bottom: the first
// command runs in one of them until the end, the rest in another one.
func TestReadme(t *testing.T) {
	t.Parallel()
	nats, err := exec.CommandContext(t.Context(), "go", "tool", "-C", "../../.tools", "-n", "nats").Output()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(strings.TrimSpace(string(nats)), filepath.Join(bin, "nats")); err != nil {
		t.Fatal(err)
	}
	goenv, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Split(string(goenv), "\n")
	env := append(environment(t), "PATH="+bin+":"+os.Getenv("PATH"), "GOBIN="+bin,
		"GOCACHE="+caches[0], "GOMODCACHE="+caches[1], "GOPROXY="+caches[2], "GOFLAGS="+caches[3])

	commands := script(t)
	if len(commands) < 20 || !strings.HasPrefix(commands[0], "go run ./cmd/bellhop up") {
		t.Fatalf("the README begins with %q", commands)
	}
	up := openTerminal(t, env)
	cloned := time.Now()
	up.write(commands[0] + "\n")
	url := up.await(`NATS +(nats://\S+), embedded`)[1]
	page := up.await(`HTTP +(http://\S+) with`)[1]
	up.await(`\n  go run ./cmd/bellhop job create Mine .*\n`)
	up.await(`My Sample +log-input +ok `)
	t.Logf("from typing the first command to seeing the first run: %v", time.Since(cloned).Round(time.Millisecond))

	service := openTerminal(t, env)
	service.write("go run ./" + ownService(t, url) + "\n")
	term := openTerminal(t, append(env, "BELLHOP_NATS_URL="+url, "NATS_URL="+url))
	for _, command := range commands[1:] {
		if strings.HasPrefix(command, "go -C .tools tool task") { // this test is a part of it
			if status, shown := term.typed(command + " --list"); status != "0" || !strings.Contains(shown, "* test:") {
				t.Errorf("$ %s --list\n%s\nexits with %s", command, shown, status)
			}
			continue
		}
		if strings.HasPrefix(command, "bellhop service call billing") {
			service.await(`worker started`)
		}
		term.follow(command, page)
	}
	up.write("\x03")
	up.await(`draining`)
	up.await(`bye: \d+ runs`)
}

// ownService writes the README's Go program, with this server in place of the
// default one, into a directory of this module and gives its name.
func ownService(t *testing.T, url string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, ok := strings.Cut(string(text), "\n```go\n")
	if !ok {
		t.Fatal("the README has no Go program")
	}
	program, _, _ = strings.Cut(program, "\n```")
	if !strings.Contains(program, "nats.DefaultURL") {
		t.Fatal("the README's program connects elsewhere")
	}
	program = strings.Replace(program, "nats.DefaultURL", fmt.Sprintf("%q", url), 1)
	dir, err := os.MkdirTemp("../..", ".readme")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(dir)
}

// follow types one command, with the page at its own address, and checks what it
// shows. Those that go on for ever
// are left with Ctrl-C.
func (t *terminal) follow(command, page string) {
	t.Helper()
	for _, a := range answers {
		if !strings.HasPrefix(command, a.command) {
			continue
		}
		command = strings.ReplaceAll(command, "http://127.0.0.1:8080", page)
		if strings.HasPrefix(command, "bellhop bench ") { // it would take a minute
			command += " --scale 0.001"
		}
		switch {
		case strings.HasPrefix(command, "nats sub"), strings.HasPrefix(command, "nats stream view"), strings.HasPrefix(command, "bellhop work"):
			t.write(command + "\n")
			t.await(a.want)
			t.write("\x03")
			// A program that puts the terminal back may throw away what is typed
			// meanwhile: it is typed again. A Ctrl-C that comes while stream view
			// writes the last lines of a page does not keep it from asking for the
			// next one, and its question takes nothing but yes, no and Ctrl-C.
			for tries := 0; ; tries++ {
				if strings.Contains(t.text, "Next Page?") {
					t.write("\x03")
				}
				t.write("echo \"[le\"\"ft]\"\n")
				if t.seen(`\[left\]\n`) {
					break
				}
				if tries == 20 {
					t.Fatalf("$ %s\ncannot be left; the terminal shows\n%s", command, t.text)
				}
			}
		default:
			status, shown := t.typed(command)
			if status != "0" || !regexp.MustCompile(a.want).MatchString(shown) {
				t.Errorf("$ %s\n%s\nexits with %s; want %q in it", command, shown, status, a.want)
			}
		}
		return
	}
	t.Errorf("the README says %q, of which this test knows nothing", command)
}
