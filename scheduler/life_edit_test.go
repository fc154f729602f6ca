package scheduler_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats.go/jetstream"
)

// lastSeq is the log's end.
func (h *house) lastSeq() uint64 {
	h.Helper()
	s, err := h.js.Stream(h.Context(), "bellhop-triggers")
	h.ok(err)
	info, err := s.Info(h.Context())
	h.ok(err)
	return info.State.LastSeq
}

// Edits at the very instant at which jobs are due. Once the reply is there, no
// trigger of the old definition follows; and each occurrence of a job that was
// changed is in the log exactly once, of the old definition or of the new one.
func TestEditsAtTheInstant(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		const n, rounds = 40, 4
		verbs := []string{"update", "put", "deactivate", "delete"}
		create := func(i int, version string) string {
			return fmt.Sprintf(`{"name":"j%d","service":"s","payload":"%s","schedule":{"every":"1s","start":"2000-01-01T00:00:00Z"}}`, i, version)
		}
		for i := range n {
			h.do("create", create(i, "v0"))
		}
		ends := map[string]uint64{} // the log's end when the reply was there, by job and version
		var mu sync.Mutex
		for round := range rounds {
			h.until(fmt.Sprintf("2000-01-01T00:00:%02dZ", 10*round+10))
			time.Sleep(time.Duration(round-2) * time.Millisecond * time.Duration(round%3)) // before it, at it, after it
			var wg sync.WaitGroup
			for i := range n {
				wg.Go(func() {
					old, version := fmt.Sprintf("v%d", round), fmt.Sprintf("v%d", round+1)
					switch verb := verbs[i%len(verbs)]; verb {
					case "update":
						h.do(verb, fmt.Sprintf(`{"name":"j%d","payload":"%s"}`, i, version))
					case "put":
						h.do(verb, create(i, version))
					default:
						h.do(verb, fmt.Sprintf(`{"name":"j%d"}`, i))
					}
					mu.Lock()
					defer mu.Unlock()
					ends[fmt.Sprintf("j%d %s", i, old)] = h.lastSeq()
				})
			}
			wg.Wait()
			time.Sleep(2500 * time.Millisecond)
			for i := range n { // what was stopped goes on
				if verb := verbs[i%len(verbs)]; verb == "deactivate" || verb == "delete" {
					h.do("put", create(i, fmt.Sprintf("v%d", round+1)))
				}
			}
		}
		time.Sleep(1500 * time.Millisecond)

		stream, err := h.js.Stream(h.Context(), "bellhop-triggers")
		h.ok(err)
		last := map[string]uint64{}
		for seq := uint64(1); ; seq++ {
			m, err := stream.GetMsg(h.Context(), seq, jetstream.WithGetMsgSubject("bellhop.trigger.>"))
			if err != nil {
				break
			}
			seq = m.Sequence
			last[m.Header.Get("Bellhop-Job")+" "+string(m.Data)] = seq
		}
		for version, end := range ends {
			if last[version] > end {
				t.Errorf("%s was rung at %d, after the reply at %d", version, last[version], end)
			}
		}
		seconds := map[string]int{}
		for _, r := range h.log() {
			key, _, _ := strings.Cut(r.run, "@")
			seconds[key]++
		}
		for i := range n {
			key := fmt.Sprintf("j%d", i)
			if verb := verbs[i%len(verbs)]; (verb == "update" || verb == "put") && seconds[key] != seconds["j0"] {
				t.Errorf("%s was rung %d times, j0 %d times", key, seconds[key], seconds["j0"])
			}
		}
		if first, err := time.Parse(time.RFC3339, h.fired("j0")[0]); err != nil || seconds["j0"] != int(time.Since(first)/time.Second)+1 {
			t.Errorf("j0 was rung %d times since %s", seconds["j0"], first)
		}
		if late := h.onceEach(); late > 0 {
			t.Errorf("%v late", late)
		}
	})
}

// Many clients change one job and many: every change that was answered is
// there, in the order of the revisions, and conflicts are told.
func TestConcurrentUpdates(t *testing.T) {
	inBubble(t, func(h *house) {
		h.start(scheduler.Options{})
		h.do("create", `{"name":"shared","service":"s","schedule":{"every":"1h"}}`)
		for i := range 10 {
			h.do("create", fmt.Sprintf(`{"name":"own%d","service":"s","schedule":{"every":"100ms"}}`, i))
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		revisions, conflicts := map[int]bool{}, 0
		wins := 0
		start := h.get("shared").num("revision")
		for i := range 10 {
			wg.Go(func() {
				for n := range 10 {
					r, e := h.try("update", fmt.Sprintf(`{"name":"shared","labels":{"by":"%d-%d"}}`, i, n))
					mu.Lock()
					switch {
					case e == nil && revisions[r.num("revision")]:
						t.Errorf("revision %d was given twice", r.num("revision"))
					case e == nil:
						revisions[r.num("revision")] = true
					case e.Code == 409:
						conflicts++
					default:
						t.Errorf("%d: %v", e.Code, e)
					}
					mu.Unlock()
					h.do("update", fmt.Sprintf(`{"name":"own%d","payload":%d}`, i, n))
					if r, e := h.try("update", fmt.Sprintf(`{"name":"shared","revision":%d,"description":"mine"}`, start)); e == nil {
						mu.Lock()
						wins++
						mu.Unlock()
						t.Logf("won at %d", r.num("revision"))
					} else if e.Code != 409 || e.Field != "revision" && e.Hint == "" || e.Field == "revision" && int(e.Revision) <= start {
						t.Errorf("%d %v at %d", e.Code, e, e.Revision)
					}
				}
			})
		}
		wg.Wait()
		if len(revisions) != 100 || conflicts > 0 || wins > 1 {
			t.Errorf("%d changes, %d conflicts, %d wins", len(revisions), conflicts, wins)
		}
		for i := range 10 {
			if r := h.get(fmt.Sprintf("own%d", i)); r["payload"] != 9.0 {
				t.Errorf("own%d: %v", i, r)
			}
		}
		time.Sleep(time.Second)
		if late := h.onceEach(); late > 10*time.Millisecond {
			t.Errorf("%v late", late)
		}
	})
}
