package amqp

import (
	"testing"

	"pgregory.net/rapid"
)

// broker091 is what a broker knows of one channel's deliveries.
type broker091 struct {
	t           *rapid.T
	outstanding map[uint64]bool
	acked       map[uint64]bool
	rejected    map[uint64]bool
}

func (b *broker091) hear(v verdicts) {
	for _, tag := range v.rejects {
		if !b.outstanding[tag] {
			b.t.Fatalf("rejects %d, which is not outstanding", tag)
		}
		delete(b.outstanding, tag)
		b.rejected[tag] = true
	}
	if v.multiple > 0 {
		if !b.outstanding[v.multiple] {
			b.t.Fatalf("acknowledges up to %d, which is not outstanding", v.multiple)
		}
		for tag := range b.outstanding {
			if tag <= v.multiple {
				delete(b.outstanding, tag)
				b.acked[tag] = true
			}
		}
	}
	for _, tag := range v.singles {
		if !b.outstanding[tag] {
			b.t.Fatalf("acknowledges %d, which is not outstanding", tag)
		}
		delete(b.outstanding, tag)
		b.acked[tag] = true
	}
}

// TestWindow settles deliveries in any order, and has the broker learn of each
// what became of it, and of no other.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWindow(8)
		b := &broker091{t, map[uint64]bool{}, map[uint64]bool{}, map[uint64]bool{}}
		settled := map[uint64]state{}
		var open []uint64
		var tag uint64
		settle := func(s state) {
			if len(open) == 0 {
				return
			}
			i := rapid.IntRange(0, len(open)-1).Draw(t, "which")
			if !w.settle(open[i], s) || w.settle(open[i], stateReject) {
				t.Fatalf("%d is not settled once", open[i])
			}
			settled[open[i]] = s
			open = append(open[:i], open[i+1:]...)
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				tag += uint64(rapid.IntRange(1, 2).Draw(t, "step"))
				if !w.add(tag) || w.add(tag) {
					t.Fatal("not taken once")
				}
				b.outstanding[tag] = true
				open = append(open, tag)
			},
			"ack":    func(*rapid.T) { settle(stateAck) },
			"reject": func(*rapid.T) { settle(stateReject) },
			"tell":   func(*rapid.T) { b.hear(w.collect(false)) },
			"behind": func(*rapid.T) { b.hear(w.collect(true)) },
			"": func(*rapid.T) {
				for tag := range b.acked {
					if settled[tag] != stateAck {
						t.Fatalf("%d was acknowledged, and is not done", tag)
					}
				}
				for tag := range b.rejected {
					if settled[tag] != stateReject {
						t.Fatalf("%d was rejected, and is not refused", tag)
					}
				}
			},
		})
		if n := w.abandon(); n != len(open) || w.abandon() != 0 || w.add(tag+1) {
			t.Fatalf("%d were given up, want %d", n, len(open))
		}
		<-w.close()
		b.hear(w.collect(true))
		if len(b.acked)+len(b.rejected) != len(settled) || len(b.outstanding) != len(open) {
			t.Fatalf("%d acknowledged and %d rejected of %d, %d left of %d", len(b.acked), len(b.rejected), len(settled), len(b.outstanding), len(open))
		}
	})
}

func TestWindowCloses(t *testing.T) {
	w := newWindow(2)
	w.add(1)
	empty := w.close()
	select {
	case <-empty:
		t.Fatal("one is under way")
	default:
	}
	if w.add(2) || !w.settle(1, stateAck) {
		t.Fatal("it takes more, or nothing is settled any more")
	}
	<-empty
	if w.abandon() != 0 {
		t.Fatal("nothing was under way")
	}
}
