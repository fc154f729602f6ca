package scheduler

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestShelf compares a shelf with a map, where jobs come, change and go and many
// keys have one hash.
func TestShelf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf()
		hashes := rapid.Uint64Range(1, 20).Draw(t, "hashes")
		s.hash = func(key string) (h uint64) {
			for _, c := range key {
				h = h*7 + uint64(c)
			}
			return h % hashes
		}
		want, at, most := map[string]uint64{}, map[string]*job{}, 0
		keys := rapid.StringMatching("[a-e]{1,2}")
		for i := range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := keys.Draw(t, "key")
			if rapid.IntRange(0, 2).Draw(t, "drop") == 0 {
				s.drop(key)
				delete(want, key)
				delete(at, key)
			} else {
				j := keyed(key)
				j.revision = uint64(i)
				put := s.put(j)
				if was := at[key]; was != nil && was != put {
					t.Fatalf("%s was moved", key)
				}
				want[key], at[key] = uint64(i), put
			}
			most = max(most, len(want))

			got := map[string]uint64{}
			for j := range s.all() {
				got[j.key()] = j.revision
			}
			if d := cmp.Diff(want, got); d != "" || s.len() != len(want) {
				t.Fatalf("%d jobs for %d: %s", s.len(), len(want), d)
			}
			for key, revision := range want {
				if j := s.get(key); j == nil || j != at[key] || j.key() != key || j.revision != revision {
					t.Fatalf("%s is %+v", key, j)
				}
			}
			if key := keys.Draw(t, "asked"); want[key] == 0 && at[key] == nil && s.get(key) != nil {
				t.Fatalf("%s is still there", key)
			}
		}
		if n := len(s.boards); n > 1 || n == 1 && len(s.boards[0]) > most {
			t.Fatalf("%d places for %d jobs", len(s.boards[0]), most)
		}
	})
}

// Many jobs need several boards, and those that go make room for others.
func TestShelfOfManyBoards(t *testing.T) {
	s := newShelf()
	const n = 2*boardSize + 1
	name := func(i int) string { return fmt.Sprint("job-", i) }
	for i := range n {
		s.put(keyed(name(i)))
	}
	first := slices.Collect(s.all())
	for i := range n {
		if i%2 == 0 {
			s.drop(name(i))
		}
	}
	for i := range n {
		if i%2 == 0 {
			s.put(keyed(name(n + i)))
		}
	}
	if s.len() != n || len(s.boards) != 3 || len(s.free) != 0 {
		t.Errorf("%d jobs on %d boards, %d places free", s.len(), len(s.boards), len(s.free))
	}
	if d := cmp.Diff(first, slices.Collect(s.all()), cmp.Comparer(func(x, y *job) bool { return x == y })); d != "" {
		t.Error("places were moved: ", d)
	}
	for range s.all() {
		break // which is heard
	}
}
