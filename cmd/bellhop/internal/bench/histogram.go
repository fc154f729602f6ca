package bench

import (
	"math"
	"math/bits"
	"time"
)

// Histogram counts durations in buckets that are 1.6% wide. It can be sent, and
// added to another one.
type Histogram struct {
	Counts map[int]int64 `json:"counts,omitempty"`
	Most   time.Duration `json:"most,omitempty"`
}

// fineBits are how many bits of a duration are kept beside its first.
const fineBits = 6

// Add counts a duration; one below zero is none.
func (h *Histogram) Add(d time.Duration) {
	if h.Counts == nil {
		h.Counts = make(map[int]int64)
	}
	h.Counts[bucket(max(d, 0))]++
	h.Most = max(h.Most, d)
}

// Merge adds all of another one.
func (h *Histogram) Merge(o *Histogram) {
	if h.Counts == nil {
		h.Counts = make(map[int]int64)
	}
	for b, n := range o.Counts {
		h.Counts[b] += n
	}
	h.Most = max(h.Most, o.Most)
}

// Count is how many there are.
func (h *Histogram) Count() (n int64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// At gives the duration that a share q of all does not pass.
func (h *Histogram) At(q float64) time.Duration {
	want := int64(math.Ceil(q * float64(h.Count())))
	for b, seen := 0, int64(0); b <= bucket(h.Most); b++ {
		if seen += h.Counts[b]; seen >= want && seen > 0 {
			return min(floor(b+1), h.Most)
		}
	}
	return h.Most
}

// Figure gives the percentiles, in milliseconds; the value is the median.
func (h *Histogram) Figure() Figure {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Figure{Value: ms(h.At(.5)), P50: ms(h.At(.5)), P99: ms(h.At(.99)), Max: ms(h.Most)}
}

// bucket is where a duration is counted: exact up to 64 ns, then 64 to each
// doubling.
func bucket(d time.Duration) int {
	shift := max(0, bits.Len64(uint64(d))-fineBits-1)
	return shift<<fineBits + int(uint64(d)>>shift)
}

// floor is the least duration of a bucket.
func floor(b int) time.Duration {
	shift := max(0, b>>fineBits-1)
	return time.Duration(b-shift<<fineBits) << shift
}
