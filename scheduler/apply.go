package scheduler

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/bellhop-run/bellhop/kv"
)

const (
	// applyAbreast is how many batches are under way at once; others wait. NATS
	// takes 50 into one stream.
	applyAbreast = 8
	// readsAbreast is how many keys are read at once.
	readsAbreast = 32
)

// apply carries out a batch. Where single verbs read each job from the bucket's
// leader, it decides on what the book knows, brought up to the bucket's last
// revision: the compare-and-set of the batch refuses what the book knew too late.
//
//	request ──► wishes ──► book ──► rulings ──► one atomic batch ──► hand ──► reply
//	                        ▲                      │ conflict
//	                        └── read what changed ◄┘
func (v *verbs) apply(ctx context.Context, data []byte) ([]byte, error) {
	if termsOf(ctx).Revision != 0 {
		return nil, invalid(HeaderRevision, "leave it out", "a batch is about many jobs, which have no revision in common")
	}
	b, err := readBatch(data)
	if err != nil {
		return nil, err
	}
	select {
	case v.batches <- struct{}{}:
		defer func() { <-v.batches }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a := &applying{verbs: v, batch: b}
	if err := a.run(ctx); err != nil {
		return nil, err
	}
	return a.reply(), nil
}

// applying is a batch that is under way.
type applying struct {
	*verbs
	*batch
	looked  bool              // the book knows what the bucket held when the request was there
	upTo    uint64            // the revision that the log has to confirm
	note    string            // of whatever is created
	ended   map[string]uint64 // the revisions of the deletions of keys that the book has not
	rulings []ruling          // one for each wish
	changes []kv.Change[[]byte]
}

// ruling is what is done for a wish.
type ruling struct {
	action   string
	revision uint64
	change   int // of applying.changes, -1 if there is none
}

// run decides and writes, anew where somebody else was faster.
func (a *applying) run(ctx context.Context) error {
	for try := 1; ; {
		sure, err := a.rule(ctx)
		if err != nil {
			return err
		}
		if !sure {
			if err := a.look(ctx); err != nil {
				return err
			}
			continue
		}
		if a.dryRun || len(a.changes) == 0 {
			break
		}
		err = a.write(ctx)
		switch {
		case err == nil:
		case errors.Is(err, kv.ErrConflict) && try < casTries:
			try++
			if err := a.lookCloser(ctx); err != nil {
				return err
			}
			continue
		case elsewhere(err) && pause(ctx, retryWait):
			continue
		case errors.Is(err, kv.ErrConflict):
			return &Error{Code: 409, Message: "somebody else is changing these jobs", Hint: "apply them again"}
		default:
			return err
		}
		break
	}
	if a.dryRun {
		return nil
	}
	// What is as it should be may be so by a change that nobody saw confirmed.
	if err := a.confirm(ctx, a.upTo); err != nil {
		return err
	}
	a.forgetCounts(ctx)
	return nil
}

// look brings the book up to what the bucket holds now.
func (a *applying) look(ctx context.Context) error {
	last, err := a.s.jobs.bucket.Last(ctx)
	if err != nil {
		return err
	}
	a.looked, a.upTo = true, last
	return a.s.jobs.catchUp(ctx, last)
}

// lookCloser also reads, where the book has no job, at which revision its name
// was deleted: that is the one to write over.
func (a *applying) lookCloser(ctx context.Context) error {
	if err := a.look(ctx); err != nil {
		return err
	}
	var missing []string
	for _, w := range a.wishes[:a.puts] {
		if _, there := a.s.book.lookup(w.key); !there {
			missing = append(missing, w.key)
		}
	}
	read := make([]uint64, len(missing))
	errs := make([]error, readsAbreast)
	var wg sync.WaitGroup
	for part := range readsAbreast {
		wg.Go(func() {
			for i := part; i < len(missing) && errs[part] == nil; i += readsAbreast {
				e, err := a.s.jobs.bucket.Get(ctx, missing[i])
				if err != nil && !errors.Is(err, kv.ErrNotFound) {
					errs[part] = err
				}
				read[i] = e.Revision
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	a.ended = make(map[string]uint64, len(missing))
	for i, key := range missing {
		a.ended[key] = read[i]
	}
	return nil
}

// rule decides all wishes on what the book knows. It is sure if the bucket was
// looked at, or if all of it would be written and so be compared there.
func (a *applying) rule(ctx context.Context) (sure bool, err error) {
	a.rulings, a.changes = make([]ruling, 0, len(a.wishes)), make([]kv.Change[[]byte], 0, len(a.wishes))
	t := termsOf(ctx)
	for i := range a.wishes {
		w := &a.wishes[i]
		slot, there := a.s.book.lookup(w.key)
		if !a.looked && (there || w.def == nil || a.dryRun) {
			return false, nil
		}
		p := &present{key: w.key, there: there, revision: a.ended[w.key], slot: slot}
		if there {
			p.revision = slot.revision
		}
		if w.def == nil {
			a.ruleDeletion(p, t)
		} else if err := a.rulePut(w, p, t); err != nil {
			return false, within(a.path(i), w.name, err)
		}
	}
	return true, nil
}

func (a *applying) ruleDeletion(p *present, t Terms) {
	if !p.there {
		a.rulings = append(a.rulings, ruling{action: ActionAbsent, change: -1})
		return
	}
	a.change(ActionDeleted, kv.Change[[]byte]{
		Key: p.key, Revision: p.revision, Delete: true, Note: note(t, "delete", p, nil),
	})
}

func (a *applying) rulePut(w *wish, p *present, t Terms) error {
	if p.there {
		p.parse(p.slot.definition(), a.s.book.limit)
		if p.same(w.fields) {
			a.rulings = append(a.rulings, ruling{action: ActionUnchanged, revision: p.revision, change: -1})
			return nil
		}
	}
	fields, err := a.complete(p, w.def, w.fields, false)
	if err != nil {
		return err
	}
	if err := a.fits(fields); err != nil {
		return err
	}
	c := kv.Change[[]byte]{Key: p.key, Value: fields.bytes(), Revision: p.revision}
	if p.there {
		c.Note = note(t, "put", p, fields)
		a.change(ActionUpdated, c)
		return nil
	}
	if a.note == "" { // it is the same for all
		a.note = note(t, "create", p, fields)
	}
	c.Note = a.note
	a.change(ActionCreated, c)
	return nil
}

func (a *applying) change(action string, c kv.Change[[]byte]) {
	a.rulings = append(a.rulings, ruling{action: action, change: len(a.changes)})
	a.changes = append(a.changes, c)
}

// write stores the changes, all or none, and notes the revisions that they made.
// A deletion may stand in an atomic batch, for no key is named twice.
func (a *applying) write(ctx context.Context) (err error) {
	var latest uint64
	for _, c := range a.changes {
		latest = max(latest, c.Revision)
	}
	a.s.awaitRecord(ctx, latest)
	var first uint64
	if len(a.changes) == 1 { // one message is atomic, and cheaper than a batch
		first, err = a.s.jobs.bucket.Write(ctx, a.changes[0])
	} else {
		first, err = a.s.jobs.apply(ctx, a.changes)
	}
	if err != nil {
		return err
	}
	for i := range a.rulings {
		if r := &a.rulings[i]; r.change >= 0 {
			r.revision = first + uint64(r.change)
		}
	}
	a.upTo = max(a.upTo, first+uint64(len(a.changes))-1)
	return nil
}

// forgetCounts drops the counts of jobs that are gone. Those that stay behind do
// no harm, as with forgetCount.
func (a *applying) forgetCounts(ctx context.Context) {
	var gone []kv.Change[[]byte]
	a.s.book.mu.Lock()
	for _, c := range a.changes {
		if t := a.s.book.tallies[c.Key]; c.Delete && t.revision != 0 && !t.gone {
			gone = append(gone, kv.Change[[]byte]{Key: tallyPrefix + c.Key, Revision: t.revision, Delete: true})
		}
	}
	a.s.book.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	if _, err := a.s.state.bucket.Apply(ctx, gone); err != nil {
		a.s.logger.Debug("the counts of deleted jobs stay", "jobs", len(gone), "error", err)
	}
}

// reply tells what was done, in the order of the request.
func (a *applying) reply() []byte {
	b := append(make([]byte, 0, a.replySize), `{"results":[`...)
	for i, r := range a.rulings {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, `{"name":`...), a.wishes[i].sent...)
		b = append(append(append(b, `,"action":"`...), r.action...), '"')
		if r.revision != 0 {
			b = strconv.AppendUint(append(b, `,"revision":`...), r.revision, 10)
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}
