package screen

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

func TestScreen(t *testing.T) {
	due := time.Date(2026, 12, 7, 9, 0, 0, 0, time.Local)
	run := func(change func(*workers.Run)) workers.Run {
		r := workers.Run{
			Job: "My=20Sample", Service: "log-input", Channel: "scheduler", Outcome: workers.OutcomeOK,
			Due: due, Started: due.Add(1234567), Finished: due.Add(1234567 + 310*time.Microsecond),
		}
		change(&r)
		return r
	}
	tests := []struct {
		name string
		run  workers.Run
		want string
	}{
		{"as usual", run(func(*workers.Run) {}),
			"09:00:00.000   +1.23ms  My Sample             log-input       ok           310µs"},
		{"without a job", run(func(r *workers.Run) { r.Job, r.Due, r.Started = "", time.Time{}, due }),
			"09:00:00.000         -  -                     log-input       ok          1.54ms"},
		{"failed", run(func(r *workers.Run) { r.Outcome, r.Error = workers.OutcomeFailed, "no\nluck\x1b[31m" }),
			"09:00:00.000   +1.23ms  My Sample             log-input       failed       310µs  no luck\ufffd[31m"},
		{"a name in Greek", run(func(r *workers.Run) { r.Job = workers.Escape("Ωρα") }),
			"09:00:00.000   +1.23ms  Ωρα                   log-input       ok           310µs"},
		{"a key that is none", run(func(r *workers.Run) { r.Job = "a=zz\x07" }),
			"09:00:00.000   +1.23ms  a=zz\ufffd                 log-input       ok           310µs"},
		{"wider than its column", run(func(r *workers.Run) { r.Job = "a-name-that-is-longer-than-most" }),
			"09:00:00.000   +1.23ms  a-name-that-is-longer-than-most  log-input       ok           310µs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			(&Screen{out: &out}).Run(tt.run)
			if diff := cmp.Diff(tt.want+"\n", out.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScreenColours(t *testing.T) {
	for outcome, want := range map[string]string{
		workers.OutcomeOK: green, workers.OutcomeDead: red, workers.OutcomeSkipped: yellow,
	} {
		var out strings.Builder
		(&Screen{out: &out, colour: true}).Run(workers.Run{Service: "s", Outcome: outcome})
		if !strings.Contains(out.String(), want+outcome) || strings.Count(out.String(), reset) != 2 {
			t.Errorf("%s: %q", outcome, out.String())
		}
	}
}

func TestTotal(t *testing.T) {
	var out strings.Builder
	s := &Screen{out: &out}
	if got := s.Total(); got != "no runs" {
		t.Error(got)
	}
	s.Run(workers.Run{Outcome: workers.OutcomeOK})
	if got := s.Total(); got != "1 run, all ok" {
		t.Error(got)
	}
	var group sync.WaitGroup
	for range 9 {
		group.Go(func() { s.Run(workers.Run{Outcome: workers.OutcomeDead}) })
	}
	group.Wait()
	if got := s.Total(); got != "10 runs, 9 not ok" {
		t.Error(got)
	}
	if got := strings.Count(out.String(), "\n"); got != 10 {
		t.Errorf("%d lines", got)
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                            "0s",
		999:                          "999ns",
		310_499:                      "310µs",
		1_234_567:                    "1.23ms",
		2*time.Second + 512_345_678:  "2.51s",
		90 * time.Second:             "1m30s",
		3*time.Hour + 25*time.Minute: "3h25m0s",
		-5:                           "-5ns",
	} {
		if got := Short(d); got != want {
			t.Errorf("%d is %s, want %s", d, got, want)
		}
	}
}
