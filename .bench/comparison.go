package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Plan is how much is measured.
type Plan struct {
	// N is how many jobs a burst has.
	N int
	// Rate is how many jobs are due a second in the steady part, which takes
	// Seconds.
	Rate, Seconds int
	// Runs is how often the entrants take their turns, unless Within has passed
	// before the next.
	Runs   int
	Within time.Duration
	// Killed is how many jobs are accepted before the server is killed, once for
	// each entrant; 0 leaves it out.
	Killed int
}

// warmUp is how many jobs each run begins with that are not measured.
const warmUp = 500

// Row is what is known of an entrant.
type Row struct {
	Name  string `json:"name"`
	Syncs string `json:"syncs"`
	// Skipped says why there are no figures.
	Skipped string `json:"skipped,omitempty"`
	// Runs is of how many runs the figures are the medians.
	Runs int `json:"runs"`
	Figures
	// Kept says how many of the accepted jobs came after the server was killed.
	Kept string `json:"kept,omitempty"`
}

// compare measures the entrants in turns, and tells how far it is.
func compare(ctx context.Context, p Plan, entrants []Entrant, tell io.Writer) ([]Row, error) {
	rows, runs := make([]Row, len(entrants)), make([][]Figures, len(entrants))
	for i, e := range entrants {
		rows[i].Name, rows[i].Syncs = e.Name, e.Syncs
	}
	began, longest := time.Now(), time.Duration(0)
	for run := range p.Runs {
		start, killing := time.Now(), time.Duration(0)
		if start.Sub(began)+longest > p.Within {
			fmt.Fprintf(tell, "there is no time for more than %d runs: see -within\n", run)
			break
		}
		for i, e := range entrants {
			if rows[i].Skipped != "" {
				continue
			}
			turn := time.Now()
			var k *kill
			if run == 0 && p.Killed > 0 {
				k = new(kill)
			}
			f, err := p.run(ctx, e, k)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				fmt.Fprintf(tell, "%d/%d %-30s %s\n", run+1, p.Runs, e.Name, why(err))
				if len(runs[i]) == 0 { // else there are figures already
					rows[i].Skipped = why(err)
				}
				continue
			}
			if k != nil {
				rows[i].Kept, killing = k.kept, killing+k.took
			}
			runs[i] = append(runs[i], f)
			fmt.Fprintf(tell, "%d/%d %-30s %4.1f s: burst %.0f/s, steady p99 %.1f ms\n", run+1, p.Runs, e.Name, time.Since(turn).Seconds(), f.Burst, f.SteadyP99)
		}
		longest = max(longest, time.Since(start)-killing)
	}
	for i := range rows {
		rows[i].Figures, rows[i].Runs = medians(runs[i]), len(runs[i])
	}
	return rows, nil
}

// why says in one line why there are no figures.
func why(err error) string {
	line := strings.Join(strings.Fields(err.Error()), " ")
	if _, ok := errors.AsType[*Missing](err); ok {
		return "skipped: " + line
	}
	return "failed: " + line
}

// slacks are how many times longer than expected creating may take, at each try:
// a run in which it took longer still is not one.
var slacks = []float64{1.5, 4, 10}

// kill is what became of the jobs after the server was killed, and how long it
// took to know.
type kill struct {
	kept string
	took time.Duration
}

// run measures an entrant once, and has its server killed, too, if k is not nil.
func (p Plan) run(ctx context.Context, e Entrant, k *kill) (f Figures, err error) {
	for _, slack := range slacks {
		f, err = p.try(ctx, e, slack, k)
		if !errors.Is(err, errOverrun) {
			return f, err
		}
	}
	return f, err
}

// try measures an entrant from its start.
func (p Plan) try(ctx context.Context, e Entrant, slack float64, k *kill) (f Figures, err error) {
	s, err := raise(ctx, e, slack)
	if err != nil {
		return f, err
	}
	defer s.strike()
	if _, err := s.play(ctx, min(warmUp, p.N), 0, 0); err != nil {
		return f, fmt.Errorf("warm up: %w", err)
	}
	a, err := s.play(ctx, p.N, 0, e.Ahead)
	if err != nil {
		return f, fmt.Errorf("burst: %w", err)
	}
	f.burst(a)
	if a, err = s.play(ctx, p.Rate*p.Seconds, time.Second/time.Duration(p.Rate), e.Ahead); err != nil {
		return f, fmt.Errorf("steady: %w", err)
	}
	f.steady(a)
	if k != nil {
		k.kept, k.took = p.kill(ctx, s)
	}
	return f, nil
}

// kill has the server killed.
func (p Plan) kill(ctx context.Context, s *stage) (kept string, took time.Duration) {
	if s.server == nil {
		return "none", 0
	}
	began := time.Now()
	n, err := s.survive(ctx, p.Killed)
	if err != nil {
		return "failed: " + strings.Join(strings.Fields(err.Error()), " "), time.Since(began)
	}
	return fmt.Sprintf("%s of %s", count(float64(n)), count(float64(p.Killed))), time.Since(began)
}
