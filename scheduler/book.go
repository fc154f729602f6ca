package scheduler

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/kv"
)

// job is what is kept in memory of a definition, valid or not.
type job struct {
	key      string
	def      []byte // as stored
	service  string
	policy   string // the trigger's policy header
	plan     Plan
	payload  payload
	revision uint64
	created  stamp // of the revision, by the server's clock

	activated int64 // unix ms, when max_runs and the grid begin; 0 if not stored
	due       int64 // the next one; Never if there is none
	fired     int64 // the due time last appended in this epoch, 0 if none
	count     *count
	place     int32 // in the agenda, -1 if it is not in
	missed    byte  // the first letter of the policy: s, o or a
	active    bool
	invalid   bool
	unstamped bool // activated is taken from created and not stored yet
	anchored  bool // the anchor is stored
	newer     bool // than the hand this scheduler opened the log with
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
	jobs map[string]*job
	seen uint64 // the view of the bucket is complete up to this revision

	tallies   map[string]tally // the counts as they are stored, by job key
	seenState uint64           // the view of the state bucket is complete up to this revision

	services map[string]string // one copy of each service and policy
	keys     []string          // in order; nil when it has to be made again

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
		jobs: map[string]*job{}, services: map[string]string{},
		tallies: map[string]tally{}, recorded: map[stretch]bool{}, changed: make(chan struct{}, 1),
		limit: math.MaxInt,
	}
}

// learn takes one revision of the bucket, from the watch or from a direct
// read; revisions that came by the other way already are passed over.
func (b *book) learn(e kv.Entry[[]byte]) {
	fresh := b.read(e) // outside the lock: it costs microseconds
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.poke()
	if e.Revision <= b.seen {
		return // learned by the other way, which may have deleted the job since
	}
	b.seen = e.Revision
	old := b.jobs[e.Key]
	if old != nil && b.leading {
		b.agenda.remove(old)
		delete(b.ended, e.Key)
		delete(b.unstamped, e.Key)
		delete(b.dirty, old)
	}
	if fresh == nil {
		if old != nil {
			delete(b.jobs, e.Key)
			b.keys = nil
		}
		return
	}
	if old == nil {
		b.keys = nil
	}
	if old != nil {
		fresh.fired = old.fired
	}
	fresh.service, fresh.policy = b.intern(fresh.service), b.intern(fresh.policy)
	b.jobs[e.Key] = fresh
	if b.leading {
		b.enter(fresh, old)
	}
}

// read makes a job of an entry; nil for a deletion.
func (b *book) read(e kv.Entry[[]byte]) *job {
	if e.Deleted {
		return nil
	}
	j := &job{
		key: e.Key, def: e.Value, revision: e.Revision, created: stamp(e.Created.UnixMilli()),
		due: Never, place: -1, missed: 's',
	}
	def, o, err := parseStored(e.Key, e.Value)
	if err != nil || len(e.Value) > b.limit {
		j.invalid = true
		return j
	}
	j.active = def.Enabled()
	if j.active && def.Reason != "" { // somebody has made it active by hand: it begins anew
		def.Anchor, def.Activated = time.Time{}, time.Time{}
	}
	anchor := int64(j.created)
	if !def.Anchor.IsZero() {
		anchor, j.anchored = def.Anchor.UnixMilli(), true
	}
	if j.plan, err = def.Schedule.Compile(anchor); err != nil {
		j.invalid = true
		return j
	}
	j.service, j.policy = def.Service, def.policy().Header()
	j.payload = locate(o)
	if def.Missed != "" {
		j.missed = def.Missed[0]
	}
	if !def.Activated.IsZero() {
		j.activated = def.Activated.UnixMilli()
	}
	if def.Schedule.MaxRuns > 0 {
		j.count = &count{max: def.Schedule.MaxRuns}
	}
	if j.active && j.activated == 0 && (j.count != nil || def.Anchor.IsZero() && def.Schedule.floating()) {
		j.activated, j.unstamped = int64(j.created), true
	}
	return j
}

func (b *book) intern(s string) string {
	if have, ok := b.services[s]; ok {
		return have
	}
	b.services[s] = s
	return s
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
	again := old == nil || !old.active || old.activated != j.activated
	if j.count != nil {
		j.count.runs, _ = b.tallies[j.key].counted(j)
		if !again && old.count != nil {
			j.count.runs = old.count.runs
			b.dirty[j] = struct{}{}
		}
	}
	if !j.active || j.invalid {
		return
	}
	after := b.at.after(j.key)
	if again && !j.unstamped && j.activated >= int64(j.created)-apiWait.Milliseconds() {
		after = min(after, max(j.activated, j.fired))
	}
	if j.unstamped {
		b.unstamped[j.key] = struct{}{}
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
		b.ended[j.key] = ending{b.reason(j), seq}
	}
}

// allLimit is how many missed occurrences of one stretch an `all` job fires.
const allLimit = 1000

// next is the first due time after the given one that is to be fired: in a
// missed stretch the job's policy decides.
func (b *book) next(j *job, after int64) int64 {
	for {
		due := j.plan.Next(j.key, after)
		i := slices.IndexFunc(b.missed, func(s stretch) bool { return s.holds(due) })
		if due == Never || i < 0 || b.wanted(j, due, b.missed[i]) {
			return due
		}
		after = int64(b.missed[i].To) - 1
	}
}

// wanted tells whether an occurrence in a missed stretch fires all the same.
func (b *book) wanted(j *job, due int64, s stretch) bool {
	from := j.within(s)
	switch {
	case due < from:
		return false
	case j.missed == 'o':
		return due == j.plan.Next(j.key, from-1)
	case j.missed == 'a':
		last, ok := b.limits[limit{j.key, s.From}]
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
	if !j.plan.Once() {
		return ReasonExpired
	}
	at := j.plan.Next(j.key, -1)
	switch {
	case at == j.fired || b.tail.holds(j.key, at):
		return ReasonCompleted
	case at <= j.born(), j.newer && b.opened.past(at, j.key):
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
	j, ok := b.jobs[key]
	if !ok {
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

// order gives all keys in order. The slice is never changed.
func (b *book) order() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys == nil {
		b.keys = make([]string, 0, len(b.jobs))
		for k := range b.jobs {
			b.keys = append(b.keys, k)
		}
		slices.SortFunc(b.keys, cmp.Compare[string])
	}
	return b.keys
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
