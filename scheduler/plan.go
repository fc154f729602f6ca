package scheduler

import (
	"math"
	"unique"
)

// Never is the due time that is never reached.
const Never = math.MaxInt64

// maxTime is the last millisecond of the year 9999 in Unix time: later times
// have no place in JSON. Nothing is due before 1970 or after maxTime.
const maxTime = 253402300799999

// Plan is a compiled schedule: when a job is due. It is small, immutable and
// safe for concurrent use. All times are Unix milliseconds.
//
// A schedule names nominal times. With jitter, each is due up to that much
// later, but before the next nominal time, so that due times keep their order.
type Plan struct {
	// origin and last bound the nominal times, both included; there is none if
	// last comes first.
	origin, last int64
	// every is the distance between nominal times. A single one at origin is
	// planned as the start of an interval that has no end.
	every  int64
	jitter int64
	// cron takes the place of every where it is set. Equal specs are stored
	// once, for as long as a plan holds them.
	cron unique.Handle[cronSpec]
}

// Once reports whether the plan is that of a one-time schedule.
func (p *Plan) Once() bool { return p.every == Never }

// from is the plan of an interval whose grid begins at the anchor.
func (p Plan) from(anchor int64) Plan {
	p.origin = min(max(anchor, 0), maxTime) + p.every
	return p
}

// Next gives the first due time strictly after the given one, or Never. The
// key is the job's, on which the jitter depends.
func (p *Plan) Next(key string, after int64) int64 {
	if after >= maxTime {
		return Never
	}
	after = max(after, -1)
	if !p.isCron() {
		return p.due(key, p.count(key, after+1))
	}
	spec := p.cron.Value()
	if p.jitter == 0 {
		return p.upTo(p.nominal(&spec, after))
	}
	// A nominal time at or before after may be due after it.
	n := p.nominal(&spec, after-p.jitter)
	for p.upTo(n) != Never {
		next := p.nominal(&spec, n)
		if due := p.jittered(key, n, next-n); due > after {
			return due
		}
		n = next
	}
	return Never
}

// Between counts the due times from from up to, but not at, to, and gives the
// first of them and the last. It gives up at limit: more says that there are
// others, and last is then the last one counted. With none, all are zero. An
// interval is counted by arithmetic, however many times it is due; a cron
// schedule takes a Next for each.
func (p *Plan) Between(key string, from, to int64, limit int) (n int, first, last int64, more bool) {
	from, to = max(from, 0), min(to, maxTime+1)
	if from >= to {
		return 0, 0, 0, false
	}
	if p.isCron() {
		for due := p.Next(key, from-1); due < to; due = p.Next(key, due) {
			if n >= limit {
				return n, first, last, true
			}
			if n == 0 {
				first = due
			}
			last = due
			n++
		}
		return n, first, last, false
	}
	skipped := p.count(key, from)
	total := p.count(key, to) - skipped
	n = int(min(total, int64(max(limit, 0))))
	if n > 0 {
		first, last = p.due(key, skipped), p.due(key, skipped+int64(n)-1)
	}
	return n, first, last, total > int64(n)
}

func (p *Plan) isCron() bool { return p.cron != unique.Handle[cronSpec]{} }

// count gives how many due times of an interval lie before t, which is not
// after maxTime+1.
func (p *Plan) count(key string, t int64) int64 {
	end := min(t-1, p.last)
	if end < p.origin {
		return 0
	}
	i := (end - p.origin) / p.every
	if p.jitter > 0 && p.due(key, i) >= t {
		return i
	}
	return i + 1
}

// due gives the i-th due time of an interval, or Never.
func (p *Plan) due(key string, i int64) int64 {
	if p.last < p.origin || i > (p.last-p.origin)/p.every {
		return Never
	}
	return p.jittered(key, p.origin+i*p.every, p.every)
}

// nominal gives the first nominal time of a cron schedule after t, whether or
// not it is after last.
func (p *Plan) nominal(spec *cronSpec, t int64) int64 {
	t = max(t, p.origin-1, -1)
	s := spec.next((t + 1 + 999) / 1000)
	if s > maxTime/1000 {
		return Never
	}
	return s * 1000
}

// upTo gives the nominal time n unless it is after last.
func (p *Plan) upTo(n int64) int64 {
	if n > p.last {
		return Never
	}
	return n
}

// jittered gives the due time of a nominal one that is gap before the next.
func (p *Plan) jittered(key string, nominal, gap int64) int64 {
	if p.jitter == 0 {
		return nominal
	}
	return nominal + int64(jitterHash(key, nominal)%uint64(min(p.jitter, gap)))
}
