package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// An agenda holds what a sorted slice holds, in the same order, whatever is
// put, moved, removed and built.
func TestAgendaIsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a agenda
		var sorted []*job
		jobs := make([]*job, rapid.IntRange(1, 60).Draw(t, "jobs"))
		for i := range jobs {
			jobs[i] = keyed("job" + strings.Repeat("-long", i%4) + fmt.Sprint(i/4)) // some begin with another one
		}
		due := rapid.OneOf(rapid.Int64Range(0, 8), rapid.Int64Range(0, maxTime), rapid.Just(int64(Never)))
		order := func(x, y *job) int {
			if earlier(x, y) {
				return -1
			}
			return 1
		}
		check := func(t *rapid.T) {
			if a.len() != len(sorted) {
				t.Fatalf("%d jobs, want %d", a.len(), len(sorted))
			}
			for i, j := range a.heap {
				if int(j.place) != i || i > 0 && earlier(j, a.heap[(i-1)/arity]) {
					t.Fatalf("%s is out of place at %d", j.key(), i)
				}
			}
			for i, d := range a.drawn {
				if d.job != nil && int(d.job.place) != firstDrawn-i {
					t.Fatalf("%s is out of place among the drawn at %d", d.job.key(), i)
				}
			}
			if len(sorted) == 0 {
				if a.top() != nil {
					t.Fatal("a top without jobs")
				}
				return
			}
			if a.top() != sorted[0] {
				t.Fatalf("top is %s, want %s", a.top().key(), sorted[0].key())
			}
			now, n := rapid.Int64Range(0, 10).Draw(t, "now"), rapid.IntRange(1, 10).Draw(t, "n")
			want := 0
			for _, j := range sorted {
				if j.due <= now {
					want++
				}
			}
			if a.due(now, n) != (want >= n) {
				t.Fatalf("due(%d, %d) with %d due", now, n, want)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": check,
			"put": func(t *rapid.T) {
				j := rapid.SampledFrom(jobs).Draw(t, "job")
				sorted = slices.DeleteFunc(sorted, func(s *job) bool { return s == j })
				j.due = due.Draw(t, "due")
				a.put(j)
				if j.due != Never {
					sorted = append(sorted, j)
					slices.SortFunc(sorted, order)
				}
			},
			"remove": func(t *rapid.T) {
				j := rapid.SampledFrom(jobs).Draw(t, "job")
				sorted = slices.DeleteFunc(sorted, func(s *job) bool { return s == j })
				a.remove(j)
				if j.place != -1 {
					t.Fatal("a removed job has a place")
				}
			},
			"draw": func(t *rapid.T) {
				now := rapid.Int64Range(0, 20).Draw(t, "now")
				idle := len(a.drawn) == 0
				a.draw(now)
				same := 0
				for _, j := range sorted {
					if j.due == sorted[0].due && j.due <= now {
						same++
					}
				}
				if idle && same > 1 && a.left != same {
					t.Fatalf("%d were drawn, want %d", a.left, same)
				}
			},
			"build": func(t *rapid.T) {
				for _, j := range sorted { // those that were drawn have their time
					if j.place < 0 {
						continue
					}
					j.due = rapid.Int64Range(0, 20).Draw(t, "due")
				}
				a.build()
				slices.SortFunc(sorted, order)
			},
		})
		for range sorted { // taken out one by one
			check(t)
			a.remove(a.top())
			sorted = sorted[1:]
		}
	})
}
