package main

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// TestMain is a child's main as well: the processes are this program again.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == childArg {
		if err := beChild(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestEntrants has each of them do all of the work, with few jobs: none may be
// lost, for all of them promise at least once. One whose server is not installed is
// skipped and says what to install, as the comparison itself does: nobody has to have
// every server of the field.
func TestEntrants(t *testing.T) {
	for _, e := range Entrants() {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			p := Plan{N: 50, Rate: 50, Seconds: 1}
			f, err := p.run(t.Context(), e, nil)
			if _, ok := errors.AsType[*Missing](err); ok {
				t.Skip(err) // as users see it: who is not installed is not compared, and the reason says what to install
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.Lost > 0 {
				t.Errorf("%d of 100 jobs never came", f.Lost)
			}
			if f.Again > 0 {
				t.Logf("%d came once more, which is allowed", f.Again)
			}
			if f.Create <= 0 || f.Burst <= 0 || f.BurstP99 < f.BurstP50 || f.SteadyMax < f.SteadyP99 {
				t.Errorf("these figures cannot be right: %+v", f)
			}
		})
	}
}

// TestKilled kills the server of each entrant that syncs every write, after it
// has accepted some jobs.
func TestKilled(t *testing.T) {
	for _, e := range Entrants()[:4] {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			s, err := raise(t.Context(), e, 10)
			if _, ok := errors.AsType[*Missing](err); ok {
				t.Skip(err) // as above
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.strike()
			if _, err := s.play(t.Context(), 20, 0, 0); err != nil {
				t.Fatal(err)
			}
			const n = 20
			if kept, err := s.survive(t.Context(), n); err != nil || kept != n {
				t.Errorf("%d of %d jobs came, %v", kept, n, err)
			}
		})
	}
}
