package scheduler

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// madeUpZone gives a zone whose clock begins at UTC and is put to each offset
// (in seconds) at its time: a file as zic writes it, version 1.
func madeUpZone(t *testing.T, changes ...[2]int32) *zone {
	t.Helper()
	var b bytes.Buffer
	write := func(v ...any) {
		for _, v := range v {
			if err := binary.Write(&b, binary.BigEndian, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := uint32(len(changes))
	b.WriteString("TZif")
	b.Write(make([]byte, 16))
	write(uint32(0), uint32(0), uint32(0), n, n+1, uint32(2))
	for _, c := range changes {
		write(c[0])
	}
	for i := range changes {
		write(uint8(i + 1))
	}
	write(int32(0), uint16(0))
	for _, c := range changes {
		write(c[1], uint16(0))
	}
	b.WriteString("X\x00")
	loc, err := time.LoadLocationFromTZData("made up", b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return &zone{loc: loc}
}

// Clocks that change twice in a day: what they showed before both counts.
func TestClockChangesTwice(t *testing.T) {
	noon := int32(ms("2026-06-01T12:00:00Z") / 1000)
	for _, c := range []struct {
		name    string
		changes [][2]int32
		want    []string
	}{
		// Noon itself was never reached before the clock went back.
		{"far back, then forward a little", [][2]int32{{noon, -3 * 3600}, {noon + 600, -2 * 3600}},
			[]string{"11:00:00+00", "11:30:00+00", "12:00:00-02", "12:30:00-02"}},
		{"forward, then back", [][2]int32{{noon, 3600}, {noon + 3600, 0}},
			[]string{"11:00:00+00", "11:30:00+00", "13:00:00+01", "13:30:00+01", "14:00:00+00", "14:30:00+00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			z := madeUpZone(t, c.changes...)
			spec, err := parseCron("*/30 8-23 * * *", z)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for due := spec.next(int64(noon) - 3600); len(got) < len(c.want); due = spec.next(due + 1) {
				got = append(got, time.Unix(due, 0).In(z.loc).Format("15:04:05-07"))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// Spans follow one another without a hole and hold the zone's offset from end
// to end, also far past the years that the tables of the zones have.
func TestSpansHoldTheirOffset(t *testing.T) {
	for name := range strings.Lines(zoneNames) {
		z, err := findZone(strings.TrimSpace(name))
		if err != nil {
			t.Fatal(err)
		}
		at := ms("2030-01-01T00:00:00Z") / 1000
		for until := ms("2062-01-01T00:00:00Z") / 1000; at < until; {
			s := z.at(at)
			end := min(s.end, until)
			if s.start > at || end <= at {
				t.Fatalf("%sat %d there is %+v", name, at, s)
			}
			for _, probe := range []int64{at, (at + end) / 2, end - 1} {
				if o := offset(z.loc, probe); o != s.offset {
					t.Fatalf("%sat %d the offset is %d, not that of %+v", name, probe, o, s)
				}
				if p := z.bounds(probe); probe < p.start || p.end <= probe {
					t.Fatalf("%sat %d there is %+v", name, probe, p)
				}
			}
			at = end
		}
	}
}

// Plans of one zone are asked by many at once, about different spans.
func TestZoneIsSafeForConcurrentUse(t *testing.T) {
	p := compile(t, `{"cron":"30 2 * * *","time_zone":"Europe/Berlin"}`)
	want := upcoming(&p, "", "2026-01-01T00:00:00Z", 400, time.UTC)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got := upcoming(&p, "", "2026-01-01T00:00:00Z", 400, time.UTC); !slices.Equal(got, want) {
				t.Error("asked at once, the answers differ")
			}
		})
	}
	wg.Wait()
}
