package kv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMain(m *testing.M) { natstest.Main(m) }

type colour struct {
	Name string `json:"name"`
}

// connect starts a server for one test and connects to it.
func connect(t testing.TB) jetstream.JetStream {
	t.Helper()
	s, err := server.NewServer(&server.Options{JetStream: true, DontListen: true, NoSigs: true, NoLog: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func open[T any](t testing.TB, js jetstream.JetStream) *kv.Bucket[T] {
	t.Helper()
	if err := kv.Create(t.Context(), js, kv.Config{Bucket: "B", History: 5}); err != nil {
		t.Fatal(err)
	}
	b, err := kv.Open[T](t.Context(), js, "B")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func TestALife(t *testing.T) {
	js := connect(t)
	_, err := kv.Open[colour](t.Context(), js, "B")
	is(t, err, kv.ErrNotFound)
	b, ctx := open[colour](t, js), t.Context()

	_, err = b.Get(ctx, "a")
	is(t, err, kv.ErrNotFound)
	r1, err := b.Create(ctx, "a", colour{"red"})
	is(t, err, nil)
	_, err = b.Create(ctx, "a", colour{"blue"})
	is(t, err, kv.ErrExists)
	r2, err := b.Update(ctx, "a", colour{"green"}, r1)
	is(t, err, nil)
	_, err = b.Update(ctx, "a", colour{"late"}, r1)
	is(t, err, kv.ErrConflict)
	e, err := b.Get(ctx, "a")
	is(t, err, nil)
	if e.Value.Name != "green" || e.Revision != r2 || e.Created.IsZero() {
		t.Fatalf("got %+v", e)
	}
	_, err = b.Delete(ctx, "a", r1)
	is(t, err, kv.ErrConflict)
	r3, err := b.Delete(ctx, "a", r2)
	is(t, err, nil)
	e, err = b.Get(ctx, "a")
	is(t, err, kv.ErrNotFound)
	if !e.Deleted || e.Revision != r3 {
		t.Fatalf("got %+v, want the deletion at %d", e, r3)
	}
	_, err = b.Update(ctx, "a", colour{"ghost"}, r2)
	is(t, err, kv.ErrConflict)
	r4, err := b.Create(ctx, "a", colour{"again"})
	is(t, err, nil)
	last, err := b.Last(ctx)
	is(t, err, nil)
	if last != r4 {
		t.Fatalf("last revision %d, want %d", last, r4)
	}
}

// The client library's view of the bucket is the same: nothing here is a
// format of our own.
func TestThePlainClientSeesIt(t *testing.T) {
	js := connect(t)
	b, ctx := open[[]byte](t, js), t.Context()
	plain, err := js.KeyValue(ctx, "B")
	is(t, err, nil)
	rev, err := b.Create(ctx, "k", []byte(" {not json"))
	is(t, err, nil)
	got, err := plain.Get(ctx, "k")
	is(t, err, nil)
	if string(got.Value()) != " {not json" || got.Revision() != rev {
		t.Fatalf("got %q at %d", got.Value(), got.Revision())
	}
	is(t, plain.Delete(ctx, "k"), nil)
	_, err = b.Get(ctx, "k")
	is(t, err, kv.ErrNotFound)
	_, err = b.Create(ctx, "k", []byte("2"))
	is(t, err, nil)
}

func TestAnExistingBucketIsFitted(t *testing.T) {
	js := connect(t)
	_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "B", History: 3, Description: "theirs"})
	is(t, err, nil)
	b := open[colour](t, js)
	_, err = b.Apply(t.Context(), []kv.Change[colour]{{Key: "a"}, {Key: "b"}})
	is(t, err, nil)
	s, err := js.Stream(t.Context(), "KV_B")
	is(t, err, nil)
	c := s.CachedInfo().Config
	if c.MaxMsgsPerSubject != 3 || c.Description != "theirs" || c.AllowDirect {
		t.Fatalf("got %+v", c)
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	js := connect(t)
	b, ctx := open[colour](t, js), t.Context()
	first, err := b.Apply(ctx, []kv.Change[colour]{{Key: "a", Value: colour{"1"}}, {Key: "b", Value: colour{"2"}}})
	is(t, err, nil)
	_, err = b.Apply(ctx, []kv.Change[colour]{{Key: "c"}, {Key: "b", Revision: first}})
	is(t, err, kv.ErrConflict)
	_, err = b.Get(ctx, "c")
	is(t, err, kv.ErrNotFound)
	_, err = b.Apply(ctx, []kv.Change[colour]{{Key: "a", Revision: first, Delete: true}, {Key: "b", Value: colour{"3"}, Revision: first + 1}})
	is(t, err, nil)
	_, err = b.Get(ctx, "a")
	is(t, err, kv.ErrNotFound)
	e, err := b.Get(ctx, "b")
	is(t, err, nil)
	if e.Value.Name != "3" || e.Revision != first+3 {
		t.Fatalf("got %+v", e)
	}
	if _, err := b.Apply(ctx, nil); err == nil {
		t.Fatal("an empty batch is accepted")
	}
}

func TestABrokenValueIsAnEntryWithAnError(t *testing.T) {
	js := connect(t)
	raw, b := open[[]byte](t, js), open[colour](t, js)
	_, err := raw.Create(t.Context(), "a", []byte("{"))
	is(t, err, nil)
	e, err := b.Next(t.Context(), 0)
	is(t, err, nil)
	if e.Err == nil || e.Key != "a" {
		t.Fatalf("got %+v", e)
	}
	if _, err := b.Get(t.Context(), "a"); err == nil {
		t.Fatal("Get hides the error")
	}
	_, err = b.Create(t.Context(), "a", colour{})
	is(t, err, kv.ErrExists)
}

func TestNextWalksWhatIsThere(t *testing.T) {
	js := connect(t)
	b, ctx := open[colour](t, js), t.Context()
	for i := range 12 { // history 5: the first seven are gone
		is(t, failure(js.Publish(ctx, "$KV.B.a", fmt.Appendf(nil, `{"name":"%d"}`, i))), nil)
	}
	var got []string
	for rev := uint64(0); ; {
		e, err := b.Next(ctx, rev)
		if errors.Is(err, kv.ErrNotFound) {
			break
		}
		is(t, err, nil)
		got, rev = append(got, e.Value.Name), e.Revision
	}
	if diff := cmp.Diff([]string{"7", "8", "9", "10", "11"}, got); diff != "" {
		t.Fatal(diff)
	}
}

func failure[T any](_ T, err error) error { return err }

func TestWatchLoadsAndFollows(t *testing.T) {
	js := connect(t)
	b := open[colour](t, js)
	r1, err := b.Create(t.Context(), "a", colour{"old"})
	is(t, err, nil)
	_, err = b.Update(t.Context(), "a", colour{"red"}, r1)
	is(t, err, nil)

	ctx, cancel := context.WithCancel(t.Context())
	seen, loaded := make(chan kv.Entry[colour], 10), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Watch(ctx, 0, func(e kv.Entry[colour]) { seen <- e }, func() { close(loaded) }); err != nil {
			t.Error(err)
		}
	})
	<-loaded
	if e := <-seen; e.Value.Name != "red" {
		t.Fatalf("got %+v, want only the last revision", e)
	}
	r, err := b.Create(t.Context(), "b", colour{"blue"})
	is(t, err, nil)
	if e := <-seen; e.Key != "b" || e.Revision != r {
		t.Fatalf("got %+v", e)
	}
	_, err = b.Delete(t.Context(), "b", r)
	is(t, err, nil)
	if e := <-seen; !e.Deleted || e.Key != "b" {
		t.Fatalf("got %+v", e)
	}
	cancel()
	wg.Wait()

	ctx, cancel = context.WithCancel(t.Context())
	wg.Go(func() {
		if err := b.Watch(ctx, r1+1, func(e kv.Entry[colour]) { seen <- e }, func() {}); err != nil {
			t.Error(err)
		}
	})
	if e := <-seen; e.Key != "b" || !e.Deleted {
		t.Fatalf("after revision %d got %+v", r1+1, e)
	}
	cancel()
	wg.Wait()
	for info := range streamOf(t, js).ListConsumers(t.Context()).Info() {
		t.Errorf("consumer %s is left", info.Name)
	}
}

// Between gives every revision that the bucket keeps, of few and of many.
func TestBetweenGivesWhatHistoryKeeps(t *testing.T) {
	b := open[colour](t, connect(t))
	write := func(key string, revision uint64, deletes bool) uint64 {
		r, err := b.Write(t.Context(), kv.Change[colour]{Key: key, Value: colour{"red"}, Revision: revision, Delete: deletes})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var hot []uint64
	for range 7 { // of which the bucket keeps five
		hot = append(hot, write("k", last(hot), false))
	}
	kept := hot[2:]
	for i := range 100 {
		kept = append(kept, write(fmt.Sprint("key-", i), 0, false))
	}
	gone := len(kept) - 1
	kept = append(kept[:gone], write("key-99", kept[gone], true))
	end := last(kept)
	stop := errors.New("enough")
	for _, c := range []struct{ after, before uint64 }{
		{0, end + 1}, {0, end + 100}, {0, end}, {hot[3], hot[3] + 2}, {hot[3], hot[3] + 1}, {hot[3], 1}, {10, 12}, {10, 90}, {end, end + 5}, {end - 2, end},
	} {
		var want, got []uint64
		for _, r := range kept {
			if c.after < r && r < c.before {
				want = append(want, r)
			}
		}
		read := func(most int) error {
			got = nil
			return b.Between(t.Context(), c.after, c.before, func(e kv.Entry[colour]) error {
				if got = append(got, e.Revision); len(got) == most {
					return stop
				}
				return nil
			})
		}
		if err := read(-1); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("between %d and %d: %s", c.after, c.before, d)
		}
		if most := len(want); most > 0 {
			if err := read(most); !errors.Is(err, stop) || len(got) != most {
				t.Errorf("between %d and %d: %d are given before %v", c.after, c.before, len(got), err)
			}
		}
	}
}

// last is the last of the revisions, 0 of none.
func last(revisions []uint64) uint64 {
	if len(revisions) == 0 {
		return 0
	}
	return revisions[len(revisions)-1]
}

// A watch whose consumer is gone and cannot be made again says so, and does not
// wait for ever.
func TestWatchThatCannotGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js := connect(t)
		if err := kv.Create(t.Context(), js, kv.Config{Bucket: "b", History: 1, Replicas: 1}); err != nil {
			t.Fatal(err)
		}
		b, err := kv.Open[string](t.Context(), js, "b")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- b.Watch(t.Context(), 0, func(kv.Entry[string]) {}, func() {}) }()
		synctest.Wait()
		if err := js.DeleteStream(t.Context(), "KV_b"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := <-ended; err == nil || time.Since(began) > time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// A change may say how long it is kept, and a watch which keys it is for.
func TestExpiryAndAWatchOfSomeKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js, err := jetstream.New(natstest.Start(t).Connect())
		if err != nil {
			t.Fatal(err)
		}
		for _, expiry := range []bool{false, true} { // a bucket that is there is fitted
			if err := kv.Create(t.Context(), js, kv.Config{Bucket: "B", Expiry: expiry}); err != nil {
				t.Fatal(err)
			}
		}
		b, err := kv.Open[colour](t.Context(), js, "B")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a.long", "a.short", "b.1"} {
			c := kv.Change[colour]{Key: key, Value: colour{key}}
			if key == "a.short" {
				c.TTL = 3*time.Second + time.Millisecond
			}
			if _, err := b.Write(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Write(t.Context(), kv.Change[colour]{Key: "a.long", Revision: 2, TTL: time.Second}); !errors.Is(err, kv.ErrConflict) {
			t.Fatalf("another revision: %v", err)
		}
		var seen []string
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		err = b.Watch(ctx, 0, func(e kv.Entry[colour]) {
			seen = append(seen, fmt.Sprint(e.Key, " ", e.Value.Name, " ", e.Deleted))
		}, func() { time.AfterFunc(6*time.Second, cancel) }, "a.*", "c.>")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"a.long a.long false", "a.short a.short false"}, seen); d != "" {
			t.Error(d)
		}
		if _, err := b.Get(t.Context(), "a.short"); !errors.Is(err, kv.ErrNotFound) {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if _, err := b.Get(t.Context(), "a.long"); err != nil {
			t.Error(err)
		}
	})
}

// TestBatchBetweenTwoLeaders has the first messages of a batch be lost, as those are that
// went to a leader which is gone.
func TestBatchBetweenTwoLeaders(t *testing.T) {
	srv := natstest.Start(t)
	js, err := jetstream.New(srv.Connect())
	is(t, err, nil)
	b := open[colour](t, js)
	lossy, err := jetstream.New(srv.Connect(nats.InProcessServer(&lossy{Server: srv})))
	is(t, err, nil)
	through, err := kv.Open[colour](t.Context(), lossy, "B")
	is(t, err, nil)
	_, err = through.Apply(t.Context(), []kv.Change[colour]{{Key: "lost"}, {Key: "a"}, {Key: "b"}})
	is(t, err, kv.ErrIncomplete)
	for _, key := range []string{"lost", "a", "b"} {
		_, err = b.Get(t.Context(), key)
		is(t, err, kv.ErrNotFound)
	}
}

// lossy is the way to a server that loses what is published to the key "lost".
type lossy struct{ *natstest.Server }

func (l *lossy) InProcessConn() (net.Conn, error) {
	c, err := l.Server.InProcessConn()
	return lossyConn{c}, err
}

type lossyConn struct{ net.Conn }

// Write is part of net.Conn. The client writes whole messages.
func (c lossyConn) Write(p []byte) (int, error) {
	before, lost, found := bytes.Cut(p, []byte("HPUB $KV.B.lost "))
	if !found {
		return c.Conn.Write(p)
	}
	rest := slices.Clone(before)
	if i := bytes.Index(lost, []byte("HPUB ")); i >= 0 {
		rest = append(rest, lost[i:]...)
	}
	if _, err := c.Conn.Write(rest); err != nil {
		return 0, err
	}
	return len(p), nil
}
