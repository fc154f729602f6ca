package kv_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
}
