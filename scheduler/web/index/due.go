package index

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
)

// Bounds of a timeline.
const (
	// MaxSlots is how many slots Due gives at most.
	MaxSlots = 1000
	// slotLimit is how many occurrences of a job are counted in a slot.
	slotLimit = 1000
	topJobs   = 5
	// dueFor is how long an answer of Due is given again, and duesKept how many.
	dueFor   = 30 * time.Second
	duesKept = 64
)

// Slot is a part of a timeline.
type Slot struct {
	From time.Time
	// Count is how often jobs are due in it. More says that there are others: no
	// more than a thousand of each job are counted.
	Count int
	More  bool
	// Top are the jobs that are due most often, at most five.
	Top []*Job
}

// dueQuestion is what Due is asked, in Unix milliseconds.
type dueQuestion struct {
	from, to int64
	slots    int
}

type dueAnswer struct {
	slots []Slot
	until time.Time
}

// dues holds the last answers. One question is answered at a time: it may take
// every core's time otherwise.
type dues struct {
	mu    sync.Mutex
	known map[dueQuestion]dueAnswer
}

// Due counts in equal slots how often the active jobs are due from one time up
// to, but not at, another. An answer may be half a minute old, and is shared:
// it must not be changed. The error, a *scheduler.Error, is about the arguments.
func (x *Index) Due(from, to time.Time, slots int) ([]Slot, error) {
	q := dueQuestion{from.UnixMilli(), to.UnixMilli(), slots}
	if slots < 1 || slots > MaxSlots {
		return nil, &scheduler.Error{Code: http.StatusBadRequest, Field: "slots", Message: fmt.Sprintf("%d slots", slots), Hint: fmt.Sprintf("use 1 to %d", MaxSlots)}
	}
	if q.to-q.from < int64(slots) {
		return nil, &scheduler.Error{Code: http.StatusBadRequest, Field: "to", Message: "too short a time for so many slots", Hint: "a slot is a millisecond at least"}
	}
	x.dues.mu.Lock()
	defer x.dues.mu.Unlock()
	now := time.Now()
	if a, ok := x.dues.known[q]; ok && now.Before(a.until) && a.until.Sub(now) <= dueFor {
		return a.slots, nil
	}
	for known, a := range x.dues.known {
		if !now.Before(a.until) || len(x.dues.known) >= duesKept {
			delete(x.dues.known, known)
		}
	}
	x.mu.Lock()
	active := make([]*entry, 0, x.counts.Active)
	for _, e := range x.jobs {
		if e.active() {
			active = append(active, e)
		}
	}
	x.mu.Unlock()
	answer := q.answer(active, now)
	x.dues.known[q] = dueAnswer{answer, now.Add(dueFor)}
	return answer, nil
}

// bound is where a slot begins.
func (q *dueQuestion) bound(i int) int64 {
	width, rest := (q.to-q.from)/int64(q.slots), (q.to-q.from)%int64(q.slots)
	return q.from + width*int64(i) + rest*int64(i)/int64(q.slots)
}

// often says how often a plan is due in a slot.
type often struct {
	slot, n int
	more    bool
}

func (q *dueQuestion) answer(active []*entry, now time.Time) []Slot {
	list := make([]Slot, q.slots)
	bounds := make([]int64, q.slots+1)
	for i := range bounds {
		bounds[i] = q.bound(i)
	}
	for i := range list {
		list[i].From = time.UnixMilli(bounds[i]).UTC()
	}
	tops := make([]top, q.slots)
	// Without jitter a plan does not depend on the key. Cron is what many jobs
	// have in common, and what costs something.
	same := map[scheduler.Plan][]often{}
	var own []often
	for _, e := range active {
		var counted []often
		if s := e.schedule.Value(); s.Jitter == 0 && s.Cron != "" {
			var ok bool
			if counted, ok = same[e.plan]; !ok {
				counted = count(e, bounds, nil)
				same[e.plan] = counted
			}
		} else {
			own = count(e, bounds, own[:0])
			counted = own
		}
		for _, c := range counted {
			s := &list[c.slot]
			s.Count += c.n
			s.More = s.More || c.more
			tops[c.slot].add(e, c.n)
		}
	}
	shown := map[*entry]*Job{}
	for i := range list {
		for _, p := range tops[i].places {
			j, ok := shown[p.e]
			if !ok {
				j = p.e.show(now)
				shown[p.e] = j
			}
			list[i].Top = append(list[i].Top, j)
		}
	}
	return list
}

// count tells how often a job is due in each slot, but for those in which it is
// not.
func count(e *entry, bounds []int64, list []often) []often {
	end := bounds[len(bounds)-1]
	for i := 0; i+1 < len(bounds); i++ {
		next := e.plan.Next(e.key, bounds[i]-1)
		if next >= end {
			break
		}
		for next >= bounds[i+1] {
			i++
		}
		n, _, _, more := e.plan.Between(e.key, bounds[i], bounds[i+1], slotLimit)
		if n > 0 {
			list = append(list, often{i, n, more})
		}
	}
	return list
}

// top holds the jobs that are due most often; of equal ones, the first by key.
type top struct{ places []place }

type place struct {
	e *entry
	n int
}

func (t *top) add(e *entry, n int) {
	if len(t.places) == topJobs && t.places[topJobs-1].n > n {
		return
	}
	i := len(t.places)
	for i > 0 && (t.places[i-1].n < n || t.places[i-1].n == n && t.places[i-1].e.key > e.key) {
		i--
	}
	if i == topJobs {
		return
	}
	if len(t.places) == topJobs {
		t.places = t.places[:topJobs-1]
	}
	t.places = slices.Insert(t.places, i, place{e, n})
}
