package workers

import (
	"context"
	"testing"
)

// A worker that stops sends the endings that are left.
func TestEndingsAreSentToTheLast(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // what comes first is left to chance
		w := &Worker{endings: make(chan ending, 256)}
		held := &held{}
		for range 10 {
			if !w.open.enter() {
				t.Fatal("it takes nothing")
			}
			w.endings <- ending{attempt: &attempt{w: w, held: held, rules: rules{history: HistoryNone, overlap: OverlapAllow}}}
		}
		w.sendEndings(over)
		if n := w.open.n; n != 0 || len(w.endings) != 0 {
			t.Fatalf("%d are open, and %d are not sent", n, len(w.endings))
		}
	}
}
