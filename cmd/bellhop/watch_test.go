package main

import (
	"os/exec"
	"strings"
	"testing"
)

// client gives an environment in which commands find the server, and a
// function that runs one of them.
func client(t *testing.T, url string) (env []string, do func(args ...string)) {
	env = environment(t, "BELLHOP_NATS_URL="+url, "TZ=UTC")
	return env, func(args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), binary, args...)
		c.Env = env
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("bellhop %q: %v\n%s", args, err, out)
		}
	}
}

// upHere starts a bellhop up and gives its URL.
func upHere(t *testing.T) (p *running, url string) {
	t.Helper()
	p = start(t, environment(t, "BELLHOP_SYNC=1s"), "up")
	url = p.await(t, `NATS +(nats://\S+),`)[1]
	p.await(t, `^  nats `)
	return p, url
}

// TestWatchJobs sees --watch print what is there and then what changes, and
// nothing else.
func TestWatchJobs(t *testing.T) {
	t.Parallel()
	_, url := upHere(t)
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
