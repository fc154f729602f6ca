package workers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"
)

func (h *house) letters() *workers.Letters {
	h.t.Helper()
	l, err := workers.OpenLetters(h.t.Context(), h.js, "")
	ok(h.t, err)
	return l
}

// letter puts a dead letter, as anybody may: headers are name, value, name, value.
func (h *house) letter(service, payload string, headers ...string) {
	h.t.Helper()
	m := nats.NewMsg("bellhop.dead." + service)
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	m.Data = []byte(payload)
	_, err := h.js.PublishMsg(h.t.Context(), m)
	ok(h.t, err)
}

func TestRedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		seen := make(chan workers.Trigger, 9)
		healed := false
		stop := h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("a.b", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				seen <- *t
				if !healed {
					return nil, workers.Permanent(errors.New("no  luck"))
				}
				return nil, nil
			})
		})
		payload := []byte{0, 0xff, '\r', '\n', 0}
		const policy = `{"overlap":"queue","timeout":"7s","expires":"1m","retry":{"attempts":5}}`
		h.trigger("a.b", string(payload), "Bellhop-Run", "j@1", "Bellhop-Job", "j", "Bellhop-Due", "2000-01-01T00:00:00.000Z",
			"Bellhop-Channel", "scheduler", "Bellhop-Policy", policy, "Color", "red", "Bellhop-Parent", "p", "Bellhop-Depth", "16")
		first := take(t, seen, 1)[0]
		equal(t, "outcome", take(t, done, 1)[0].Outcome, "dead")
		synctest.Wait()
		letters := h.letters()
		got, err := letters.Get(t.Context(), 1)
		ok(t, err)
		want := &workers.Letter{
			ID: 1, Time: got.Time, Run: "j@1", Job: "j", Service: "a.b", Channel: "scheduler", Due: first.Due, Parent: "p", Depth: 16, Policy: first.Policy,
			Reason: "no luck", Attempts: 1, Origin: "bellhop.trigger.a.b", Place: "bellhop-triggers:1",
			Header: nats.Header{"Color": {"red"}}, Size: 5, PayloadBase64: payload,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		equal(t, "bytes", string(got.Bytes()), string(payload))

		for i := range 2 { // it fails again, and is a letter again
			time.Sleep(time.Hour)
			run, err := letters.Redrive(t.Context(), uint64(i+1))
			ok(t, err)
			equal(t, "run", run, "j@1")
			if _, err := letters.Redrive(t.Context(), uint64(i+1)); !errors.Is(err, workers.ErrNoLetter) {
				t.Errorf("sent back twice: %v", err)
			}
			again := take(t, seen, 1)[0]
			wanted := first
			wanted.Policy.Expires, wanted.Depth = "", 0 // it is late, and a person stands between
			if d := cmp.Diff(wanted, again); d != "" {
				t.Error(d)
			}
			equal(t, "outcome", take(t, done, 1)[0].Outcome, "dead")
			synctest.Wait()
			n, err := letters.Count(t.Context(), workers.LetterFilter{})
			ok(t, err)
			equal(t, "letters", n, 1)
		}
		healed = true
		_, err = letters.Redrive(t.Context(), 3)
		ok(t, err)
		r := take(t, done, 1)[0]
		equal(t, "outcome", r.Outcome, "ok")
		equal(t, "channel", r.Channel, "scheduler")
		stop()
		equal(t, "letters", len(h.stored("bellhop-dead")), 0)
		equal(t, "rings", len(h.stored("bellhop-rings")), 3)
	})
}

// dying loses its connection as soon as it has published.
type dying struct{ jetstream.JetStream }

func (d dying) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	defer d.Conn().Close()
	return d.JetStream.PublishMsg(ctx, m, o...)
}

// What dies between the ring and the deletion leaves the letter; sent again, it
// is the same ring.
func TestACrashWithinARedrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.letter("s", "pay", "Bellhop-Run", "r")
		lame := h.s.Connect()
		js, err := jetstream.New(lame)
		ok(t, err)
		l, err := workers.OpenLetters(t.Context(), dying{js}, "")
		ok(t, err)
		_, err = l.Redrive(t.Context(), 1)
		if err == nil {
			t.Fatal("it lived on")
		}
		equal(t, "rings", len(h.stored("bellhop-rings")), 1)
		equal(t, "letters", len(h.stored("bellhop-dead")), 1)
		time.Sleep(9 * time.Minute)
		run, err := h.letters().Redrive(t.Context(), 1)
		ok(t, err)
		equal(t, "run", run, "r")
		equal(t, "rings", len(h.stored("bellhop-rings")), 1)
		equal(t, "letters", len(h.stored("bellhop-dead")), 0)
	})
}

func TestDrop(t *testing.T) {
	h := newHouse(t)
	h.letter("s", "1")
	h.letter("s", "2")
	l := h.letters()
	ok(t, l.Drop(t.Context(), 1))
	for _, id := range []uint64{0, 1, 3, 1 << 63} {
		_, err := l.Get(t.Context(), id)
		_, err2 := l.Redrive(t.Context(), id)
		for _, err := range []error{err, err2, l.Drop(t.Context(), id)} {
			if !errors.Is(err, workers.ErrNoLetter) {
				t.Errorf("%d: %v", id, err)
			}
		}
	}
	left := h.stored("bellhop-dead")
	equal(t, "letters", len(left), 1)
	equal(t, "left", string(left[0].Data), "2")
	equal(t, "rings", len(h.stored("bellhop-rings")), 0)
}

func TestListLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		l := h.letters()
		list := func(f workers.LetterFilter) (ids []uint64) {
			for letter, err := range l.List(t.Context(), f) {
				ok(t, err)
				equal(t, "payload", letter.Payload, "")
				equal(t, "size", letter.Size, int(letter.ID%7))
				ids = append(ids, letter.ID)
			}
			n, err := l.Count(t.Context(), f)
			ok(t, err)
			equal(t, "count", n, len(ids))
			return ids
		}
		equal(t, "none", len(list(workers.LetterFilter{})), 0)
		// More than the first pieces hold, a minute apart; some are gone.
		const all = 900
		began := time.Now().UTC()
		for i := 1; i <= all; i++ {
			service, job, reason := "a", "", "bad Luck"
			if i%10 == 0 {
				service = "b.c"
			}
			if i%15 == 0 {
				job, reason = "My=20Job", "timeout"
			}
			h.letter(service, "xxxxxxx"[:i%7], "Bellhop-Job", job, "Bellhop-Reason", reason)
			time.Sleep(time.Minute)
			if i%100 == 1 {
				ok(t, l.Drop(t.Context(), uint64(i)))
			}
		}
		at := func(i int) time.Time { return began.Add(time.Duration(i-1) * time.Minute) }
		// newest gives those that a plain look at each one gives.
		newest := func(wanted func(i int) bool) (ids []uint64) {
			for i := all; i > 0; i-- {
				if i%100 != 1 && wanted(i) {
					ids = append(ids, uint64(i))
				}
			}
			return ids
		}
		for _, tt := range []struct {
			name   string
			f      workers.LetterFilter
			wanted func(i int) bool
		}{
			{"all", workers.LetterFilter{}, func(int) bool { return true }},
			{"service", workers.LetterFilter{Service: "b.c"}, func(i int) bool { return i%10 == 0 }},
			{"job", workers.LetterFilter{Job: "My=20Job"}, func(i int) bool { return i%15 == 0 }},
			{"reason", workers.LetterFilter{Reason: "LUCK"}, func(i int) bool { return i%15 != 0 }},
			{"since", workers.LetterFilter{Since: at(850)}, func(i int) bool { return i >= 850 }},
			{"until", workers.LetterFilter{Until: at(20)}, func(i int) bool { return i <= 20 }},
			{"between", workers.LetterFilter{Service: "b.c", Since: at(400), Until: at(440)}, func(i int) bool { return i%10 == 0 && i >= 400 && i <= 440 }},
			{"before", workers.LetterFilter{Before: 30}, func(i int) bool { return i < 30 }},
			{"before all", workers.LetterFilter{Before: 1}, func(int) bool { return false }},
			{"nobody", workers.LetterFilter{Service: "c"}, func(int) bool { return false }},
			{"no service", workers.LetterFilter{Service: ">"}, func(int) bool { return false }},
		} {
			if d := cmp.Diff(newest(tt.wanted), list(tt.f)); d != "" {
				t.Errorf("%s: %s", tt.name, d)
			}
		}
	})
}

// A letter without its payload finds it where it came from, or says so.
func TestRedriveOfAPayloadThatWasLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		seen := make(chan workers.Trigger, 9)
		stop := h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				seen <- *t
				return nil, workers.Permanent(errors.New("a reason of a certain length, so that the letter is longer than the trigger"))
			})
		})
		size := 1<<20 - 220
		for range 2 {
			h.trigger("s", string(make([]byte, size)), "Color", "red")
		}
		take(t, done, 2)
		take(t, seen, 2)
		synctest.Wait()
		l := h.letters()
		letter, err := l.Get(t.Context(), 1)
		ok(t, err)
		equal(t, "size", letter.Size, size)
		equal(t, "omitted", letter.Omitted, "too large to be kept in a letter: it may still be at "+letter.Place)
		equal(t, "bytes", len(letter.Bytes()), 0)
		_, err = l.Redrive(t.Context(), 1)
		ok(t, err)
		again := take(t, seen, 1)[0]
		equal(t, "payload", len(again.Payload), size)
		equal(t, "run", again.Run, letter.Run)
		equal(t, "header", again.Header.Get("Color"), "red")
		take(t, done, 1)
		stop()

		s, err := h.js.Stream(t.Context(), "bellhop-triggers")
		ok(t, err)
		ok(t, s.Purge(t.Context()))
		for _, place := range []string{"bellhop-triggers:2", "bellhop-triggers:0", "bellhop-runs:1", "nowhere", ""} {
			h.letter("s", "", "Bellhop-Omitted", "3", "Bellhop-Place", place, "Bellhop-Origin", "bellhop.trigger.s")
		}
		h.trigger("s", "other") // what is there now is something else
		h.letter("s", "", "Bellhop-Omitted", "3", "Bellhop-Place", "bellhop-triggers:3", "Bellhop-Origin", "bellhop.trigger.s")
		n := 0
		for letter, err := range l.List(t.Context(), workers.LetterFilter{}) {
			ok(t, err)
			n++
			if letter.ID == 3 {
				continue // it came after the first redrive, and its payload is in the rings
			}
			if _, err := l.Redrive(t.Context(), letter.ID); !errors.Is(err, workers.ErrPayloadGone) {
				t.Errorf("%d at %s: %v", letter.ID, letter.Place, err)
			}
		}
		equal(t, "letters", n, 8)
	})
}

// A letter that has no room for the trigger's headers finds them where it came
// from, too.
func TestALetterOfLongHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		onRun, done := watch()
		seen := make(chan string, 9)
		h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
			w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				seen <- string(t.Payload) + t.Header.Get("Long")
				return nil, workers.Permanent(errors.New("no"))
			})
		})
		long := strings.Repeat("x", 64<<10-40)
		h.trigger("s", "pay", "Long", long)
		equal(t, "outcome", take(t, done, 1)[0].Outcome, "dead")
		equal(t, "seen", take(t, seen, 1)[0] == "pay"+long, true)
		synctest.Wait()
		m := h.stored("bellhop-dead")[0]
		equal(t, "omitted", m.Header.Get("Bellhop-Omitted"), "3")
		equal(t, "kept", len(m.Data)+len(m.Header.Get("Long")), 0)
	})
}

// Letters that anybody has put are readable, and harm nobody.
func TestStrangeLetters(t *testing.T) {
	h := newHouse(t)
	h.letter("s", "pay")
	h.letter("s", "", "Bellhop-Run", "a\tb", "Bellhop-Attempts", "many", "Bellhop-Depth", "-1", "Bellhop-Policy", "[", "Bellhop-Reason", "r", "Bellhop-Omitted", "-3", "Bellhop-Target", "=")
	_, err := h.js.Publish(t.Context(), "bellhop.dead.*", nil)
	ok(t, err)
	l := h.letters()
	for i, want := range []string{"bellhop-dead:1", "bellhop-dead:2"} {
		run, err := l.Redrive(t.Context(), uint64(i+1))
		ok(t, err)
		equal(t, "run", run, want)
	}
	if _, err := l.Redrive(t.Context(), 3); !errors.Is(err, workers.ErrRefused) {
		t.Error(err)
	}
	equal(t, "rings", len(h.stored("bellhop-rings")), 2)
	equal(t, "payload", string(h.stored("bellhop-rings")[0].Data), "pay")
}

// Whatever a run is given, a letter sends it back as it was.
func TestALetterKeepsEverything(t *testing.T) {
	h := newHouse(t)
	l := h.letters()
	seq := uint64(0)
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOf(rapid.Byte()).Draw(t, "payload")
		value := rapid.StringMatching(`[!-~]([ -~]{0,20}[!-~])?`).Draw(t, "value")
		run := rapid.StringMatching(`[!-~]{1,40}`).Draw(t, "run")
		m := nats.NewMsg("bellhop.dead.s")
		m.Data = payload
		m.Header = nats.Header{"x-Mixed-CASE": {value, "two"}, workers.HeaderRun: {run}}
		if _, err := h.js.PublishMsg(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		seq++
		if _, err := l.Redrive(context.Background(), seq); err != nil {
			t.Fatal(err)
		}
		s, err := h.js.Stream(context.Background(), "bellhop-rings")
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.GetMsg(context.Background(), seq)
		if err != nil {
			t.Fatal(err)
		}
		delete(got.Header, nats.MsgIdHdr)
		delete(got.Header, nats.ExpectedStreamHdr)
		if d := cmp.Diff(fmt.Sprint(payload, m.Header), fmt.Sprint(got.Data, got.Header)); d != "" {
			t.Fatal(d)
		}
	})
}

// A letter that cannot be rung stays a letter.
func TestARedriveThatFails(t *testing.T) {
	h := newHouse(t)
	h.letter("s", strings.Repeat("x", 1<<20-60), "Bellhop-Reason", "r") // the ring's headers are longer
	h.letter("s", "pay")
	s, err := h.js.Stream(t.Context(), "bellhop-rings")
	ok(t, err)
	c := s.CachedInfo().Config
	c.MaxBytes = 1
	_, err = h.js.UpdateStream(t.Context(), c)
	ok(t, err)
	l := h.letters()
	if _, err := l.Redrive(t.Context(), 1); !errors.Is(err, workers.ErrTooLarge) || !errors.Is(err, workers.ErrRefused) {
		t.Errorf("too large: %v", err)
	}
	if _, err := l.Redrive(t.Context(), 2); err == nil || errors.Is(err, workers.ErrRefused) {
		t.Errorf("no room: %v", err)
	}
	n, err := l.Count(t.Context(), workers.LetterFilter{})
	ok(t, err)
	equal(t, "letters", n, 2)
}
