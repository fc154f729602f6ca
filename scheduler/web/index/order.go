package index

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// row is an entry in an order. at is what a time stands for there: the next due
// time in Unix milliseconds, the last change in nanoseconds, nothing elsewhere.
type row struct {
	at int64
	e  *entry
}

// order is a way to sort the jobs. Equal ones are sorted by key.
type order struct {
	compare func(a, b row) int
	at      func(e *entry, now time.Time) int64 // nil where it does not count
	moves   bool                                // at changes when it has passed

	mu   sync.Mutex // guards what follows
	list []row      // never changed once it is here
	made int64      // Unix milliseconds

	// Index.mu guards these. pending holds, by key, the entry that the list
	// has, nil if none; a list that nobody has asked for has nothing pending.
	built   bool
	pending map[string]*entry
}

func newOrders() map[string]*order {
	byTime := func(a, b row) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.e.key, b.e.key))
	}
	return map[string]*order{
		"name": {compare: func(a, b row) int {
			return cmp.Or(cmp.Compare(a.e.name, b.e.name), cmp.Compare(a.e.key, b.e.key))
		}},
		"service": {compare: func(a, b row) int {
			if a.e.service != b.e.service {
				return cmp.Compare(a.e.service.Value(), b.e.service.Value())
			}
			return cmp.Compare(a.e.key, b.e.key)
		}},
		"changed": {compare: byTime, at: func(e *entry, _ time.Time) int64 { return e.changed }},
		"next":    {compare: byTime, at: (*entry).next, moves: true},
	}
}

// note says that the key has another entry than old, or none any more. The
// caller holds Index.mu; there are jobs in all.
func (o *order) note(key string, old *entry, jobs int) {
	if !o.built {
		return
	}
	if _, ok := o.pending[key]; !ok {
		o.pending[key] = old
	}
	if len(o.pending) > 1000+jobs/4 { // to sort anew costs no more
		o.built, o.pending = false, nil
	}
}

func (o *order) row(e *entry, now time.Time) row {
	if o.at == nil {
		return row{e: e}
	}
	return row{o.at(e, now), e}
}

// clockLeap is how far the clock must be put back for due times that have
// passed to come again.
const clockLeap = 1000

// sorted gives all jobs in an order, as they are at the time that it gives, too.
func (x *Index) sorted(o *order) ([]row, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.moves && now.UnixMilli() < o.made-clockLeap {
		x.mu.Lock()
		o.built, o.pending = false, nil
		x.mu.Unlock()
	}
	gone, fresh, anew := x.changes(o)
	if anew {
		o.list = nil
	}
	rows := make([]row, 0, len(fresh))
	for _, e := range fresh {
		rows = append(rows, o.row(e, now))
	}
	kept := o.list
	if o.moves { // those whose time has come are in front
		passed, _ := slices.BinarySearchFunc(kept, now.UnixMilli(), func(r row, now int64) int {
			if r.at <= now {
				return -1
			}
			return 1
		})
		for _, r := range kept[:passed] {
			if _, ok := gone[r.e]; !ok {
				rows = append(rows, o.row(r.e, now))
			}
		}
		kept = kept[passed:]
	}
	o.made = now.UnixMilli()
	if len(rows) > 0 || len(gone) > 0 || len(kept) < len(o.list) {
		slices.SortFunc(rows, o.compare)
		o.list = o.merge(kept, rows, gone)
	}
	return o.list, now
}

// changes takes what has changed since the list was made: the entries that are
// gone and those that have come; all of them where it is to be made anew.
func (x *Index) changes(o *order) (gone map[*entry]struct{}, fresh []*entry, anew bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !o.built {
		o.built, o.pending = true, map[string]*entry{}
		fresh = make([]*entry, 0, len(x.jobs))
		for _, e := range x.jobs {
			fresh = append(fresh, e)
		}
		return nil, fresh, true
	}
	if len(o.pending) == 0 {
		return nil, nil, false
	}
	gone = make(map[*entry]struct{}, len(o.pending))
	for key, old := range o.pending {
		if old != nil {
			gone[old] = struct{}{}
		}
		if e := x.jobs[key]; e != nil {
			fresh = append(fresh, e)
		}
	}
	o.pending = map[string]*entry{}
	return gone, fresh, false
}

// merge makes one list of two, without what is gone from the first.
func (o *order) merge(kept, fresh []row, gone map[*entry]struct{}) []row {
	list := make([]row, 0, len(kept)+len(fresh))
	for _, f := range append(fresh, row{}) { // the last stands for the end
		i := len(kept)
		if f.e != nil {
			i, _ = slices.BinarySearchFunc(kept, f, o.compare)
		}
		if len(gone) == 0 {
			list = append(list, kept[:i]...)
		} else {
			for _, r := range kept[:i] {
				if _, ok := gone[r.e]; !ok {
					list = append(list, r)
				}
			}
		}
		kept = kept[i:]
		if f.e != nil {
			list = append(list, f)
		}
	}
	return list
}
