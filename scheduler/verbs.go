package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
)

// verbs are what the API does. Every change follows the same way: take what the
// book knows or, if that does not do, read the present revision from the bucket's
// leader; decide, write by compare-and-set, and answer when the log has confirmed
// the revision.
type verbs struct {
	s       *Scheduler
	ring    *workers.Dispatcher
	batches chan struct{} // has a place for each batch that may be under way
	turns   turns
}

// casTries is how often a change is decided anew when somebody else was
// faster.
const casTries = 10

// present is a job as it is stored now.
type present struct {
	key      string
	there    bool
	revision uint64 // of the deletion, if the job was deleted; 0 if it never was
	job      *Job   // as far as it can be read
	fields   object
	err      error // why the definition is invalid
	slot     job   // what the scheduler knows of it
}

func (p *present) active() bool { return p.there && p.err == nil && p.job.Enabled() }

// read reads the job, and waits until the scheduler knows this revision, so
// that nothing older is rung after what is decided on it.
func (v *verbs) read(ctx context.Context, name string) (*present, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	p := &present{key: workers.Escape(name)}
	e, err := v.s.jobs.bucket.Get(ctx, p.key)
	for elsewhere(err) && pause(ctx, retryWait) {
		e, err = v.s.jobs.bucket.Get(ctx, p.key)
	}
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return nil, err
	}
	p.there, p.revision = err == nil, e.Revision
	if err := v.s.jobs.catchUp(ctx, e.Revision); err != nil {
		return nil, err
	}
	if p.there {
		p.slot, _ = v.s.book.lookup(p.key)
		p.parse(e.Value, v.s.book.limit)
	}
	return p, nil
}

// known is read of what the book knows, which may be old: good enough for a change
// that is compared when it is written, not for a refusal.
func (v *verbs) known(name string) (*present, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	p := &present{key: workers.Escape(name)}
	if p.slot, p.there = v.s.book.lookup(p.key); p.there {
		p.revision = p.slot.revision
		p.parse(p.slot.definition(), v.s.book.limit)
	}
	return p, nil
}

// parse reads the stored definition.
func (p *present) parse(def []byte, limit int) {
	p.job, p.fields, p.err = parseStored(p.key, def)
	if p.err == nil && len(def) > limit {
		p.err = errOversize
	}
}

// atRevision refuses a change that was decided on another revision.
func atRevision(is uint64) error {
	return &Error{Code: 409, Field: "revision", Message: fmt.Sprintf("the job is at revision %d", is), Revision: is, Hint: "read it and decide again"}
}

func notFound(name string) error {
	return &Error{Code: 404, Field: "name", Message: fmt.Sprintf("there is no job %q", name)}
}

// errOversize is what is wrong with a definition that was put into the bucket
// by hand and does not fit into a trigger.
var errOversize = errors.New("too large for a trigger: make the payload smaller, or raise the server's max_payload")

// errUnreadable refuses to change a definition of which nothing can be read.
var errUnreadable = &Error{Code: 409, Message: "the stored definition cannot be read", Hint: "correct it with put, or delete it"}

// elsewhere tells that nobody has taken the request, or all of it: a cluster's stream
// has no leader for some seconds after its server was lost. Nothing was done, so it
// may be tried again.
func elsewhere(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, kv.ErrIncomplete)
}

// must is read for verbs that need the job to be there.
func (v *verbs) must(ctx context.Context, name string) (*present, error) {
	p, err := v.read(ctx, name)
	if err == nil && !p.there {
		return nil, notFound(name)
	}
	return p, err
}

// try gives a job to decide on: at first, when it is 0, as the book knows it.
func (v *verbs) try(ctx context.Context, try int, name string) (*present, error) {
	if try == 0 {
		return v.known(name)
	}
	return v.read(ctx, name)
}

// change takes a job, lets decide say what to write, and writes it; decide is
// asked again when somebody else was faster. nil from decide changes nothing.
func (v *verbs) change(ctx context.Context, verb, name string, decide func(*present) (object, error)) ([]byte, error) {
	end, err := v.turns.take(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	for try := 0; ; try++ {
		p, err := v.try(ctx, try, name)
		if err != nil {
			return nil, err
		}
		var fields object
		if err = termsOf(ctx).met(p); err == nil {
			fields, err = decide(p)
		}
		if try == 0 && fields == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		if fields == nil {
			// Whoever made the change may not have lived to see it confirmed.
			if err := v.confirm(ctx, p.revision); err != nil {
				return nil, err
			}
			return v.reply(p.key, p.fields, p.revision), nil
		}
		if err := v.fits(fields); err != nil {
			return nil, err
		}
		v.s.awaitRecord(ctx, p.revision)
		rev, err := v.s.jobs.bucket.Write(ctx, kv.Change[[]byte]{
			Key: p.key, Value: fields.bytes(), Revision: p.revision, Note: note(termsOf(ctx), verb, p, fields),
		})
		if errors.Is(err, kv.ErrConflict) && try < casTries || elsewhere(err) && pause(ctx, retryWait) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := v.confirm(ctx, rev); err != nil {
			return nil, err
		}
		return v.reply(p.key, fields, rev), nil
	}
}

// maxDefinition is how many bytes a definition may have on this server, but
// for the fields that the scheduler writes, which take ownFields at most.
func maxDefinition(nc *nats.Conn) int { return int(nc.MaxPayload()) - headroom }

const ownFields = 256

// fits refuses a definition that is too large.
func (v *verbs) fits(fields object) error {
	if size, limit := fields.size(), maxDefinition(v.s.nc); size > limit {
		return &Error{Code: 413, Message: fmt.Sprintf("the definition has %d bytes: at most %d", size, limit), Hint: "make the payload smaller, or raise the server's max_payload"}
	}
	return nil
}

// size is how many bytes a definition has without the scheduler's own fields:
// what fits once must fit when it is deactivated or completed, too.
func (o object) size() int {
	n := 2
	for _, f := range o {
		if f.name != "active" && !fromReply[f.name] {
			n += len(f.name) + len(f.value) + len(`"":,`)
		}
	}
	return n
}

// confirm returns when a hand with the revision is acknowledged: from then on
// no trigger of an older definition follows, whatever happens to anybody.
func (v *verbs) confirm(ctx context.Context, revision uint64) error {
	if v.s.jobs.rests() { // nothing else may bring it; where this fails, it is tried again below
		_ = v.s.jobs.catchUp(ctx, revision)
	}
	lag, cancel := context.WithTimeout(ctx, lagWait)
	defer cancel()
	err := v.s.promises.wait(lag, revision)
	if err != nil && ctx.Err() == nil && lag.Err() != nil {
		if v.s.book.view() < revision { // the watch lags
			if err := v.s.jobs.catchUp(ctx, revision); err != nil {
				return unconfirmed(revision)
			}
		}
		err = v.s.promises.wait(ctx, revision)
	}
	if err != nil {
		return unconfirmed(revision)
	}
	return nil
}

func unconfirmed(revision uint64) error {
	return &Error{Code: 503, Revision: revision, Message: "written, not confirmed: the scheduler has lost the trigger log", Hint: "the change stands and takes effect with the next leader"}
}

func (v *verbs) create(ctx context.Context, data []byte) ([]byte, error) {
	return v.define(ctx, "create", data, func(p *present) error {
		if p.there {
			return &Error{Code: 409, Field: "name", Message: fmt.Sprintf("the job %q exists", p.name()), Revision: p.revision, Hint: "use put to replace it or update to change it"}
		}
		return nil
	})
}

func (v *verbs) put(ctx context.Context, data []byte) ([]byte, error) {
	return v.define(ctx, "put", data, func(*present) error { return nil })
}

func (v *verbs) define(ctx context.Context, verb string, data []byte, allow func(*present) error) ([]byte, error) {
	def, fields, err := parseRequest(data)
	if err != nil {
		return nil, err
	}
	return v.change(ctx, verb, def.Name, func(p *present) (object, error) {
		if err := allow(p); err != nil {
			return nil, err
		}
		return v.complete(p, def, fields, false)
	})
}

func (v *verbs) update(ctx context.Context, data []byte) ([]byte, error) {
	sent, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	var asked Job
	var revision uint64
	changes := sent[:0:0]
	for _, f := range sent {
		switch {
		case f.name == "revision":
			err = json.Unmarshal(f.value, &revision)
		case fromReply[f.name]:
			continue
		default:
			err = asked.read(object{f}, true)
			changes = append(changes, f)
		}
		if err != nil {
			return nil, located(f.name, err)
		}
	}
	return v.change(ctx, "update", asked.Name, func(p *present) (object, error) {
		switch {
		case !p.there:
			return nil, notFound(asked.Name)
		case revision != 0 && revision != p.revision:
			return nil, atRevision(p.revision)
		}
		return v.merge(p, changes)
	})
}

// merge puts the fields that were sent in the place of the stored ones.
func (v *verbs) merge(p *present, changes object) (object, error) {
	fields := p.fields
	for _, f := range changes {
		if isNull(f.value) {
			fields = fields.set(f.name, nil)
			continue
		}
		fields = fields.set(f.name, f.value)
		switch { // one payload takes the place of the other
		case f.name == "payload" && changes.index("payload_base64") < 0:
			fields = fields.set("payload_base64", nil)
		case f.name == "payload_base64" && changes.index("payload") < 0:
			fields = fields.set("payload", nil)
		}
	}
	def, fields, err := parseStored(p.key, fields.bytes())
	if err != nil {
		return nil, err
	}
	return v.complete(p, def, fields, false)
}

func (v *verbs) activate(ctx context.Context, data []byte) ([]byte, error) {
	var name string
	var schedule []byte
	err := readArguments(data, func(f field) (err error) {
		switch f.name {
		case "name":
			name, err = text(f.value)
		case "schedule":
			_, err = readSchedule(f.value, true)
			schedule = f.value
		default:
			return errUnknownField
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return v.change(ctx, "activate", name, func(p *present) (object, error) {
		if !p.there {
			return nil, notFound(name)
		}
		if p.active() && schedule == nil {
			return nil, nil
		}
		if p.fields == nil {
			return nil, errUnreadable
		}
		fields := p.fields.set("active", []byte("true"))
		if schedule != nil {
			fields = fields.set("schedule", schedule)
		}
		def, fields, err := parseStored(p.key, fields.bytes())
		if err != nil {
			return nil, err
		}
		return v.complete(p, def, fields, true)
	})
}

func (v *verbs) deactivate(ctx context.Context, data []byte) ([]byte, error) {
	name, err := readName(data)
	if err != nil {
		return nil, err
	}
	return v.change(ctx, "deactivate", name, func(p *present) (object, error) {
		if !p.there {
			return nil, notFound(name)
		}
		if p.fields == nil {
			return nil, errUnreadable
		}
		if p.job != nil && !p.job.Enabled() {
			return nil, nil
		}
		return p.fields.set("active", []byte("false")).set("reason", appendText(nil, ReasonDeactivated)), nil
	})
}

// complete adds to a definition what the scheduler writes into it, and refuses
// one that would never be due. anew makes the job start again even when it is
// active.
func (v *verbs) complete(p *present, def *Job, fields object, anew bool) (object, error) {
	now := v.s.book.now()
	activated, anchor := now, now
	switch {
	case p.active() && !anew:
		activated = stampOf(p.job.Activated, p.slot.born())
		if sameGrid(&p.job.Schedule, &def.Schedule) {
			anchor = stampOf(p.job.Anchor, int64(p.slot.created))
		}
	case !def.Enabled() && p.there && p.err == nil:
		activated = stampOf(p.job.Activated, int64(now))
		anchor = stampOf(p.job.Anchor, int64(now))
	}
	since := appendText(nil, activated.String())
	begins := since
	if anchor != activated {
		begins = appendText(nil, anchor.String())
	}
	stamps := [...]field{{name: "anchor", value: begins}, {name: "activated", value: since}, {name: "reason"}}
	reason := &stamps[2].value
	if !def.Enabled() {
		*reason = appendText(nil, ReasonDeactivated)
		if p.there && p.err == nil && !p.job.Enabled() && p.job.Reason != "" {
			*reason = appendText(nil, p.job.Reason)
		}
		return fields.with(stamps[:]...), nil
	}
	plan, err := def.Schedule.Compile(int64(anchor))
	if err != nil {
		return nil, err
	}
	if plan.Next(p.key, int64(now)) == Never {
		return nil, neverDue(&def.Schedule)
	}
	return fields.with(stamps[:]...), nil
}

// neverDue says why an active job with this schedule would never run.
func neverDue(s *Schedule) error {
	if !s.At.IsZero() {
		return invalid("schedule.at", "name a time that is to come", "%s has passed", s.At.Format(time.RFC3339Nano))
	}
	if !s.End.IsZero() {
		return invalid("schedule.end", "name a later end", "nothing is due by the end, %s", s.End.Format(time.RFC3339Nano))
	}
	return invalid("schedule", "", "is never due again")
}

// sameGrid tells whether an edit leaves the interval's grid where it is.
func sameGrid(a, b *Schedule) bool {
	return a.floating() && b.floating() && a.Every == b.Every
}

func stampOf(t time.Time, otherwise int64) stamp {
	if t.IsZero() {
		return stamp(otherwise)
	}
	return stamp(t.UnixMilli())
}

func (p *present) name() string {
	name, err := workers.Unescape(p.key)
	if err != nil { // the key was made by Escape
		return p.key
	}
	return name
}

// now is the clock's time, or the log's where that is ahead: a job that is
// made active now has nothing to do with what was rung before.
func (b *book) now() stamp {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(nowStamp(), b.at.time)
}

func (v *verbs) remove(ctx context.Context, data []byte) ([]byte, error) {
	name, err := readName(data)
	if err != nil {
		return nil, err
	}
	end, err := v.turns.take(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	for try := 0; ; try++ {
		p, err := v.try(ctx, try, name)
		if err != nil {
			return nil, err
		}
		if try == 0 && (!p.there || termsOf(ctx).met(p) != nil) {
			continue
		}
		if !p.there {
			if err := v.confirm(ctx, p.revision); err != nil {
				return nil, err
			}
			return nil, notFound(name)
		}
		if err := termsOf(ctx).met(p); err != nil {
			return nil, err
		}
		v.s.awaitRecord(ctx, p.revision)
		rev, err := v.s.jobs.bucket.Write(ctx, kv.Change[[]byte]{
			Key: p.key, Revision: p.revision, Delete: true, Note: note(termsOf(ctx), "delete", p, nil),
		})
		if errors.Is(err, kv.ErrConflict) && try < casTries || elsewhere(err) && pause(ctx, retryWait) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := v.confirm(ctx, rev); err != nil {
			return nil, err
		}
		v.s.forgetCount(ctx, p.key)
		return []byte("{}"), nil
	}
}

// forgetCount drops the count of a job that is gone. One that stays behind
// does no harm: a count belongs to one activation.
func (s *Scheduler) forgetCount(ctx context.Context, key string) {
	s.book.mu.Lock()
	t := s.book.tallies[key]
	s.book.mu.Unlock()
	if t.revision == 0 || t.gone {
		return
	}
	if _, err := s.state.bucket.Delete(ctx, tallyPrefix+key, t.revision); err != nil {
		s.logger.Debug("a deleted job's count stays", "job", key, "error", err)
	}
}
