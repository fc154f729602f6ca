package scheduler

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// zone is a time zone that is asked about one instant after the other. It
// remembers the span it was last asked about, which for a scheduler is the
// present one: a look-up in the zone's table costs many times as much.
type zone struct {
	loc  *time.Location
	last atomic.Pointer[span]
}

// span is a stretch of time in which a zone's clock runs evenly. All fields
// are seconds: start and end of Unix time, the others of wall time, which is
// Unix time plus offset.
type span struct {
	start, end int64
	offset     int64
	// high is the wall time that the clock had come up to before start. A
	// clock put forward skips what lies between high and start+offset; a clock
	// put back shows what lies below high a second time.
	high int64
}

// maxShift is more seconds than any two clocks on earth are or were apart, and
// than any clock is off UTC.
const maxShift = 32 * 3600

// The ends of time in spans; far enough from the ends of an int64 to add to.
const (
	timeBegin = math.MinInt64 / 4
	timeEnd   = math.MaxInt64 / 4
)

// zones holds every zone that a schedule has named, so that equal schedules
// can share one. There are some 600 names in all; it is never emptied.
var zones sync.Map // of string to *zone

// findZone gives the zone of an IANA name; the empty name is UTC.
func findZone(name string) (*zone, *Error) {
	if name == "" {
		name = "UTC"
	}
	if z, ok := zones.Load(name); ok {
		return z.(*zone), nil
	}
	const hint = `use an IANA name such as "Europe/Berlin" or "UTC"`
	// Every IANA name begins with a capital. What does not is a file that some
	// machines keep beside their zones (right/…, localtime, posixrules).
	if name == "Local" || len(name) > 64 || name[0] < 'A' || 'Z' < name[0] {
		return nil, invalid("schedule.time_zone", hint, "%.64q is not a time zone", name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, invalid("schedule.time_zone", hint, "time zone %q: %s", name, strings.TrimPrefix(err.Error(), "time: "))
	}
	z, _ := zones.LoadOrStore(name, &zone{loc: loc})
	return z.(*zone), nil
}

// at gives the span that holds t.
func (z *zone) at(t int64) *span {
	if s := z.last.Load(); s != nil && s.start <= t && t < s.end {
		return s
	}
	s := z.bounds(t)
	s.high = timeBegin
	// Only a clock that was put back shortly before the span began can have
	// been further than the span just before.
	for p := s; p.start > timeBegin && s.start-p.start < 2*maxShift; {
		p = z.bounds(p.start - 1)
		s.high = max(s.high, p.end+p.offset)
	}
	z.last.Store(s)
	return s
}

// bounds gives the span that holds t, without its high.
func (z *zone) bounds(t int64) *span {
	when := time.Unix(t, 0).In(z.loc)
	_, offset := when.Zone()
	s := &span{start: timeBegin, end: timeEnd, offset: int64(offset)}
	start, end := when.ZoneBounds()
	if !start.IsZero() {
		s.start = start.Unix()
	}
	if !end.IsZero() {
		s.end = end.Unix()
	}
	// Past a zone's table, ZoneBounds cuts spans at the end of the UTC year,
	// and takes every year to have 365 days: on the last day of a leap year it
	// gives an end that has passed. The span then lasts until midnight.
	if s.end <= t {
		const daySeconds = 24 * 3600
		s.end = t - t%daySeconds + daySeconds
	}
	return s
}
