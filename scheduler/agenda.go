package scheduler

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// agenda holds the active jobs, the one that is due first on top; equal due times
// are ordered by key. Most are in a heap. Jobs that are due together would be
// compared by their keys at every step of the way down, over and over: once their
// time has come they are taken out of it and sorted. Each job knows its place, so
// that it can be moved and removed.
type agenda struct {
	heap  heap
	drawn []drawn // due at one instant: the last one first
	left  int     // those of them that are still in
}

// drawn is a job that was taken out of the heap, nil when it has been moved since.
type drawn struct {
	rank uint64 // what is next in its key to what all have in common
	job  *job
}

// A job's place is its index in the heap, or firstDrawn less that in drawn.
const (
	nowhere    = -1
	firstDrawn = -2
)

// keepDrawn is how many jobs that are due together leave their memory to the next ones.
const keepDrawn = 1024

// earlier is the order of occurrences: (due, key).
func earlier(a, b *job) bool {
	return a.due < b.due || a.due == b.due && a.key() < b.key()
}

// len is how many jobs are in.
func (a *agenda) len() int { return len(a.heap) + a.left }

// top is the job that is due first, nil if there is none.
func (a *agenda) top() *job {
	var first *job
	if len(a.heap) > 0 {
		first = a.heap[0]
	}
	if n := len(a.drawn); n > 0 && (first == nil || earlier(a.drawn[n-1].job, first)) {
		first = a.drawn[n-1].job
	}
	return first
}

// put adds the job, or moves it to where its due time belongs; with Never it
// is taken out.
func (a *agenda) put(j *job) {
	switch {
	case j.due == Never:
		a.remove(j)
	case j.place >= 0:
		a.heap.fix(int(j.place))
	default:
		a.remove(j)
		a.add(j)
		a.heap.up(int(j.place))
	}
}

// add puts in a job that is not in yet, and build is to follow.
func (a *agenda) add(j *job) {
	j.place = int32(len(a.heap))
	a.heap = append(a.heap, j)
}

// build orders what was added, in linear time.
func (a *agenda) build() { a.heap.build() }

// clear takes all out; what they know of their places is the caller's.
func (a *agenda) clear() { *a = agenda{heap: a.heap[:0]} }

// remove takes the job out, if it is in.
func (a *agenda) remove(j *job) {
	switch {
	case j.place >= 0:
		a.heap.remove(int(j.place))
	case j.place <= firstDrawn:
		a.drawn[firstDrawn-j.place].job = nil
		a.left--
		n := len(a.drawn)
		for n > 0 && a.drawn[n-1].job == nil {
			n--
		}
		if a.drawn = a.drawn[:n]; n == 0 && cap(a.drawn) > keepDrawn {
			a.drawn = nil
		}
	}
	j.place = nowhere
}

// draw sorts the jobs that are due first, if they are due by now and more than one.
func (a *agenda) draw(now int64) {
	if len(a.drawn) > 0 || len(a.heap) == 0 || a.heap[0].due > now {
		return
	}
	// They are at the heap's top, each below another one.
	d := append(a.drawn, drawn{0, a.heap[0]})
	for i := 0; i < len(d); i++ {
		first := int(d[i].rank)*arity + 1
		for c := first; c < first+arity && c < len(a.heap); c++ {
			if a.heap[c].due == a.heap[0].due {
				d = append(d, drawn{uint64(c), a.heap[c]})
			}
		}
	}
	if len(d) == 1 {
		a.drawn = d[:0]
		return
	}
	for _, e := range slices.Backward(d) { // from the bottom up, as build does
		a.heap.take(int(e.rank))
	}
	rank(d)
	for i := range d {
		d[i].job.place = firstDrawn - int32(i)
	}
	a.drawn, a.left = d, len(d)
}

// rank sorts jobs by key, the last one first.
func rank(d []drawn) {
	common := d[0].job.key()
	for _, e := range d {
		k, n := e.job.key(), 0
		for n < len(common) && n < len(k) && k[n] == common[n] {
			n++
		}
		common = common[:n]
	}
	for i := range d {
		var next [8]byte
		copy(next[:], d[i].job.key()[len(common):])
		d[i].rank = binary.BigEndian.Uint64(next[:])
	}
	slices.SortFunc(d, func(x, y drawn) int {
		if x.rank != y.rank {
			return cmp.Compare(y.rank, x.rank)
		}
		return strings.Compare(y.job.key(), x.job.key())
	})
}

// due tells whether at least n jobs are due by now, looking at few nodes.
func (a *agenda) due(now int64, n int) bool {
	sum := 0
	for i := len(a.drawn) - 1; i >= 0 && sum < n && a.drawn[len(a.drawn)-1].job.due <= now; i-- {
		if a.drawn[i].job != nil {
			sum++
		}
	}
	return sum+a.heap.count(0, now, n-sum) >= n
}

// heap has four children a node: half the depth of a binary one, and the children
// of a node lie side by side.
type heap []*job

const arity = 4

func (h *heap) remove(i int) {
	h.take(i)
	if i < len(*h) {
		h.up(i)
	}
}

// take puts the last job into the place of the i-th, and moves it down if it must.
func (h *heap) take(i int) {
	last := len(*h) - 1
	h.swap(i, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	if i < last {
		h.down(i)
	}
}

// fix moves the i-th job to its place.
func (h heap) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

func (h heap) build() {
	for i := (len(h) - 2) / arity; i >= 0; i-- {
		h.down(i)
	}
}

func (h heap) count(i int, now int64, n int) int {
	if n <= 0 || i >= len(h) || h[i].due > now {
		return 0
	}
	sum := 1
	for c := i*arity + 1; c <= i*arity+arity && sum < n; c++ {
		sum += h.count(c, now, n-sum)
	}
	return sum
}

func (h heap) swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].place, h[k].place = int32(i), int32(k)
}

func (h heap) up(i int) {
	for i > 0 {
		parent := (i - 1) / arity
		if !earlier(h[i], h[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

// down moves h[i] down to its place and tells whether it moved.
func (h heap) down(i int) bool {
	start := i
	for {
		first := i*arity + 1
		if first >= len(h) {
			return i > start
		}
		least := first
		for c := first + 1; c < first+arity && c < len(h); c++ {
			if earlier(h[c], h[least]) {
				least = c
			}
		}
		if !earlier(h[least], h[i]) {
			return i > start
		}
		h.swap(i, least)
		i = least
	}
}
