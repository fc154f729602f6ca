package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

// A leader whose clock has leapt, as after a suspension, judges what fell due
// meanwhile: what was due before it looked last is late and fires, the rest
// fires as the jobs' policies say.
func TestStrike(t *testing.T) {
	b := newBook()
	b.leading, b.at = true, position{stamp(ms("2026-01-01T00:00:00Z")), ""}
	b.ended, b.dirty, b.unstamped, b.limits = map[string]ending{}, map[*job]struct{}{}, map[string]struct{}{}, map[limit]int64{}
	const minutely = `"schedule":{"every":"1m","start":"2026-01-01T00:00:30Z"}`
	for i, c := range [][2]string{
		{"skip", minutely},
		{"once", `"missed":"once",` + minutely},
		{"all", `"missed":"all",` + minutely},
		{"many", `"missed":"all","schedule":{"every":"1s","start":"2026-01-01T00:00:30Z"}`},
		{"at", `"schedule":{"at":"2026-01-01T00:05:00Z"}`},
		{"at-all", `"missed":"all","schedule":{"at":"2026-01-01T00:05:00Z"}`},
		{"later", `"schedule":{"at":"2026-01-01T01:30:00Z"}`},
	} {
		b.learn(kv.Entry[[]byte]{Key: c[0], Value: []byte(`{"service":"s",` + c[1] + `}`), Revision: uint64(i + 1), Created: time.UnixMilli(ms("2025-12-31T00:00:00Z"))})
	}
	b.strike(stretch{stamp(ms("2026-01-01T00:01:00Z")), stamp(ms("2026-01-01T00:59:50Z"))}, 7)

	fires := map[string]int{}
	late, first := "", map[string]string{}
	now := stamp(ms("2026-01-01T01:00:00Z"))
	for {
		j, due := b.pop(now)
		if j == nil {
			break
		}
		if fires[j.key()]++; due < ms("2026-01-01T00:01:00Z") {
			late += j.key()[:1]
		} else if first[j.key()] == "" {
			first[j.key()] = stamp(due).Time().Format("15:04:05")
		}
		b.passed(j, due, 8)
	}
	want := map[string]int{
		"skip": 1, "once": 1 + 1, "all": 1 + 59,
		"many":   30 + 1000 + 11, // late ones, the first thousand, and those after the stretch
		"at-all": 1,
	}
	if fmt.Sprint(fires) != fmt.Sprint(want) {
		t.Errorf("fired %v, want %v", fires, want)
	}
	if want := map[string]string{"once": "00:01:30", "all": "00:01:30", "many": "00:01:00", "at-all": "00:05:00"}; fmt.Sprint(first) != fmt.Sprint(want) {
		t.Errorf("first in the stretch %v, want %v", first, want)
	}
	if b.ended["at"] != (ending{ReasonMissed, 7}) || b.ended["at-all"].reason != ReasonCompleted {
		t.Errorf("ended: %v", b.ended)
	}
	if due := b.nextDue(); due != ms("2026-01-01T01:00:01Z") {
		t.Errorf("next due %s", stamp(due))
	}
}
