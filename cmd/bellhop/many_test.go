package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestManyJobs lists, completes and surveys a hundred thousand jobs; the log
// has how long each takes.
func TestManyJobs(t *testing.T) {
	t.Parallel()
	_, url := upServer(t, "BELLHOP_SYNC=1s")
	env, do := client(t, url)
	const all, groups = 100_000, 100
	fill(t, url, all, groups)
	do("job", "create", "z", "-s", "echo", "--every", "1h") // by now the scheduler knows them all

	try := func(args ...string) []string {
		t.Helper()
		c := exec.CommandContext(t.Context(), binary, args...)
		c.Env = env
		began := time.Now()
		out, err := c.Output()
		if err != nil {
			t.Fatalf("bellhop %q: %v", args, err)
		}
		lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		t.Logf("%7d lines in %7s (%s of its own): bellhop %s", len(lines), time.Since(began).Round(time.Millisecond), c.ProcessState.UserTime().Round(time.Millisecond), strings.Join(args, " "))
		return lines
	}
	check := func(lines []string, n int, first, last string) {
		t.Helper()
		if len(lines) != n || !strings.HasPrefix(lines[0], first) || !strings.HasPrefix(lines[n-1], last) {
			t.Errorf("%d lines from %q to %q; want %d from %q to %q", len(lines), lines[0], lines[len(lines)-1], n, first, last)
		}
	}
	check(try("job", "list", "-o", "name"), all+1, "job 000000", "z")
	check(try("job", "list"), all+2, "NAME", "z ")
	check(try("job", "list", "-o", "json", "--prefix", "job 09"), all/10, `{"name":"job 090000"`, `{"name":"job 099999"`)
	check(try("job", "list", "--limit", "10", "-o", "name"), 10, "job 000000", "job 000009")
	check(try("job", "list", "--prefix", "job 0999", "-o", "name"), 100, "job 099900", "job 099999")
	check(try("job", "list", "--service", "service-42", "-o", "name"), all/groups, "job 000042", "job 099942")
	check(try("complete", "--", "job", "get", "job 05"), 200, "job 050000\tservice-0", "job 050199\tservice-99")
	check(try("complete", "--", "job", "get", "job 09999"), 10, "job 099990\t", "job 099999\t")
	check(try("complete", "--", "service", "call", "service-9"), 11, "service-9", "service-99")
	check(try("service", "list", "-o", "name"), groups+2, "echo", "service-99")
}

// fill stores jobs as fast as NATS takes them, in batches.
func fill(t *testing.T, url string, n, groups int) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := kv.Open[[]byte](t.Context(), js, "bellhop-jobs")
	if err != nil {
		t.Fatal(err)
	}
	const batch = 1000
	var changes []kv.Change[[]byte]
	for i := range n {
		changes = append(changes, kv.Change[[]byte]{
			Key:   fmt.Sprintf("job=20%06d", i),
			Value: fmt.Appendf(nil, `{"service":"service-%d","schedule":{"every":"1d"},"payload":"hello"}`, i%groups),
		})
		if len(changes) == batch {
			if _, err := bucket.Apply(t.Context(), changes); err != nil {
				t.Fatal(err)
			}
			changes = changes[:0]
		}
	}
}
