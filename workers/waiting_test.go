package workers

import "testing"

// A lane that asks for messages, has none and knew of none is asked nothing.
func TestBehind(t *testing.T) {
	for _, tt := range []struct {
		pulling bool
		backlog int64
		held    int
		want    bool
	}{{true, 0, 0, false}, {false, 0, 0, true}, {true, 1, 0, true}, {true, 0, 1, true}} {
		l := new(lane)
		l.pulling.Store(tt.pulling)
		l.backlog.Store(tt.backlog)
		for i := range tt.held {
			l.held.add(&attempt{key: key{sequence: uint64(i + 1)}})
		}
		if got := l.behind(); got != tt.want {
			t.Errorf("pulling %v, backlog %d, %d held: %v", tt.pulling, tt.backlog, tt.held, got)
		}
	}
}
