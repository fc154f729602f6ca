package scheduler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// chronicle writes the record of every change while its scheduler leads: each
// revision of the jobs' bucket after the last one recorded. It hears of them from
// the book, and reads from the bucket what the book has not told. It appends as
// the log is appended to, by compare-and-append, so that an older leader's records
// cannot come between or twice.
//
//	watch ──► book ──► news ──► page ──► stream of changes
//	                    bucket ──┘ where a revision is missing
type chronicle struct {
	jobs   *kv.Bucket[[]byte]
	news   *news
	told   *promises // the revision up to which all is recorded
	js     jetstream.JetStream
	ns     workers.Namespace
	logger *slog.Logger

	note  string // the latest that was read, for many are alike
	noted Change // what it says

	series  bool // the stream takes them
	slow    int  // how many series of many records, one after the other, took long
	batches int  // how many went as an atomic batch for it
}

func newChronicle(s *Scheduler) *chronicle {
	return &chronicle{jobs: s.jobs.bucket, news: &s.book.news, told: s.recorded, js: s.js, ns: s.ns, logger: s.logger, slow: 1}
}

const (
	// chronicleBatch is how many records are written at once at most.
	chronicleBatch = 1000
	// chronicleEvery is how soon records follow on others, where there are many and
	// nobody waits: what is written together costs NATS less. Few is what comes while
	// some are written, unless much goes on.
	chronicleEvery = 20 * time.Millisecond
	chronicleFew   = 16
)

// run records until ctx ends, and begins again after whatever fails: at once
// where somebody else has written, who has then moved the end on.
func (c *chronicle) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.record(ctx); err != nil && !isRefusal(err) && ctx.Err() == nil {
			c.logger.Warn("changes are not recorded for a moment", "error", err)
			pause(ctx, clerkEvery)
		}
	}
}

// settle waits until what the bucket now holds is recorded, for settleWait at most.
// A leader that stops does: of what it leaves, the next one finds no more than the
// revisions that the bucket still keeps then.
func (c *chronicle) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	newest, err := c.jobs.Last(ctx)
	if err == nil {
		err = c.told.wait(ctx, newest)
	}
	if err != nil {
		c.logger.Warn("the latest changes are left to the next leader to record", "error", err)
	}
}

// settleWait bounds how long a leader that was told to stop waits for its records,
// and a change for the record of the one before it.
const settleWait = time.Second

// awaitRecord waits until the change that made a revision is recorded, for settleWait
// at most: what follows on it may take it away, a deletion at once and others when
// the bucket has no room for more revisions of that job.
func (s *Scheduler) awaitRecord(ctx context.Context, revision uint64) {
	if revision == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	_ = s.recorded.wait(ctx, revision) // the change goes on all the same
}

// record reads how far the records go, and goes on from there: with what the bucket
// holds by now, and then with what the book is told.
func (c *chronicle) record(ctx context.Context) error {
	stream, err := c.js.Stream(ctx, c.ns.ChangesStream())
	if err != nil {
		return err
	}
	c.news.open() // before the bucket is read: so nothing comes between
	defer c.news.close()
	c.series = stream.CachedInfo().Config.AllowBatchPublish
	newest, err := c.jobs.Last(ctx)
	if err != nil {
		return err
	}
	after, last, err := c.end(ctx, stream, newest)
	if err != nil {
		return err
	}
	p := page{chronicle: c, at: after, last: last, looks: after}
	if after == 0 {
		p.looks = newest
	}
	c.told.keep(after)
	if err := p.fill(ctx, newest+1); err != nil {
		return err
	}
	var heard []kv.Entry[[]byte]
	for {
		if err := p.flush(ctx); err != nil {
			return err
		}
		if heard, err = p.gather(ctx, heard); err != nil {
			return err
		}
		for _, e := range heard {
			if err := p.take(ctx, e); err != nil {
				return err
			}
		}
	}
}

// page is what is about to be recorded.
type page struct {
	*chronicle
	lines []line
	text  []byte // what their data stand in
	at    uint64 // the revision up to which all is on the page, or recorded
	last  uint64 // the place of the last record
	looks uint64 // after this revision, it is looked for what a job was at before
}

// gather waits for news; and, where there were many the last time, for more of them,
// unless somebody waits for a record or those were written a while ago.
func (p *page) gather(ctx context.Context, heard []kv.Entry[[]byte]) ([]kv.Entry[[]byte], error) {
	many := len(heard) >= chronicleFew
	rest := time.NewTimer(chronicleEvery)
	defer rest.Stop()
	for {
		var more <-chan struct{}
		switch n := p.news.size(); {
		case n == 0:
			more = p.news.more
		case !many, n >= chronicleBatch, p.told.asked(p.at):
			return p.news.take(heard), nil
		}
		select {
		case <-more:
		case <-p.news.hurry:
		case <-rest.C:
			many = false
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take brings a revision that was heard of onto the page, and before it those that
// the book has not told: it was at another place then, or has told too much at once.
func (p *page) take(ctx context.Context, e kv.Entry[[]byte]) error {
	switch {
	case e.Revision <= p.at:
		return nil
	case e.Key == "": // all that is known is that it was there
		return p.fill(ctx, e.Revision+1)
	}
	if err := p.fill(ctx, e.Revision); err != nil {
		return err
	}
	return p.add(ctx, e)
}

// fill brings the revisions before one onto the page, as far as the bucket has them.
func (p *page) fill(ctx context.Context, before uint64) error {
	if p.at+1 >= before {
		return nil
	}
	// Whoever leads the bucket's stream since a moment may be behind what was heard.
	if last, err := p.jobs.Last(ctx); err != nil || last+1 < before {
		return cmp.Or(err, errLag)
	}
	if err := p.jobs.Between(ctx, p.at, before, func(e kv.Entry[[]byte]) error { return p.add(ctx, e) }); err != nil {
		return err
	}
	p.at = before - 1
	return nil
}

// add brings the next revision onto the page.
func (p *page) add(ctx context.Context, e kv.Entry[[]byte]) error {
	r, err := p.change(ctx, e, e.Revision > p.looks)
	if err != nil {
		return err
	}
	from := len(p.text)
	if p.text, err = r.record(p.text); err != nil {
		return fmt.Errorf("record revision %d of %s: %w", e.Revision, e.Key, err)
	}
	p.lines = append(p.lines, line{p.ns.ChangeSubject(changeKey(e.Key)), p.text[from:len(p.text):len(p.text)]})
	p.at = e.Revision
	if len(p.lines) < chronicleBatch {
		return nil
	}
	return p.flush(ctx)
}

// flush writes the page.
func (p *page) flush(ctx context.Context) (err error) {
	if len(p.lines) > 0 {
		if p.last, err = p.append(ctx, p.lines, p.last); err != nil {
			return err
		}
		p.lines, p.text = p.lines[:0], p.text[:0]
	}
	p.told.keep(p.at)
	return nil
}

// end gives the revision of the last record, and its place. Strangers may have
// written after it. In a stream that was emptied nothing is told of what was
// there before.
func (c *chronicle) end(ctx context.Context, stream jetstream.Stream, newest uint64) (revision, last uint64, err error) {
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, 0, err
	}
	last = info.State.LastSeq
	for seq := last; seq >= info.State.FirstSeq && seq > 0; seq-- {
		m, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return 0, 0, err
		}
		var r Change
		if json.Unmarshal(m.Data, &r) == nil && r.Revision > 0 {
			if r.Revision > newest { // the bucket was made anew
				return 0, last, nil
			}
			return r.Revision, last, nil
		}
	}
	if last > 0 {
		return newest, last, nil
	}
	return 0, 0, nil
}

// change tells what made a revision. What the job was at before one that was written
// by hand is looked for, unless all there is is being recorded.
func (c *chronicle) change(ctx context.Context, e kv.Entry[[]byte], look bool) (Change, error) {
	if e.Note != c.note {
		c.note, c.noted = e.Note, readNote(e.Note)
	}
	r := c.noted.of(e)
	if r.Was != 0 || r.Verb != ChangePut || !look {
		return r, nil
	}
	older, err := c.jobs.History(ctx, e.Key)
	if err != nil {
		return Change{}, err
	}
	for _, o := range older {
		if o.Revision < e.Revision {
			r.Was = o.Revision
			if o.Deleted {
				r.Was = 0
			}
		}
	}
	return r, nil
}

// changeKey is a key as it stands in a subject. People can put what is no
// escaped name.
func changeKey(key string) string {
	if _, err := workers.Unescape(key); err != nil {
		return workers.Escape(key)
	}
	return key
}

// learn takes how long a series took.
func (c *chronicle) learn(records int, took time.Duration) {
	switch {
	case records < probe:
	case took > time.Duration(records)*slowAck:
		c.slow++
	default:
		c.slow = 0
	}
}

// seriesTries is how many series have to be slow before many records go as an atomic
// batch. The first one counts as slow before it is made.
const seriesTries = 5

// append stores lines that come after last, in order, and gives the new end. When it
// fails, some of the first ones may be stored, and none behind one that is not.
//
// A series is faster, several times, but where the server syncs each message by itself
// many of them take longer than in one atomic batch. That is learned of a few at a time,
// and believed when all of them were slow: one that was not could not have been synced,
// and where much goes on everything is slow for a moment.
func (c *chronicle) append(ctx context.Context, lines []line, last uint64) (_ uint64, err error) {
	for len(lines) > 0 {
		n := len(lines)
		if !c.series || n >= probe && c.slow >= seriesTries {
			last, err = commit(ctx, c.js, messages(lines), last)
			if c.batches++; c.batches == maxTrust { // once more
				c.slow, c.batches = seriesTries-1, 0
			}
		} else {
			if c.slow > 0 {
				n = min(n, probe)
			}
			began := time.Now()
			last, err = appendSeries(ctx, c.js.Conn(), lines[:n], last)
			c.learn(n, time.Since(began))
		}
		if err != nil {
			return 0, err
		}
		lines = lines[n:]
	}
	return last, nil
}

// messages are the lines as an atomic batch takes them.
func messages(lines []line) []*nats.Msg {
	msgs := make([]*nats.Msg, len(lines))
	for i, l := range lines {
		msgs[i] = &nats.Msg{Subject: l.subject, Data: l.data, Header: nats.Header{}}
	}
	return msgs
}
