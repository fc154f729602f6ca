package services

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sub", "bill.sh"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, text string
		want       []Definition
	}{
		{"nothing", "", nil},
		{"comments", "# none yet\n", nil},
		{"null", "~\n", nil},
		{"all of it", `
billing.eu:
  command: [./bill.sh, --fast, 3, "", true]
  timeout: 10m
  attempts: 5
  concurrency: 2
  fleet: 6
  rate: 90/m
  priority: -3
  backoff: 2s
  max_backoff: 1h
  description: "Sends bills: all of them"
  version: 1.4.0-rc.1+b2
  dir: sub
  env: {LANG: C, N: 1, EMPTY: "", YES: yes}
greet:
  shell: echo "$TRIGGER_JOB says"; cat
crm:
  url: https://crm.example/hook
  headers: {authorization: Bearer secret, X-Number: 1}
`, []Definition{
			{
				Name: "billing.eu", Command: []string{"./bill.sh", "--fast", "3", "", "true"}, Dir: dir + "/sub",
				Env: []string{"LANG=C", "N=1", "EMPTY=", "YES=yes"},
				ServiceOptions: workers.ServiceOptions{
					Description: "Sends bills: all of them", Version: "1.4.0-rc.1+b2",
					Concurrency: 2, Fleet: 6, Rate: 1.5, Priority: -3,
					Timeout: 10 * time.Minute, Attempts: 5, Backoff: 2 * time.Second, MaxBackoff: time.Hour,
				},
			},
			{Name: "greet", Command: []string{"/bin/sh", "-c", `echo "$TRIGGER_JOB says"; cat`}, Dir: dir},
			{Name: "crm", URL: "https://crm.example/hook", Header: http.Header{"Authorization": {"Bearer secret"}, "X-Number": {"1"}}},
		}},
		{"shared with an anchor", "a:\n  shell: cat\n  env: &env {A: 1}\nb:\n  shell: cat\n  env: *env\n", []Definition{
			{Name: "a", Command: []string{"/bin/sh", "-c", "cat"}, Env: []string{"A=1"}, Dir: dir},
			{Name: "b", Command: []string{"/bin/sh", "-c", "cat"}, Env: []string{"A=1"}, Dir: dir},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse([]byte(tt.text), dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no YAML", "a: [", "yaml: line 1"},
		{"tabs", "a:\n\tshell: cat\n", "yaml: line 2"},
		{"a list", "- a\n- b\n", "line 1: the file: write service names"},
		{"a text", "cat\n", "line 1: the file: write service names"},
		{"two documents", "a: {shell: cat}\n---\nb: {shell: cat}\n", "more than one document"},
		{"twice", "a: {shell: cat}\nb: {shell: cat}\na: {shell: cat}\n", "line 3: a: it is there already, in line 1"},
		{"a field twice", "a:\n  shell: cat\n  shell: cat\n", "line 3: shell: it is there already, in line 2"},
		{"bad name", "a b: {shell: cat}\n", `line 1: a b: invalid name: service "a b"`},
		{"null name", "~: {shell: cat}\n", "line 1: the file: a name is missing"},
		{"built in", "echo: {shell: cat}\n", "line 1: echo: this service is built in: choose another name"},
		{"just a name", "a:\n", "line 1: service a: write one of command, shell and url below it"},
		{"a command in its place", "a: cat\n", "line 1: service a: write one of command, shell and url below it"},
		{"no kind", "a:\n  timeout: 1s\n", "line 1: a: say what it is: one of command, shell and url"},
		{"two kinds", "a:\n  shell: cat\n  url: http://b\n", "line 3: a.url: there is shell already: keep one of the two"},
		{"unknown field", "a:\n  shell: cat\n  time_out: 1s\n", "line 3: a.time_out: there is no such field; there are command, shell,"},
		{"merge", "a: &a\n  shell: cat\nb:\n  <<: *a\n", "line 4: b.<<: there is no such field"},
		{"command as a line", "a:\n  command: cat file\n", "line 2: a.command: write a list"},
		{"command of lists", "a:\n  command:\n  - cat\n  - [x]\n", "line 4: a.command: write a list"},
		{"empty command", "a:\n  command: []\n", "line 2: a.command: write a list"},
		{"cyclic command", "a:\n  command: &c [cat, *c]\n", "line 2: "},
		{"no such program", "a:\n  command: [no-such-program-anywhere]\n", "line 2: a.command: find the program"},
		{"no such directory", "a:\n  shell: cat\n  dir: nowhere\n", "line 2: a.shell: run /bin/sh in its directory: stat "},
		{"empty shell", "a:\n  shell:\n", "line 2: a.shell: write a text after the colon"},
		{"no URL", "a:\n  url: crm.example/hook\n", "line 2: a.url: the URL's scheme is"},
		{"timeout without a unit", "a:\n  shell: cat\n  timeout: 30\n", `line 3: a.timeout: "30": use a duration from 1ms to 168h, such as`},
		{"timeout zero", "a:\n  shell: cat\n  timeout: 0s\n", `a.timeout: "0s"`},
		{"timeout for ever", "a:\n  shell: cat\n  timeout: 10000h\n", `a.timeout: "10000h"`},
		{"attempts", "a:\n  shell: cat\n  attempts: none\n", `line 3: a.attempts: "none": use a whole number from 1 to 1000`},
		{"concurrency", "a:\n  shell: cat\n  concurrency: 0\n", `line 3: a.concurrency: "0": use a whole number`},
		{"fleet", "a:\n  shell: cat\n  fleet: 0\n", `line 3: a.fleet: "0": use a whole number from 1 to 1000`},
		{"rate without a unit", "a:\n  shell: cat\n  rate: 10\n", `line 3: a.rate: "10": use a whole number of runs from 1 to 1000000 per s, m, h or d, such as 10/s`},
		{"rate of nothing", "a:\n  shell: cat\n  rate: 0/s\n", `line 3: a.rate: "0/s"`},
		{"rate of a part", "a:\n  shell: cat\n  rate: 0.5/s\n", `line 3: a.rate: "0.5/s"`},
		{"rate of a year", "a:\n  shell: cat\n  rate: 1/y\n", `line 3: a.rate: "1/y"`},
		{"rate beyond", "a:\n  shell: cat\n  rate: 1000001/s\n", `line 3: a.rate: "1000001/s"`},
		{"priority", "a:\n  shell: cat\n  priority: high\n", `line 3: a.priority: "high": use a whole number from -1000 to 1000`},
		{"backoff", "a:\n  shell: cat\n  backoff: 25h\n", `line 3: a.backoff: "25h": use a duration from 1ms to 24h`},
		{"backoffs", "a:\n  shell: cat\n  max_backoff: 1s\n  backoff: 2s\n", `line 3: a.max_backoff: it is less than backoff`},
		{"version", "a:\n  shell: cat\n  version: 1.10\n", `line 3: a.version: "1.10": use a semantic version, three numbers`},
		{"description", "a:\n  shell: cat\n  description: \"a\\nb\"\n", `line 3: a.description: use one line of at most 1024 bytes`},
		{"a list of numbers", "a:\n  shell: cat\n  attempts: [1]\n", "line 3: a.attempts: write a text"},
		{"env as a list", "a:\n  shell: cat\n  env: [A=1]\n", "line 3: a.env: write names and values below it"},
		{"env of lists", "a:\n  shell: cat\n  env:\n    A: [1]\n", `line 4: a.env.A: write a text after the colon, ""`},
		{"env null", "a:\n  shell: cat\n  env:\n    A:\n", `line 4: a.env.A: write a text after the colon, ""`},
		{"env name", "a:\n  shell: cat\n  env: {A=B: c}\n", "line 3: a.env.A=B: a variable's name"},
		{"env zero", "a:\n  shell: cat\n  env: {A: \"s3cret\\0\"}\n", "line 3: a.env.A: "},
		{"secrets of a program", "a:\n  shell: cat\n  secrets: f\n", "line 3: a.secrets: this means nothing beside shell"},
		{"no file of secrets", "a:\n  url: http://b\n  secrets: nowhere\n", `line 3: a.secrets: "nowhere": name a file that can be read`},
		{"allow a name", "a:\n  url: http://b\n  allow: [b]\n", `line 2: a.url: allow "b": use an address or a network`},
		{"allow a text", "a:\n  url: http://b\n  allow: 10.0.0.0/8\n", `line 3: a.allow: write a list of addresses and networks`},
		{"headers of a program", "a:\n  shell: cat\n  headers: {A: b}\n", "line 3: a.headers: this means nothing beside shell"},
		{"env of an endpoint", "a:\n  url: http://b\n  env: {A: b}\n", "line 3: a.env: this means nothing beside url"},
		{"a header's value", "a:\n  url: http://b\n  headers: {A: \"s3cret\\n\"}\n", "line 2: a.url: header A"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse([]byte(tt.text), t.TempDir(), []string{"echo"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, %v, want %s", got, err, tt.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("shows a secret: %v", err)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	if d, err := Load(""); d != nil || err != nil {
		t.Errorf("got %v, %v", d, err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "services.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a: {shell: cat}\n")
	d, err := Load(path)
	if err != nil || len(d) != 1 || d[0].Dir != dir {
		t.Errorf("got %v, %v", d, err)
	}
	refused := func(path, want string) {
		t.Helper()
		_, err := Load(path)
		e, ok := errors.AsType[*config.Error](err)
		if !ok || e.Variable != "BELLHOP_SERVICES" || e.Value != path || !strings.Contains(e.Want, want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	refused(filepath.Join(dir, "none.yaml"), "can be read")
	refused(dir, "can be read")
	write("a: cat\n")
	refused(path, "line 1")
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"a: {shell: cat}", "a:\n  command: &c [cat, *c]\n", "a: &a\n  <<: *a\n", "? [x]\n: y", "a: {url: 'http://b', headers: {A: b}}"} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		definitions, err := parse(text, dir, nil)
		if err == nil {
			for _, d := range definitions {
				if d.Check() != nil || (d.URL == "") == (d.Command == nil) {
					t.Errorf("accepts %+v", d)
				}
			}
		}
	})
}
