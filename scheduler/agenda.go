package scheduler

// agenda is a heap of the active jobs, the one that is due first on top; equal
// due times are ordered by key. Each job knows its place, so that it can be
// moved and removed. Four children a node: half the depth of a binary heap,
// and the children of a node lie side by side.
type agenda []*job

const arity = 4

// earlier is the order of occurrences: (due, key).
func earlier(a, b *job) bool {
	return a.due < b.due || a.due == b.due && a.key < b.key
}

// top is the job that is due first, nil if there is none.
func (a agenda) top() *job {
	if len(a) == 0 {
		return nil
	}
	return a[0]
}

// put adds the job, or moves it to where its due time belongs; with Never it
// is taken out.
func (a *agenda) put(j *job) {
	switch {
	case j.due == Never:
		a.remove(j)
	case j.place < 0:
		j.place = int32(len(*a))
		*a = append(*a, j)
		a.up(int(j.place))
	default:
		if i := int(j.place); !a.down(i) {
			a.up(i)
		}
	}
}

// remove takes the job out, if it is in.
func (a *agenda) remove(j *job) {
	i := int(j.place)
	if i < 0 {
		return
	}
	last := len(*a) - 1
	if i != last {
		a.swap(i, last)
	}
	(*a)[last] = nil
	*a = (*a)[:last]
	if i != last && !a.down(i) {
		a.up(i)
	}
	j.place = -1
}

// build orders whatever is in the slice, in linear time.
func (a *agenda) build() {
	for i, j := range *a {
		j.place = int32(i)
	}
	for i := (len(*a) - 2) / arity; i >= 0; i-- {
		a.down(i)
	}
}

// due tells whether at least n jobs are due by now, looking at few nodes.
func (a agenda) due(now int64, n int) bool {
	return a.count(0, now, n) >= n
}

func (a agenda) count(i int, now int64, n int) int {
	if i >= len(a) || a[i].due > now {
		return 0
	}
	sum := 1
	for c := i*arity + 1; c <= i*arity+arity && sum < n; c++ {
		sum += a.count(c, now, n-sum)
	}
	return sum
}

func (a agenda) swap(i, k int) {
	a[i], a[k] = a[k], a[i]
	a[i].place, a[k].place = int32(i), int32(k)
}

func (a agenda) up(i int) {
	for i > 0 {
		parent := (i - 1) / arity
		if !earlier(a[i], a[parent]) {
			return
		}
		a.swap(i, parent)
		i = parent
	}
}

// down moves a[i] down to its place and tells whether it moved.
func (a agenda) down(i int) bool {
	start := i
	for {
		first := i*arity + 1
		if first >= len(a) {
			return i > start
		}
		least := first
		for c := first + 1; c < first+arity && c < len(a); c++ {
			if earlier(a[c], a[least]) {
				least = c
			}
		}
		if !earlier(a[least], a[i]) {
			return i > start
		}
		a.swap(i, least)
		i = least
	}
}
