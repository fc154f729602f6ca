package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/bench"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// benched is what "bellhop bench -o json" prints.
type benched struct {
	Machine bench.Machine
	Rows    []bench.Row
}

// benchRows runs benches at a thousandth of their sizes and gives what they print.
// Whatever the figures are, here they mean nothing.
func benchRows(t *testing.T, env []string, args ...string) benched {
	t.Helper()
	p := start(t, env, append([]string{"bench", "--scale", "0.001", "-o", "json", "--seed", "7"}, args...)...)
	var b benched
	for line := range p.lines {
		if err := json.Unmarshal([]byte(line), &b); err != nil {
			t.Fatalf("it prints %q: %v", line, err)
		}
	}
	if code := p.exits(); code != 0 {
		t.Fatalf("it exits with %d", code)
	}
	if b.Machine.Cores != runtime.NumCPU() || b.Machine.Server == "" || b.Machine.Bellhop == "" || b.Machine.Date.IsZero() {
		t.Errorf("the machine is %+v", b.Machine)
	}
	return b
}

// benchEnvironment is one in which the bench starts servers of its own.
func benchEnvironment(t *testing.T) []string {
	return append(environment(t), "TMPDIR="+t.TempDir())
}

// TestBench runs each bench of its own.
func TestBench(t *testing.T) {
	t.Parallel()
	for name, cases := range map[string]int{"append": 1, "steady": 2, "burst": 1, "memory": 1, "cold": 1, "failover": 1, "growth": 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, profiles := t.TempDir(), t.TempDir()
			b := benchRows(t, benchEnvironment(t), name, "--data", data, "--cpuprofile", profiles)
			if len(b.Rows) != cases {
				t.Fatalf("%d rows instead of %d: %+v", len(b.Rows), cases, b.Rows)
			}
			judged := false
			for _, r := range b.Rows {
				if r.Bench != name || r.Mode != bench.Relaxed || r.Case == "" || r.Unit == "" || r.Runs < 1 || len(r.Samples) != r.Runs ||
					r.Raw.Value <= 0 || r.Bellhop.Value <= 0 && name != "memory" && name != "failover" {
					t.Errorf("a row is %+v", r)
				}
				judged = judged || r.Met != nil && r.Aim != ""
			}
			if !judged {
				t.Errorf("no row has an aim: %+v", b.Rows)
			}
			if name == "failover" && !strings.Contains(b.Rows[0].Note, " 0 lost, 0 doubled") {
				t.Errorf("its note is %q", b.Rows[0].Note)
			}
			empty(t, data)
			if found, err := filepath.Glob(filepath.Join(profiles, name+"-relaxed-scheduler-*.pprof")); err != nil || len(found) == 0 {
				t.Errorf("there is no profile of a scheduler: %v", err)
			}
		})
	}
}

// TestBenchModes runs one on every kind of servers that it can start.
func TestBenchModes(t *testing.T) {
	t.Parallel()
	b := benchRows(t, benchEnvironment(t), "append", "--mode", "durable", "--mode", "r3")
	if len(b.Rows) != 2 || b.Rows[0].Mode != bench.Durable || b.Rows[1].Mode != bench.R3 || b.Rows[1].Bellhop.Value <= 0 {
		t.Errorf("the rows are %+v", b.Rows)
	}
}

// TestBenchOutside runs one on somebody else's server, and finds nothing left there.
func TestBenchOutside(t *testing.T) {
	t.Parallel()
	_, url := upServer(t, "BELLHOP_SYNC=1s")
	env := append(benchEnvironment(t), "BELLHOP_NATS_URL="+url)
	b := benchRows(t, env, "append")
	if len(b.Rows) != 1 || b.Rows[0].Mode != bench.Outside || b.Rows[0].Bellhop.Value <= 0 {
		t.Errorf("the rows are %+v", b.Rows)
	}
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name := range js.StreamNames(t.Context()).Name() {
		if !strings.HasPrefix(strings.TrimPrefix(name, "KV_"), "bellhop-") {
			t.Errorf("it has left the stream %s", name)
		}
	}
	p := start(t, env, "bench", "append", "--mode", "r3")
	if code := p.exits(); code != 2 {
		t.Errorf("asked for another mode, it exits with %d", code)
	}
}

// TestBenchLimit gives too little time for anything.
func TestBenchLimit(t *testing.T) {
	t.Parallel()
	p := start(t, benchEnvironment(t), "bench", "append", "--limit", "1s")
	p.await(t, `append .* skipped: it takes about \S+, and of --limit 1s are left`)
	if code := p.exits(); code != 0 {
		t.Errorf("it exits with %d", code)
	}
}

// empty checks that nothing is left in a directory.
func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range left {
		t.Errorf("it has left %s", e.Name())
	}
}
