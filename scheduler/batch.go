package scheduler

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
)

// MaxBatch is how many changes one request to apply may hold: so many NATS takes
// at once.
const MaxBatch = kv.MaxBatch

// The values of Applied.Action.
const (
	ActionCreated   = "created"
	ActionUpdated   = "updated"
	ActionUnchanged = "unchanged" // what is stored is what was sent
	ActionDeleted   = "deleted"
	ActionAbsent    = "absent" // it was to be deleted, and was not there
)

// Batch is what is applied: as a whole or, if one of its changes is refused, not
// at all. No job may be named twice.
type Batch struct {
	// Put are made, or replaced whole. One that is stored as it is sent is left
	// alone, and so is one that is stored so but has come to its end since: see
	// ActionUnchanged.
	Put []*Job
	// Delete names jobs that end for good.
	Delete []string
	// DryRun changes nothing: it asks what would be done.
	DryRun bool
}

// Applied is what was done to a job or, in a dry run, would be done.
type Applied struct {
	Name string `json:"name"`
	// Action is one of the constants.
	Action string `json:"action"`
	// Revision is what the job, or its deletion, is at now: 0 if nothing was
	// written that made one.
	Revision uint64 `json:"revision,omitempty"`
}

// ParseBatch reads a batch as a request holds it: {"put": [jobs], "delete":
// [names], "dry_run": false}, all of it optional. Each definition is checked as
// ParseJob does it; an *Error says where it stands: "put[17].schedule.cron".
func ParseBatch(data []byte) (Batch, error) {
	all, err := readBatch(data)
	if err != nil {
		return Batch{}, err
	}
	b := Batch{DryRun: all.dryRun}
	for _, w := range all.wishes {
		if w.def == nil {
			b.Delete = append(b.Delete, w.name)
		} else {
			b.Put = append(b.Put, w.def)
		}
	}
	return b, nil
}

// batch is a request to apply, checked as far as it can be without what is stored.
type batch struct {
	wishes []wish // those to put, then those to delete
	puts   int
	dryRun bool

	replySize int // in bytes, at most
}

// wish is what is asked for one job.
type wish struct {
	key    string
	name   string
	sent   []byte // the name as it was sent, in JSON
	def    *Job   // nil for a deletion
	fields object
}

// path is where a wish stands in its request.
func (b *batch) path(i int) string {
	if i < b.puts {
		return "put[" + strconv.Itoa(i) + "]"
	}
	return "delete[" + strconv.Itoa(i-b.puts) + "]"
}

// within says of which change of a batch an error is.
func within(path, name string, err error) *Error {
	e := *apiError(err)
	if checkName(name) == nil {
		e.Message += fmt.Sprintf(" (job %q)", name)
	}
	if e.Field != "" {
		path += "." + e.Field
	}
	e.Field = path
	return &e
}

// replyFrame is how many bytes a result has in a reply, but for its name; a reply
// has replyBytes at most.
const (
	replyFrame = len(`{"name":,"action":"unchanged","revision":18446744073709551615},`)
	replyBytes = 256 << 10
)

// readBatch reads a request to apply, each definition once.
func readBatch(data []byte) (*batch, error) {
	var puts, deletes [][]byte
	b := new(batch)
	if err := readArguments(data, func(f field) (err error) {
		switch f.name {
		case "put":
			puts, err = splitArray(f.value)
		case "delete":
			deletes, err = splitArray(f.value)
		case "dry_run":
			err = json.Unmarshal(f.value, &b.dryRun)
		default:
			err = errUnknownField
		}
		return err
	}); err != nil {
		return nil, err
	}
	if n := len(puts) + len(deletes); n > MaxBatch {
		return nil, invalid("", "send several requests: each is applied as a whole", "%d changes: at most %d", n, MaxBatch)
	}
	b.wishes, b.puts = make([]wish, len(puts)+len(deletes)), len(puts)
	seen := make(map[string]int, len(b.wishes))
	size := 0
	for i := range b.wishes {
		w := &b.wishes[i]
		var err error
		if i < b.puts {
			err = w.readPut(puts[i])
		} else {
			err = w.readDelete(deletes[i-b.puts])
		}
		if err != nil {
			return nil, within(b.path(i), w.name, err)
		}
		if first, twice := seen[w.key]; twice {
			return nil, within(b.path(i), w.name, invalid("", "name each job once", "it is named by %s already", b.path(first)))
		}
		seen[w.key] = i
		size += len(w.sent) + replyFrame
	}
	if size > replyBytes { // names that are longer in JSON than in themselves
		return nil, &Error{Code: 413, Message: fmt.Sprintf("the reply to so many names would have %d bytes: at most %d", size, replyBytes), Hint: "send fewer changes at once"}
	}
	b.replySize = len(`{"results":[]}`) + size
	return b, nil
}

func (w *wish) readPut(data []byte) error {
	o, err := splitObject(make(object, 0, 8), data)
	if err != nil {
		return err
	}
	w.def, w.fields, err = readRequest(o)
	if w.def != nil {
		w.name = w.def.Name
	}
	w.key, w.sent = workers.Escape(w.name), w.fields.get("name")
	return err
}

func (w *wish) readDelete(data []byte) (err error) {
	if w.name, err = text(data); err != nil {
		return located("", err)
	}
	w.key, w.sent = workers.Escape(w.name), data
	return checkName(w.name)
}

// same tells whether what is stored says what was sent, which makes the same job.
// What only the scheduler writes does not count, and neither does what means the
// same: white space outside of payloads, a field that is null, an active that is
// true. Where the scheduler itself has made the job inactive, because it has come
// to its end, active does not count.
func (p *present) same(sent object) bool {
	if !p.there || p.err != nil {
		return false
	}
	ended := !p.job.Enabled() && p.job.Reason != "" && p.job.Reason != ReasonDeactivated
	counts := func(f field) bool {
		switch {
		case fromReply[f.name], f.name == "name": // the key's
			return false
		case f.name == "active":
			return !ended && string(f.value) == "false"
		}
		return f.name == "payload" || !isNull(f.value)
	}
	n := 0
	for _, f := range sent {
		if counts(f) {
			if !sameValue(f, p.fields.get(f.name)) {
				return false
			}
			n++
		}
	}
	for _, f := range p.fields {
		if counts(f) {
			n--
		}
	}
	return n == 0
}

// sameValue compares a field with what is stored of it.
func sameValue(f field, stored []byte) bool {
	if bytes.Equal(f.value, stored) {
		return true
	}
	return f.name != "payload" && stored != nil && bytes.Equal(compact(f.value), compact(stored))
}
