package main

import (
	"strings"
	"testing"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/bench"
)

// TestBenchWork runs the benches whose figures are all of one kind: so many a
// second, and the processor time of each.
func TestBenchWork(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		unit  string
		cases []string
	}{
		"run":    {"runs/s", []string{"60 runs, not recorded", "60 runs, recorded"}},
		"create": {"jobs/s", []string{"10 jobs, one by one", "20 jobs, in bulk"}},
		"amqp":   {"msgs/s", []string{"8 messages in", "8 messages out, not recorded", "8 messages out, recorded"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			b := benchRows(t, benchEnvironment(t), name, "--data", data)
			empty(t, data)
			if name == "amqp" && !rabbitInstalled() {
				if len(b.Rows) != 1 || !strings.Contains(b.Rows[0].Note, "skipped: there is no RabbitMQ") {
					t.Errorf("without a RabbitMQ: %+v", b.Rows)
				}
				return
			}
			if len(b.Rows) != len(want.cases) {
				t.Fatalf("%d rows: %+v", len(b.Rows), b.Rows)
			}
			for i, r := range b.Rows {
				if r.Bench != name || r.Mode != bench.Relaxed || r.Case != want.cases[i] || r.Unit != want.unit || r.Runs != len(r.Samples) || r.Runs < 1 {
					t.Errorf("a row is %+v", r)
				}
				if judged := r.Aim != "" && r.Met != nil; judged != (i < 2) {
					t.Errorf("whether its aim is met: %+v", r)
				}
				for side, f := range map[string]bench.Figure{"Bellhop": r.Bellhop, "raw": r.Raw} {
					if f.Value <= 0 || f.CPU <= 0 {
						t.Errorf("%s: %s is %+v", r.Case, side, f)
					}
				}
			}
		})
	}
}
