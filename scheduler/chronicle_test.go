package scheduler

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/google/go-cmp/cmp"
)

// archive is a chronicle at work, told by its test what the bucket holds.
type archive struct {
	*testing.T
	*Scheduler
	*chronicle
	stored []kv.Entry[[]byte]
}

func inArchive(t *testing.T, before int, f func(a *archive)) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) })
		s := newBound(t)
		a := &archive{T: t, Scheduler: s, chronicle: newChronicle(s)}
		a.store(before)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { a.chronicle.run(ctx) })
		time.Sleep(time.Second)
		f(a)
		cancel()
		wg.Wait()
	})
}

// store puts new jobs into the bucket, and gives their revisions.
func (a *archive) store(n int) []kv.Entry[[]byte] {
	for range n {
		key := fmt.Sprint("job-", len(a.stored))
		rev, err := a.Scheduler.jobs.bucket.Create(a.Context(), key, []byte("{}"))
		if err != nil {
			a.Fatal(err)
		}
		a.stored = append(a.stored, kv.Entry[[]byte]{Key: key, Revision: rev, Created: time.Now(), Note: `{"verb":"create"}`})
	}
	return a.stored[len(a.stored)-n:]
}

// tell tells of revisions as the book does, but of all at once.
func (a *archive) tell(entries ...kv.Entry[[]byte]) {
	n, last := &a.book.news, len(entries)-1
	n.mu.Lock()
	n.told = append(n.told, entries[:last]...)
	n.mu.Unlock()
	n.tell(entries[last])
}

// recorded is how many records there are, which must be of the first revisions.
func (a *archive) recorded() int {
	a.Helper()
	synctest.Wait()
	c, err := OpenChanges(a.Context(), a.Scheduler.js, a.Scheduler.ns)
	if err != nil {
		a.Fatal(err)
	}
	var got, want []uint64
	for p, err := range c.List(a.Context(), ChangeFilter{}) {
		if err != nil {
			a.Fatal(err)
		}
		got = append(got, p.Revision)
	}
	slices.Reverse(got)
	for _, e := range a.stored[:min(len(got), len(a.stored))] {
		want = append(want, e.Revision)
	}
	if d := cmp.Diff(want, got); d != "" {
		a.Fatal(d)
	}
	return len(got)
}

func (a *archive) want(n int) {
	a.Helper()
	if got := a.recorded(); got != n {
		a.Errorf("%d changes are recorded, want %d", got, n)
	}
}

// TestChronicleFillsGaps has every revision recorded once, whatever the book tells
// of them.
func TestChronicleFillsGaps(t *testing.T) {
	inArchive(t, 3*chronicleBatch/2, func(a *archive) {
		n := len(a.stored)
		a.want(n) // what was there before

		some := a.store(10)
		a.tell(a.stored[n-2], a.stored[n-1], some[2], some[3], some[6])
		time.Sleep(time.Second)
		a.want(n + 7)

		a.tell(kv.Entry[[]byte]{Revision: some[9].Revision}) // of which only the number is known
		time.Sleep(time.Second)
		a.want(n + 10)

		many := a.store(2 * chronicleBatch)
		a.book.news.mu.Lock()
		a.book.news.told = make([]kv.Entry[[]byte], maxNews) // of what is known already
		a.book.news.mu.Unlock()
		a.tell(many[len(many)-1])
		time.Sleep(time.Second)
		a.want(n + 10 + len(many))
	})
}

// TestChronicleGathers has records written together where there are many, and at
// once where somebody waits for them.
func TestChronicleGathers(t *testing.T) {
	inArchive(t, 1, func(a *archive) {
		next := func() { a.tell(a.store(1)...) }
		next()
		next()
		a.want(3) // of few
		a.tell(a.store(chronicleFew)...)
		a.want(3 + chronicleFew)
		n := len(a.stored)
		next()
		next()
		a.want(n)
		time.Sleep(chronicleEvery)
		a.want(n + 2)

		a.tell(a.store(chronicleFew)...)
		a.want(n + 2 + chronicleFew)
		next()
		a.want(n + 2 + chronicleFew)
		begun := time.Now()
		a.awaitRecord(a.Context(), a.stored[len(a.stored)-1].Revision)
		a.want(len(a.stored))

		a.tell(a.store(chronicleFew)...)
		a.want(len(a.stored))
		next()
		a.want(len(a.stored) - 1)
		a.settle(a.Context())
		a.want(len(a.stored))
		if waited := time.Since(begun); waited > 0 { // on the bubble's clock
			a.Errorf("who waits has waited for %v", waited)
		}
	})
}

// TestNewsKeepsTheEnd bounds what is kept, not what is known.
func TestNewsKeepsTheEnd(t *testing.T) {
	n := &newBook().news
	n.tell(kv.Entry[[]byte]{Key: "j", Revision: 1})
	if n.size() != 0 {
		t.Error("news are kept while nobody records")
	}
	n.open()
	for r := range uint64(maxNews + 3) {
		n.tell(kv.Entry[[]byte]{Key: "j", Value: []byte("{}"), Revision: r + 2})
	}
	want := []kv.Entry[[]byte]{{Revision: maxNews + 2}, {Key: "j", Revision: maxNews + 3}, {Key: "j", Revision: maxNews + 4}}
	if d := cmp.Diff(want, n.take(nil)); d != "" {
		t.Error(d)
	}
	n.tell(kv.Entry[[]byte]{Key: "j", Revision: maxNews + 5})
	n.close()
	if n.open(); n.size() != 0 {
		t.Error("news are kept from before")
	}
}

// TestPageBeginsAnew has nothing of what was written stay on the page.
func TestPageBeginsAnew(t *testing.T) {
	p := page{chronicle: newChronicle(newBound(t))}
	for rev := range uint64(3) {
		if err := p.add(t.Context(), kv.Entry[[]byte]{Key: "j", Revision: rev + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(p.lines)+len(p.text) != 0 || p.last != 3 {
		t.Errorf("%d lines of %d bytes are left, the last place is %d", len(p.lines), len(p.text), p.last)
	}
}
