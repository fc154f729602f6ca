package index

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/bellhop-run/bellhop/scheduler"
)

// Query says which jobs are wanted, and in which order; the zero value is the
// first of all jobs by name.
type Query struct {
	// Search are words, each of which must be in the name, the service, the
	// description or a label (k=v), in upper or lower case.
	Search string
	// Prefix is what the names begin with.
	Prefix string
	// Service, State and Reason are the job's.
	Service, State, Reason string
	// Outcome is how the last run has ended.
	Outcome string
	// Labels must all be there with these values.
	Labels map[string]string
	// Order is name (the default), next, changed or service; with "-" in front
	// it is reversed. Jobs without a next time come after all others.
	Order string
	// Limit is how many jobs a page holds, up to scheduler.MaxListLimit; 0
	// means scheduler.ListLimit.
	Limit int
	// Cursor is what the page before has given, for the same query.
	Cursor string
}

// Page is a part of the jobs that a query wants.
type Page struct {
	Jobs []*Job
	// Total is how many there are on all pages.
	Total int
	// Cursor asks for the next page; empty on the last one. It names the last
	// job of this page and not a number, so that what comes and goes before it
	// moves nothing.
	Cursor string
}

// Jobs gives a page of the jobs that a query wants. The error, a
// *scheduler.Error, is about an unknown order or a broken cursor.
func (x *Index) Jobs(q Query) (Page, error) {
	by, reverse := strings.CutPrefix(q.Order, "-")
	if by == "" {
		by = "name"
	}
	o, ok := x.orders[by]
	if !ok {
		return Page{}, &scheduler.Error{
			Code: http.StatusBadRequest, Field: "order", Message: "unknown order",
			Hint: `use name, next, changed or service, or one of them with "-" in front`,
		}
	}
	var after row
	if q.Cursor != "" {
		var err error
		if after, err = readCursor(q.Cursor, by); err != nil {
			return Page{}, err
		}
	}
	limit := min(q.Limit, scheduler.MaxListLimit)
	if limit <= 0 {
		limit = scheduler.ListLimit
	}
	list, now := x.sorted(o)
	w := walk{list: list, reverse: reverse}
	if q.Cursor != "" {
		w.after(after, o.compare)
	}
	rows, total, more := w.page(q.filter(), limit)
	p := Page{Jobs: make([]*Job, 0, len(rows)), Total: total}
	for _, r := range rows {
		p.Jobs = append(p.Jobs, r.e.show(now))
	}
	if more {
		p.Cursor = writeCursor(by, rows[len(rows)-1])
	}
	return p, nil
}

// walk goes through a list from one of its ends.
type walk struct {
	list    []row
	reverse bool
	start   int // how many rows are before the page
}

func (w *walk) after(r row, compare func(a, b row) int) {
	i, found := slices.BinarySearchFunc(w.list, r, compare)
	switch {
	case w.reverse:
		w.start = len(w.list) - i
	case found:
		w.start = i + 1
	default:
		w.start = i
	}
}

func (w *walk) row(i int) row {
	if w.reverse {
		i = len(w.list) - 1 - i
	}
	return w.list[i]
}

// page gives the first rows after the start that the filter wants, at most
// limit, and whether there are more; and how many it wants of the whole list.
func (w *walk) page(f *filter, limit int) (rows []row, total int, more bool) {
	if f == nil {
		end := min(w.start+limit, len(w.list))
		for i := w.start; i < end; i++ {
			rows = append(rows, w.row(i))
		}
		return rows, len(w.list), end < len(w.list)
	}
	for i := range w.list {
		r := w.row(i)
		if !f.wants(r.e) {
			continue
		}
		total++
		switch {
		case i < w.start:
		case len(rows) < limit:
			rows = append(rows, r)
		default:
			more = true
		}
	}
	return rows, total, more
}

// filter is a query, made ready.
type filter struct {
	words          []string
	q              *Query
	labels         []unique.Handle[label]
	service        unique.Handle[string]
	active, states bool
}

// filter gives nil for a query that wants all jobs.
func (q *Query) filter() *filter {
	f := &filter{q: q, words: strings.Fields(strings.ToLower(q.Search))}
	if len(f.words) == 0 && q.Prefix == "" && q.Service == "" && q.State == "" && q.Reason == "" && q.Outcome == "" && len(q.Labels) == 0 {
		return nil
	}
	for k, v := range q.Labels {
		f.labels = append(f.labels, unique.Make(label{k, v}))
	}
	f.service = unique.Make(q.Service)
	f.states, f.active = q.State != "", q.State == scheduler.StateActive
	return f
}

func (f *filter) wants(e *entry) bool {
	q := f.q
	switch {
	case q.Service != "" && f.service != e.service,
		f.states && (f.active != e.active() || !f.active && q.State != scheduler.StateInactive),
		q.Reason != "" && q.Reason != e.reason,
		q.Prefix != "" && !strings.HasPrefix(e.name, q.Prefix):
		return false
	}
	for _, l := range f.labels {
		if !slices.Contains(e.labels, l) {
			return false
		}
	}
	for _, w := range f.words {
		if !strings.Contains(e.text, w) {
			return false
		}
	}
	return q.Outcome == "" || q.Outcome == e.lastOutcome()
}

// A cursor is, in base64: the order and a colon, the time in eight bytes, the
// length of the text in two, the text, the key. Only one of time and text counts.
const cursorHead = 8 + 2

func writeCursor(by string, r row) string {
	text := ""
	switch by {
	case "name":
		text = r.e.name
	case "service":
		text = r.e.service.Value()
	}
	b := binary.BigEndian.AppendUint64([]byte(by+":"), uint64(r.at))
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	return base64.RawURLEncoding.EncodeToString(append(append(b, text...), r.e.key...))
}

// readCursor gives a row with what the order compares.
func readCursor(cursor, by string) (row, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return row{}, errCursor()
	}
	b, ok := bytes.CutPrefix(b, []byte(by+":"))
	if !ok || len(b) < cursorHead {
		return row{}, errCursor()
	}
	rest, length := string(b[cursorHead:]), int(binary.BigEndian.Uint16(b[8:]))
	if length > len(rest) {
		return row{}, errCursor()
	}
	text := rest[:length]
	return row{int64(binary.BigEndian.Uint64(b)), &entry{name: text, service: unique.Make(text), key: rest[length:]}}, nil
}

func errCursor() error {
	return &scheduler.Error{
		Code: http.StatusBadRequest, Field: "cursor", Message: "not a cursor of this order",
		Hint: "use what the page before has given, or none",
	}
}

// Upcoming gives the first n jobs that are due next and within some time, the
// soonest first.
func (x *Index) Upcoming(n int, within time.Duration) []*Job {
	rows, now := x.sorted(x.orders["next"])
	end := min(now.Add(within).UnixMilli(), scheduler.Never-1)
	var list []*Job
	for _, r := range rows {
		if len(list) >= n || r.at > end {
			break
		}
		list = append(list, r.e.show(now))
	}
	return list
}
