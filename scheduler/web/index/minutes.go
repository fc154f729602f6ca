package index

import (
	"math/bits"
	"time"

	"github.com/bellhop-run/bellhop/workers"
)

// Minute is what has happened in a minute or an hour.
type Minute struct {
	From time.Time
	// Runs counts the final outcomes by the time at which the run has finished,
	// Failures those of them that are failures. Missed occurrences were no runs.
	Runs, Failures int
	// P50 and P99 are how late the runs were that have started, to about six per
	// cent; zero without any.
	P50, P99 time.Duration
}

const minutesKept = 24 * 60

// tape holds the last 24 hours, a slot a minute; a slot that was not used since
// yesterday is of another minute.
type tape struct{ slots [minutesKept]slot }

type slot struct {
	minute         int64 // since 1970
	runs, failures int
	late           *lateness // nil without any
}

// at gives the slot of a time, made new if it is yesterday's; nil if the time is
// too long ago. The future is the present: clocks differ.
func (t *tape) at(when, now time.Time) *slot {
	present := now.Unix() / 60
	minute := min(when.Unix()/60, present)
	if minute <= present-minutesKept || minute < 0 {
		return nil
	}
	s := &t.slots[minute%minutesKept]
	if s.minute != minute {
		*s = slot{minute: minute}
	}
	return s
}

// add counts a record.
func (t *tape) add(r *workers.Run, now time.Time) {
	if s := t.at(r.Finished, now); s != nil && final(r) && r.Outcome != workers.OutcomeMissed {
		s.runs++
		switch r.Outcome {
		case workers.OutcomeDead, workers.OutcomeFailed, workers.OutcomeTimeout:
			s.failures++
		}
	}
	if r.Attempt != 1 || r.Due.IsZero() || r.Started.IsZero() {
		return
	}
	if s := t.at(r.Started, now); s != nil {
		if s.late == nil {
			s.late = new(lateness)
		}
		s.late.add(r.Lateness())
	}
}

// sum adds n minutes up, up to the last one.
func (t *tape) sum(last int64, n int) (m Minute, late lateness) {
	m.From = time.Unix((last-int64(n)+1)*60, 0).UTC()
	for minute := max(last-int64(n)+1, 0); minute <= last; minute++ {
		s := &t.slots[minute%minutesKept]
		if s.minute != minute {
			continue
		}
		m.Runs += s.runs
		m.Failures += s.failures
		late.join(s.late)
	}
	m.P50, m.P99 = late.quantile(0.50), late.quantile(0.99)
	return m, late
}

// Minutes gives the last n minutes, the oldest first and the present one
// included; 24 hours are kept.
func (x *Index) Minutes(n int) []Minute {
	n = min(max(n, 0), minutesKept)
	present := time.Now().Unix() / 60
	list := make([]Minute, n)
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range list {
		list[i], _ = x.tape.sum(present-int64(n-1-i), 1)
	}
	return list
}

// Hours gives the last 24 hours, as Minutes does; they begin at full hours, and
// what the oldest one holds is what is left of it.
func (x *Index) Hours() []Minute {
	now := time.Now()
	present := now.Unix() / 60
	list := make([]Minute, 24)
	end := (present/60+1)*60 - 1
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range list {
		list[i], _ = x.tape.sum(end-60*int64(len(list)-1-i), 60)
	}
	return list
}

// Lateness gives how late the n runs of the last hour were: how long after its
// due time the first attempt has started.
func (x *Index) Lateness() (p50, p99 time.Duration, n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	m, late := x.tape.sum(time.Now().Unix()/60, 60)
	return m.P50, m.P99, late.n
}

// lateness is a histogram of microseconds. Each power of two has eight classes,
// what is below 16 µs one for each microsecond, and the last one all from
// nearly 18 hours on.
type lateness struct {
	n       int
	classes [8 * 34]uint32
}

func class(d time.Duration) int {
	us := uint64(max(0, d/time.Microsecond))
	if us < 16 {
		return int(us)
	}
	shift := bits.Len64(us) - 4
	return min(8*shift+int(us>>shift), len(lateness{}.classes)-1)
}

// middle is the duration that a class stands for.
func middle(class int) time.Duration {
	if class < 16 {
		return time.Duration(class) * time.Microsecond
	}
	shift := class/8 - 1
	from := uint64(8+class%8) << shift
	return time.Duration(from+(1<<shift)/2) * time.Microsecond
}

func (l *lateness) add(d time.Duration) {
	l.n++
	l.classes[class(d)]++
}

func (l *lateness) join(other *lateness) {
	if other == nil {
		return
	}
	l.n += other.n
	for i, n := range other.classes {
		l.classes[i] += n
	}
}

// quantile gives the least duration that at least so many are not above.
func (l *lateness) quantile(q float64) time.Duration {
	if l.n == 0 {
		return 0
	}
	want := q * float64(l.n)
	sum := 0
	for i, n := range l.classes {
		if sum += int(n); n > 0 && float64(sum) >= want {
			return middle(i)
		}
	}
	return 0
}
