// Package cmd_test holds what is true of the repository as a whole.
package cmd_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// command is what the README, CI and the Taskfile itself call the tests with.
var command = []string{"go", "-C", ".tools", "tool", "task"}

func output(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = ".." // the repository
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// TestDaemonsCarryNoServer keeps the NATS server out of what does not embed it.
func TestDaemonsCarryNoServer(t *testing.T) {
	const server = "github.com/nats-io/nats-server"
	for name, carries := range map[string]bool{
		"bellhop":           true, // or this test looks for the wrong thing
		"bellhop-scheduler": false,
		"bellhop-worker":    false,
		"bellhop-bridge":    false,
	} {
		if strings.Contains(output(t, "go", "list", "-deps", "./cmd/"+name), server) != carries {
			t.Errorf("%s links %s: want %v", name, server, carries)
		}
	}
}

// TestOneTestCommand sees that people and machines run the same.
func TestOneTestCommand(t *testing.T) {
	line := strings.Join(command, " ")
	for _, path := range []string{"README.md", "Taskfile.yml", ".ci/run"} {
		text, err := os.ReadFile("../" + path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), line) {
			t.Errorf("%s does not say %q", path, line)
		}
	}
}

// TestTasks has the task runner list its tasks: few, and each of them told.
func TestTasks(t *testing.T) {
	var listed struct {
		Tasks []struct{ Name, Desc string }
	}
	out := output(t, append(command, "--list-all", "--json")...)
	if err := json.Unmarshal([]byte(out), &listed); err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, task := range listed.Tasks {
		if !strings.Contains(task.Name, ":") { // test:compare is found beside test
			names[task.Name] = true
		}
		if task.Desc == "" {
			t.Errorf("task %s has no description", task.Name)
		}
	}
	families := make(map[string]bool) // bench and bench:full are remembered as one
	for name := range names {
		family, _, _ := strings.Cut(name, ":")
		families[family] = true
	}
	if len(families) > 12 {
		t.Errorf("there are %d tasks, more than anybody remembers", len(families))
	}
	for _, name := range []string{"default", "build", "test", "lint", "fmt", "vuln", "bench", "fuzz"} {
		if !names[name] {
			t.Errorf("there is no task %s", name)
		}
	}
}
