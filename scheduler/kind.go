package scheduler

import (
	"slices"
	"strings"
	"sync"

	"github.com/bellhop-run/bellhop/workers"
)

// kind is what all jobs share whose definitions differ only in their own values:
// name, payload, description, labels, the time of a one-time schedule, and what the
// scheduler has written. A million jobs have a handful of kinds, so that one costs
// little more than its payload, and reading one no more than finding its kind.
type kind struct {
	text  string   // the definition with marks where the own values stand
	marks []string // the fields whose values those are
	refs  int      // jobs that are of it; kinds.mu guards it

	service   string
	policy    string // the trigger's policy header
	plan      Plan   // its origin is the job's
	payload   int    // which of the job's own values is the payload, -1 for none
	max       int64  // of max_runs, 0 if there is none
	anchor    int64  // where they are no own values; unix ms
	activated int64
	missed    byte // the first letter of the policy: s, o or a
	anchored  bool // the anchor is stored
	binary    bool // the payload is in base64
	active    bool
	anew      bool // somebody has made it active by hand: it begins anew
	floating  bool // the grid begins at the anchor
}

// An own value's mark is a zero, which no JSON holds, and one of these.
const (
	markName      = 'n' // the key, unescaped
	markAnchor    = 'a' // job.anchor
	markActivated = 'v' // job.activated
	markOwn       = 'o' // the next of job.own
)

// broken is the kind of what cannot be read: all of it is the job's own.
var broken = &kind{text: "\x00o", payload: -1, missed: 's'}

// kinds has each kind once, for as long as there are jobs of it.
type kinds struct {
	mu  sync.Mutex
	all map[string]*kind
}

// take gives the kind with the text, if there is one, and counts one job more.
func (ks *kinds) take(text []byte) *kind {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	k := ks.all[string(text)]
	if k != nil {
		k.refs++
	}
	return k
}

// again counts one job more of a kind that was given before, unless it has been let
// go since.
func (ks *kinds) again(k *kind) bool {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if k.refs == 0 {
		return false
	}
	k.refs++
	return true
}

// add takes a kind in; somebody may have been faster.
func (ks *kinds) add(k *kind) *kind {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if have := ks.all[k.text]; have != nil {
		k = have
	} else {
		ks.all[k.text] = k
	}
	k.refs++
	return k
}

// release counts one job less.
func (ks *kinds) release(k *kind) {
	if k == broken {
		return
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if k.refs--; k.refs == 0 {
		delete(ks.all, k.text)
	}
}

// newKind makes the kind of a definition that was read whole and taken apart.
func newKind(s *split, def *Job) (*kind, error) {
	plan, err := def.Schedule.Compile(0)
	if err != nil {
		return nil, err
	}
	k := &kind{
		text: string(s.text), marks: slices.Clone(s.marks), service: def.Service, policy: def.policy().Header(), plan: plan, payload: s.payload,
		binary: def.Payload == nil, max: def.Schedule.MaxRuns, missed: 's', active: def.Enabled(), floating: def.Schedule.floating(),
	}
	if def.Missed != "" {
		k.missed = def.Missed[0]
	}
	k.anew = k.active && def.Reason != ""
	if k.anchored = !k.anew && !def.Anchor.IsZero(); k.anchored {
		k.anchor = def.Anchor.UnixMilli()
	}
	if !k.anew && !def.Activated.IsZero() {
		k.activated = def.Activated.UnixMilli()
	}
	return k, nil
}

// value gives the i-th own value and what comes after it.
func value(own string) (v, rest string) {
	n, size := uint64(0), 0
	for shift := 0; ; shift += 7 { // binary.Uvarint takes no string
		c := own[size]
		size++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			break
		}
	}
	return own[size : size+int(n)], own[size+int(n):]
}

// definition writes the job's definition as it is stored.
func (j *job) definition() []byte {
	text, own := j.kind.text, j.own()
	out := make([]byte, 0, len(text)+len(own)+len(j.key())+2*len(workers.DueLayout))
	for {
		i := strings.IndexByte(text, 0)
		if i < 0 {
			return append(out, text...)
		}
		out = append(out, text[:i]...)
		switch text[i+1] {
		case markName:
			name, err := workers.Unescape(j.key())
			if err != nil { // it was one when it was read
				name = j.key()
			}
			out = appendText(out, name)
		case markAnchor:
			out = appendText(out, stamp(j.anchor).String())
		case markActivated:
			out = appendText(out, stamp(j.activated).String())
		case markOwn:
			var v string
			v, own = value(own)
			out = append(out, v...)
		}
		text = text[i+2:]
	}
}
