package scheduler

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
)

// job is what is kept in memory of a definition, valid or not. There may be
// millions: what many have in common is in the kind, and every byte here counts.
type job struct {
	all      string // the key, and after it the values that the kind's text has marks for
	kind     *kind
	revision uint64
	created  stamp // of the revision, by the server's clock

	anchor    int64 // unix ms, from which a grid without start is counted
	activated int64 // unix ms, when max_runs and the grid begin; 0 if not stored
	origin    int64 // of the plan
	due       int64 // the next one; Never if there is none
	fired     int64 // the due time last appended in this epoch, 0 if none
	count     *count
	place     int32  // in the agenda, nowhere if it is not in
	keyLen    uint16 // in all
	unstamped bool   // activated is taken from created and not stored yet
	newer     bool   // than the hand this scheduler opened the log with
}

// count is the state of a job with max_runs.
type count struct {
	max  int64
	runs int64 // triggers in the log, appended ones included
}

// book holds every definition that is known, and while this scheduler leads,
// the agenda. mu guards all of it.
type book struct {
	mu   sync.Mutex
	jobs shelf
	seen uint64 // the view of the bucket is complete up to this revision

	tallies   map[string]tally // the counts as they are stored, by job key
	seenState uint64           // the view of the state bucket is complete up to this revision

	kinds  kinds
	splits sync.Pool // of *split, to read with
	keys   []string  // in order; nil when it has to be made again
	came   uint64    // how many keys have come or gone
	news   news      // for the leader's chronicle

	// What follows is the leader's.
	leading   bool
	agenda    agenda
	at        position            // everything before it is appended
	missed    []stretch           // see hand.Missed
	tail      *tail               // what the log held after its last hand
	limits    map[limit]int64     // the last missed occurrence that an `all` job fires, where there are too many
	opened    position            // where the log stood when it was opened
	recorded  map[stretch]bool    // the missed ones whose records are written
	decided   uint64              // the sequence of the hand that tells of the last of them
	sent      uint64              // the log's last sequence, once all that was sent is stored
	settled   uint64              // the log's last acknowledged sequence
	ended     map[string]ending   // active jobs without a next due time
	dirty     map[*job]struct{}   // counted jobs whose count is not in a tally
	unstamped map[string]struct{} // jobs put by hand whose anchor is not stored yet

	changed chan struct{} // something was learned
	limit   int           // a definition with more bytes would not fit into a trigger
}

// ending says why an active job has no next due time, and after which sequence
// of the log that is certain.
type ending struct {
	reason string
	seq    uint64
}

func newBook() *book {
	return &book{
		jobs: newShelf(), kinds: kinds{all: map[string]*kind{}},
		splits:  sync.Pool{New: func() any { return new(split) }},
		news:    news{more: make(chan struct{}, 1), hurry: make(chan struct{}, 1)},
		tallies: map[string]tally{}, recorded: map[stretch]bool{}, changed: make(chan struct{}, 1),
		limit: math.MaxInt,
	}
}

// learn takes revisions of the bucket, in order, from the watch or from a direct
// read; those that came by the other way already are passed over.
func (b *book) learn(es ...kv.Entry[[]byte]) {
	defer b.poke()
	for part := range slices.Chunk(es, learnAtOnce) {
		var fresh [learnAtOnce]job
		for i := range part {
			fresh[i] = b.read(part[i]) // outside the lock: it costs microseconds
		}
		b.mu.Lock()
		for i := range part {
			b.take(&part[i], &fresh[i])
		}
		b.mu.Unlock()
	}
}

// learnAtOnce is how many revisions are taken while the book is locked.
const learnAtOnce = 16

// take takes one revision and the job that was read from it. The caller holds mu.
func (b *book) take(e *kv.Entry[[]byte], fresh *job) {
	if e.Revision <= b.seen { // learned by the other way, which may have deleted the job since
		if !e.Deleted {
			b.kinds.release(fresh.kind)
		}
		return
	}
	b.seen = e.Revision
	b.news.tell(*e)
	var was *job
	if old := b.jobs.get(e.Key); old != nil {
		b.kinds.release(old.kind)
		if b.leading {
			b.agenda.remove(old)
			delete(b.ended, e.Key)
			delete(b.unstamped, e.Key)
			delete(b.dirty, old)
		}
		c := *old
		was = &c
	}
	if (was == nil) != e.Deleted {
		b.keys, b.came = nil, b.came+1
	}
	if e.Deleted {
		b.jobs.drop(e.Key)
		return
	}
	if was != nil {
		fresh.fired = was.fired
	}
	if j := b.jobs.put(fresh); b.leading {
		b.enter(j, was)
	}
}

// read makes a job of an entry that is no deletion; of one it makes nothing.
func (b *book) read(e kv.Entry[[]byte]) job {
	if e.Deleted {
		return job{}
	}
	j := job{revision: e.Revision, created: stamp(e.Created.UnixMilli()), due: Never, place: nowhere}
	s := b.splits.Get().(*split) //nolint:forcetypeassert // it holds nothing else
	defer b.splits.Put(s)
	if !b.sort(&j, s, e) {
		j.kind = broken
		j.keep(e.Key, append(binary.AppendUvarint(nil, uint64(len(e.Value))), e.Value...))
	}
	return j
}

// sort finds the job's kind, or makes it, and tells whether the definition is
// valid.
func (b *book) sort(j *job, s *split, e kv.Entry[[]byte]) bool {
	name, err := workers.Unescape(e.Key)
	if err != nil || checkName(name) != nil || len(e.Value) > b.limit {
		return false
	}
	k := b.likeness(s, name, e.Value)
	if k == nil {
		if k = b.kindOf(s, name, e); k == nil {
			return false
		}
	}
	s.met(k)
	j.kind = k
	j.keep(e.Key, s.own)
	j.anchor, j.activated = cmp.Or(s.anchor, k.anchor), cmp.Or(s.activated, k.activated)
	if !k.anchored {
		j.anchor = int64(j.created)
	}
	if j.activated == 0 && k.active && (k.max > 0 || !k.anchored && k.floating) {
		j.activated, j.unstamped = int64(j.created), true
	}
	if k.max > 0 {
		j.count = &count{max: k.max}
	}
	switch {
	case s.plan != nil:
		j.origin = s.plan.origin
	case k.floating:
		j.origin = k.plan.from(j.anchor).origin
	default:
		j.origin = k.plan.origin
	}
	return true
}

// likeness finds the kind among those that were met last; nil if it is none of them.
func (b *book) likeness(s *split, name string, data []byte) *kind {
	for _, k := range s.recent {
		if k != nil && s.alike(k, name, data) && b.kinds.again(k) {
			return k
		}
	}
	return nil
}

// kindOf finds the kind by parsing, or makes it; nil for what is not valid.
func (b *book) kindOf(s *split, name string, e kv.Entry[[]byte]) *kind {
	o, err := parseObject(e.Value)
	if err != nil {
		return nil
	}
	if s.take(name, e.Value, o); s.misnamed {
		return nil
	}
	if k := b.kinds.take(s.text); k != nil {
		return k
	}
	def, _, err := parseStored(e.Key, e.Value)
	if err != nil {
		return nil
	}
	k, err := newKind(s, def)
	if err != nil {
		return nil
	}
	return b.kinds.add(k)
}

// keep stores the key and the own values in one piece.
func (j *job) keep(key string, own []byte) {
	var all strings.Builder // which makes no copy
	all.Grow(len(key) + len(own))
	all.WriteString(key)
	all.Write(own)
	j.all, j.keyLen = all.String(), uint16(len(key))
}

func (j *job) key() string { return j.all[:j.keyLen] }

// own are the values that the kind's text has marks for, each with its length.
func (j *job) own() string { return j.all[j.keyLen:] }

// plan is when the job is due.
func (j *job) plan() Plan {
	p := j.kind.plan
	if p.origin = j.origin; p.Once() {
		p.last = j.origin
	}
	return p
}

func (b *book) poke() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// enter brings a definition that was just learned into force. An edit takes
// effect after the log's present end. One that was just made active begins at
// that moment: what fell due since is fired at once. People copy definitions,
// their old moment included: theirs begin like an edit.
func (b *book) enter(j, old *job) {
	again := old == nil || !old.kind.active || old.activated != j.activated
	if j.count != nil {
		j.count.runs, _ = b.tallies[j.key()].counted(j)
		if !again && old.count != nil {
			j.count.runs = old.count.runs
			b.dirty[j] = struct{}{}
		}
	}
	if !j.kind.active {
		return
	}
	after := b.at.after(j.key())
	if again && !j.unstamped && j.activated >= int64(j.created)-apiWait.Milliseconds() {
		after = min(after, max(j.activated, j.fired))
	}
	if j.unstamped {
		b.unstamped[j.key()] = struct{}{}
	}
	b.schedule(j, after, b.sent)
}

// schedule finds the job's next due time after the given one and puts it into
// the agenda, or among the ended; seq is the sequence after which the end is
// certain.
func (b *book) schedule(j *job, after int64, seq uint64) {
	j.due = b.firstDue(j, after)
	b.agenda.put(j)
	if j.due == Never {
		b.ended[j.key()] = ending{b.reason(j), seq}
	}
}

// allLimit is how many missed occurrences of one stretch an `all` job fires.
const allLimit = 1000

// next is the first due time after the given one that is to be fired: in a
// missed stretch the job's policy decides.
func (b *book) next(j *job, after int64) int64 {
	for plan := j.plan(); ; {
		due := plan.Next(j.key(), after)
		i := slices.IndexFunc(b.missed, func(s stretch) bool { return s.holds(due) })
		if due == Never || i < 0 || b.wanted(j, due, b.missed[i]) {
			return due
		}
		after = int64(b.missed[i].To) - 1
	}
}

// wanted tells whether an occurrence in a missed stretch fires all the same.
func (b *book) wanted(j *job, due int64, s stretch) bool {
	from, plan := j.within(s), j.plan()
	switch {
	case due < from:
		return false
	case j.kind.missed == 'o':
		return due == plan.Next(j.key(), from-1)
	case j.kind.missed == 'a':
		last, ok := b.limits[limit{j.key(), s.From}]
		return !ok || due <= last
	}
	return false
}

// limit names what b.limits holds: a job in a stretch.
type limit struct {
	key  string
	from stamp
}

// within is where the stretch begins for this job: one that came while nobody
// was there has missed nothing from before.
func (j *job) within(s stretch) int64 {
	return max(int64(s.From), j.born())
}

// born is when the definition was made active, as far as that is known.
func (j *job) born() int64 {
	if j.activated > 0 {
		return j.activated
	}
	return int64(j.created)
}

// reason says why an active job has no next due time.
func (b *book) reason(j *job) string {
	if j.count != nil && j.count.runs >= j.count.max {
		return ReasonCompleted
	}
	plan := j.plan()
	if !plan.Once() {
		return ReasonExpired
	}
	at := plan.Next(j.key(), -1)
	switch {
	case at == j.fired || b.tail.holds(j.key(), at):
		return ReasonCompleted
	case at <= j.born(), j.newer && b.opened.past(at, j.key()):
		return ReasonMissed
	case slices.ContainsFunc(b.missed, func(s stretch) bool { return s.holds(at) && !b.wanted(j, at, s) }):
		return ReasonMissed
	}
	return ReasonCompleted
}

// lookup copies what is known of one job; false if there is none.
func (b *book) lookup(key string) (job, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.jobs.get(key)
	if j == nil {
		return job{}, false
	}
	return j.copy(), true
}

// copy is the job as it is now, its count included.
func (j *job) copy() job {
	c := *j
	if j.count != nil {
		n := *j.count
		c.count = &n
	}
	return c
}

// order gives all keys in order. The slice is never changed. A million take half a
// second: nothing that rings waits for it.
func (b *book) order() []string {
	b.mu.Lock()
	if b.keys != nil {
		defer b.mu.Unlock()
		return b.keys
	}
	came := b.came
	keys := make([]string, 0, b.jobs.len())
	for j := range b.jobs.all() {
		keys = append(keys, j.key())
	}
	b.mu.Unlock()
	for i, k := range keys {
		keys[i] = strings.Clone(k) // which would hold the job's values
	}
	slices.Sort(keys)
	b.mu.Lock()
	defer b.mu.Unlock()
	if came == b.came {
		b.keys = keys
	}
	return keys
}

// view is how far the book has come.
func (b *book) view() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen
}

// errLag means that a view did not come as far as it must in time.
var errLag = errors.New("the view of a bucket lags behind")

// lagWait is how long a view may lag before it is read from the stream's
// leader instead.
const lagWait = 100 * time.Millisecond
