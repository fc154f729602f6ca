package workers_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
)

func csv(ctx context.Context, t *workers.Trigger) ([]byte, error) {
	workers.SetContentType(ctx, "text/csv")
	return append([]byte("a;b\n"), t.Payload...), nil
}

func TestCall(t *testing.T) {
	h := newHouse(t)
	h.worker(workers.Options{Attempts: 1}, func(w *workers.Worker) {
		w.HandleFunc("csv", csv)
		w.HandleFunc("bad", func(context.Context, *workers.Trigger) ([]byte, error) {
			return nil, workers.Permanent(errors.New("no such thing"))
		})
	})
	d := workers.NewDispatcher(h.js, "")
	ring := workers.Ring{Channel: "cli", Service: "csv", ID: "1", Payload: []byte("1;2")}
	var got *workers.Answer
	for err := workers.ErrNoWorker; errors.Is(err, workers.ErrNoWorker); { // until it has started
		got, err = d.Call(t.Context(), ring)
		if err != nil && !errors.Is(err, workers.ErrNoWorker) {
			t.Fatal(err)
		}
	}
	want := &workers.Answer{Output: []byte("a;b\n1;2"), ContentType: "text/csv"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	ring.Service = "bad"
	_, err := d.Call(t.Context(), ring)
	if failure, ok := errors.AsType[*workers.CallError](err); !ok || failure.Code != 422 || failure.Message != "no such thing" {
		t.Errorf("a permanent failure is answered with %v", err)
	}
	ring.Service = "not a service"
	if _, err := d.Call(t.Context(), ring); !errors.Is(err, workers.ErrRefused) {
		t.Errorf("a bad name is answered with %v", err)
	}
}

// TestRingWait waits for runs that end well, badly after a repetition, and not
// in time; each of them is a ring like any other.
func TestRingWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.worker(workers.Options{}, func(w *workers.Worker) {
			w.HandleFunc("csv", csv)
			w.HandleFunc("bad", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				return nil, errors.New("attempt failed")
			})
			w.HandleFunc("slow", func(context.Context, *workers.Trigger) ([]byte, error) {
				time.Sleep(time.Minute)
				return nil, nil
			})
		})
		d := workers.NewDispatcher(h.js, "")
		type end struct {
			Run, Output, Type string
			Code              int
			None              bool
		}
		got := map[string]end{}
		for _, service := range []string{"csv", "bad", "slow"} {
			run, answer, err := d.RingWait(t.Context(), workers.Ring{Channel: "http", Service: service, Source: service, ID: "1"}, 30*time.Second)
			e := end{Run: run, None: answer == nil}
			if answer != nil {
				e.Output, e.Type = string(answer.Output), answer.ContentType
			}
			if failure, ok := errors.AsType[*workers.CallError](err); ok {
				e.Code = failure.Code
			} else {
				if err != nil {
					t.Fatal(err)
				}
			}
			got[service] = e
		}
		want := map[string]end{
			"csv":  {Run: "http:csv:1", Output: "a;b\n", Type: "text/csv"},
			"bad":  {Run: "http:bad:1", Code: 500, None: true},
			"slow": {Run: "http:slow:1", None: true},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Minute)
		outcomes := map[string]string{}
		for _, r := range h.records() {
			outcomes[r.Service] = r.Outcome
		}
		if diff := cmp.Diff(map[string]string{"csv": "ok", "bad": "dead", "slow": "ok"}, outcomes); diff != "" {
			t.Error(diff)
		}
	})
}
