package kv_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// fill creates n keys, whose revisions are 1 to n in a bucket that is new.
func fill(t *testing.T, b *kv.Bucket[colour], n int) {
	t.Helper()
	for at := 0; at < n; {
		var changes []kv.Change[colour]
		for ; at < n && len(changes) < kv.MaxBatch; at++ {
			changes = append(changes, kv.Change[colour]{Key: fmt.Sprint("k", at+1), Value: colour{fmt.Sprint(at + 1)}})
		}
		if _, err := b.Apply(t.Context(), changes); err != nil {
			t.Fatal(err)
		}
	}
}

// load loads and checks that each entry is what was written at its revision.
func load(t *testing.T, b *kv.Bucket[colour], after uint64, then func()) (revisions []uint64, err error) {
	t.Helper()
	err = b.Load(t.Context(), after, func(es []kv.Entry[colour]) {
		for _, e := range es {
			if name := fmt.Sprint(e.Revision); e.Key != "k"+name || e.Value.Name != name || e.Deleted || e.Created.IsZero() {
				t.Errorf("revision %d is given as %+v", e.Revision, e)
			}
			revisions = append(revisions, e.Revision)
		}
		then()
	})
	return revisions, err
}

// from are the revisions after one and up to another.
func from(after, last uint64) (all []uint64) {
	for r := after + 1; r <= last; r++ {
		all = append(all, r)
	}
	return all
}

func TestLoadGivesWhatIsThere(t *testing.T) {
	js := connect(t)
	b := open[colour](t, js)
	if got, err := load(t, b, 0, func() {}); err != nil || len(got) > 0 {
		t.Fatalf("an empty bucket gives %v, %v", got, err)
	}
	const n = 1234
	fill(t, b, n)
	for _, after := range []uint64{0, 1, 1000, n - 1, n, n + 5} {
		got, err := load(t, b, after, func() {})
		if d := cmp.Diff(from(after, n), got); err != nil || d != "" {
			t.Errorf("after %d: %v\n%s", after, err, d)
		}
	}
	for info := range streamOf(t, js).ListConsumers(t.Context()).Info() {
		t.Errorf("consumer %s is left", info.Name)
	}
}

// A key that was edited and one that was deleted come as they are now, where many
// were and where few.
func TestLoadAfterEdits(t *testing.T) {
	for _, keys := range []int{2, 500} {
		js := connect(t)
		b := open[colour](t, js)
		fill(t, b, keys)
		r, err := b.Update(t.Context(), "k1", colour{"new"}, 1)
		is(t, err, nil)
		gone, err := b.Delete(t.Context(), "k2", 2)
		is(t, err, nil)
		b, err = kv.Open[colour](t.Context(), js, "B") // as whoever is started now
		is(t, err, nil)
		now, last := map[string]kv.Entry[colour]{}, uint64(0)
		err = b.Load(t.Context(), 0, func(es []kv.Entry[colour]) {
			for _, e := range es {
				if e.Revision <= last {
					t.Errorf("revision %d comes after %d", e.Revision, last)
				}
				now[e.Key], last = e, e.Revision
			}
		})
		is(t, err, nil)
		if e := now["k1"]; e.Value.Name != "new" || e.Revision != r {
			t.Errorf("of %d keys, the edited one is %+v", keys, e)
		}
		if e := now["k2"]; !e.Deleted || e.Revision != gone || len(now) != keys {
			t.Errorf("of %d keys, the deleted one is %+v, and there are %d", keys, e, len(now))
		}
	}
}

// What is lost on its way is noticed, nothing after it is given, and who goes on
// from there has all.
func TestLoadNoticesWhatIsLost(t *testing.T) {
	js := connect(t)
	b := open[colour](t, js)
	const n = 8000 // more than are under way at a time
	fill(t, b, n)
	stolen := uint64(0)
	got, err := load(t, b, 0, func() {
		if stolen > 0 {
			return
		}
		for info := range streamOf(t, js).ListConsumers(t.Context()).Info() {
			thief, err := js.Consumer(t.Context(), "KV_B", info.Name)
			is(t, err, nil)
			m, err := thief.Next()
			is(t, err, nil)
			meta, err := m.Metadata()
			is(t, err, nil)
			stolen = meta.Sequence.Stream
		}
	})
	if d := cmp.Diff(from(0, stolen-1), got); err == nil || stolen == 0 || d != "" {
		t.Fatalf("%d was lost: %v\n%s", stolen, err, d)
	}
	got, err = load(t, b, stolen-1, func() {})
	if d := cmp.Diff(from(stolen-1, n), got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
}

// Load ends with its context, and gives nothing more.
func TestLoadEndsWithItsContext(t *testing.T) {
	b := open[colour](t, connect(t))
	fill(t, b, 8000)
	ctx, cancel := context.WithCancel(t.Context())
	var revisions []uint64
	err := b.Load(ctx, 0, func(es []kv.Entry[colour]) {
		cancel()
		for _, e := range es {
			revisions = append(revisions, e.Revision)
		}
	})
	if d := cmp.Diff(from(0, uint64(len(revisions))), revisions); d != "" {
		t.Error(d)
	}
	if !errors.Is(err, context.Canceled) && len(revisions) < 8000 {
		t.Errorf("%d were given: %v", len(revisions), err)
	}
}

func streamOf(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	s, err := js.Stream(t.Context(), "KV_B")
	is(t, err, nil)
	return s
}
