package main

import (
	"strings"
	"testing"
)

// TestWatchJobs sees --watch print what is there and then what changes, and
// nothing else.
func TestWatchJobs(t *testing.T) {
	t.Parallel()
	_, url := upServer(t, "BELLHOP_SYNC=1s")
	env, do := client(t, url)
	do("job", "create", "night 1", "-s", "echo", "--every", "1h")

	list := start(t, env, "job", "list", "--prefix", "night", "--service", "echo", "--watch")
	list.await(t, `^night 1 +echo +every 1h +active`)
	one := start(t, env, "job", "get", "night 1", "--watch", "-o", "json")
	one.await(t, `"name":"night 1"`)

	do("job", "create", "day", "-s", "echo", "--every", "1h")
	do("job", "create", "night 2", "-s", "log-input", "--every", "1h")
	do("job", "update", "night 1", "--every", "2h")
	do("job", "deactivate", "night 1")
	do("job", "delete", "night 1", "--yes")
	for _, p := range []struct {
		*running
		want []string
	}{
		{list, []string{`^night 1 +echo +every 2h +active`, `^night 1 +echo +every 2h +deactivated`, `^night 1 .* deleted`}},
		{one, []string{`"every":"2h".*"state":"active"`, `"state":"inactive"`, `"state":"deleted"`}},
	} {
		for _, want := range p.want {
			p.await(t, want)
		}
		p.interrupt(t)
		p.exits()
	}
	for _, other := range []string{"day", "night 2"} {
		if said := list.said() + one.said(); strings.Contains(said, other) {
			t.Errorf("it says %q, which was not asked for:\n%s", other, said)
		}
	}
}

// TestWatchRuns sees runs as they end, those that were asked for.
func TestWatchRuns(t *testing.T) {
	t.Parallel()
	_, url := upServer(t, "BELLHOP_SYNC=1s")
	env, do := client(t, url)
	do("job", "create", "b", "-s", "echo", "--every", "1h")

	lines := start(t, env, "watch")
	jobs := start(t, env, "watch", "--job", "b", "-o", "json")
	for _, p := range []*running{lines, jobs} {
		p.awaitError(t, "Ctrl-C stops")
	}
	do("service", "call", "echo", "hello")
	do("job", "run", "b", "--follow")
	lines.await(t, `^\d\d:\d\d:\d\d\.\d{3} +-  - +echo +ok +\S+$`)
	lines.await(t, `^\d\d:\d\d:\d\d\.\d{3} +-  b +echo +ok +\S+$`)
	jobs.await(t, `^\{"run":"manual:.*"job":"b"`)
	for _, p := range []*running{lines, jobs} {
		p.interrupt(t)
		if code := p.exits(); code != 0 {
			t.Errorf("it exits with %d", code)
		}
	}
	if strings.Contains(jobs.said(), "call:") {
		t.Error("it says what was not asked for")
	}
}
