package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

func TestDirectCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		client := h.s.Connect()
		onRun, done := watch()
		deaf := make(chan struct{})
		stop := h.worker(workers.Options{OnRun: onRun, Timeout: 3 * time.Second}, func(w *workers.Worker) {
			w.HandleFunc("a.echo", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				return append([]byte(t.Channel+" "+t.Header.Get("Color")+" "), t.Payload...), nil
			})
			w.HandleFunc("fail", func(context.Context, *workers.Trigger) ([]byte, error) { return nil, errors.New("no\nluck") })
			w.HandleFunc("never", func(context.Context, *workers.Trigger) ([]byte, error) {
				return nil, workers.Permanent(errors.New("never"))
			})
			w.HandleFunc("panic", func(context.Context, *workers.Trigger) ([]byte, error) { panic("oh") })
			w.HandleFunc("exit", func(context.Context, *workers.Trigger) ([]byte, error) { runtime.Goexit(); return nil, nil })
			w.HandleFunc("slow", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
			w.HandleFunc("deaf", func(context.Context, *workers.Trigger) ([]byte, error) { <-deaf; return nil, nil })
			w.HandleFunc("huge", func(context.Context, *workers.Trigger) ([]byte, error) { return make([]byte, 2<<20), nil })
		})
		synctest.Wait()
		tests := []struct {
			service string
			header  nats.Header
			code    int
			want    string
			outcome string
		}{
			{"a.echo", nats.Header{"Color": {"red"}}, 0, "call red pay", "ok"},
			{"a.echo", nats.Header{"Bellhop-Channel": {"http"}}, 0, "http  pay", "ok"},
			{"fail", nil, 500, "no\nluck", "failed"},
			{"never", nil, 422, "never", "failed"},
			{"panic", nil, 500, "panic: oh", "failed"},
			{"exit", nil, 500, "service ended its goroutine", "failed"},
			{"slow", nil, 504, "context deadline exceeded", "timeout"},
			{"deaf", nil, 504, "timed out, and the service did not heed it", "timeout"},
			{"huge", nil, 413, "the output has 2097152 bytes, at most 1044480 can be sent", "ok"},
			{"a.echo", nats.Header{"Bellhop-Due": {"1999-01-01T00:00:00Z"}, "Bellhop-Policy": {`{"expires":"1h"}`}}, 410, "too late: not started before it expired", "expired"},
		}
		for _, tt := range tests {
			m := nats.NewMsg("bellhop.call." + tt.service)
			m.Data = []byte("pay")
			if tt.header != nil {
				m.Header = tt.header
			}
			got, err := client.RequestMsg(m, time.Minute)
			ok(t, err)
			if tt.code == 0 {
				equal(t, tt.service, string(got.Data), tt.want)
				equal(t, tt.service, got.Header.Get(micro.ErrorCodeHeader), "")
			} else {
				var e workers.CallError
				ok(t, json.Unmarshal(got.Data, &e))
				if d := cmp.Diff(workers.CallError{Code: tt.code, Message: tt.want}, e); d != "" {
					t.Error(d)
				}
				equal(t, tt.service, got.Header.Get(micro.ErrorHeader), strings.ReplaceAll(tt.want, "\n", " "))
			}
			equal(t, tt.service, take(t, done, 1)[0].Outcome, tt.outcome)
		}
		close(deaf)
		ok(t, client.Publish("bellhop.call.a.echo", nil)) // nobody waits for the answer
		equal(t, "without a reply", take(t, done, 1)[0].Outcome, "ok")
		stop()
		equal(t, "records", len(h.records()), len(tests)+1)
		_, err := client.Request("bellhop.call.fail", nil, time.Minute)
		if !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("stopped worker: %v", err)
		}
	})
}

// Calls and triggers share the slots, and a call that waits for one when the
// worker stops is answered.
func TestCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		client := h.s.Connect()
		begun := make(chan struct{}, 9)
		stop := h.worker(workers.Options{Concurrency: 2, DrainTimeout: time.Hour}, func(w *workers.Worker) {
			w.HandleFunc("s", func(context.Context, *workers.Trigger) ([]byte, error) {
				begun <- struct{}{}
				time.Sleep(time.Minute)
				return []byte("done"), nil
			})
		})
		synctest.Wait()
		h.trigger("s", "")
		take(t, begun, 1)
		answers, err := client.SubscribeSync("answers")
		ok(t, err)
		for range 2 {
			ok(t, client.PublishRequest("bellhop.call.s", "answers", nil))
		}
		take(t, begun, 1)
		synctest.Wait()
		equal(t, "running a third", len(begun), 0)
		stop()
		var got []string
		for range 2 {
			m, err := answers.NextMsg(time.Minute)
			ok(t, err)
			got = append(got, string(m.Data))
		}
		if d := cmp.Diff([]string{`{"code":503,"message":"the worker is stopping"}`, "done"}, got); d != "" {
			t.Error(d)
		}
	})
}

// A worker that can wait no longer answers the calls that it cancels, and those
// that it leaves to themselves.
func TestCallsOfAStoppingWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		client := h.s.Connect()
		begun := make(chan struct{}, 2)
		deaf := make(chan struct{})
		stop := h.worker(workers.Options{DrainTimeout: -1}, func(w *workers.Worker) {
			w.HandleFunc("heeds", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
				begun <- struct{}{}
				<-ctx.Done()
				return nil, workers.Permanent(context.Cause(ctx)) // its word, not ours
			})
			w.HandleFunc("deaf", func(context.Context, *workers.Trigger) ([]byte, error) {
				begun <- struct{}{}
				<-deaf
				return nil, nil
			})
		})
		synctest.Wait()
		answers, err := client.SubscribeSync("answers")
		ok(t, err)
		ok(t, client.PublishRequest("bellhop.call.heeds", "answers", nil))
		ok(t, client.PublishRequest("bellhop.call.deaf", "answers", nil))
		take(t, begun, 2)
		stop()
		for range 2 {
			m, err := answers.NextMsg(time.Minute)
			ok(t, err)
			equal(t, "answer", string(m.Data), `{"code":503,"message":"worker stopped"}`)
		}
		close(deaf)
		synctest.Wait()
	})
}

// The calls of one service wait for each other, not for those of another.
func TestSlowCallsAreInNobodysWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		client := h.s.Connect()
		h.worker(workers.Options{Concurrency: 4}, func(w *workers.Worker) {
			w.HandleFunc("slow", func(ctx context.Context, _ *workers.Trigger) ([]byte, error) {
				time.Sleep(time.Minute)
				return nil, nil
			})
			w.HandleFunc("quick", serveNothing)
		})
		synctest.Wait()
		for range 3 {
			ok(t, client.PublishRequest("bellhop.call.slow", "nobody", nil))
		}
		synctest.Wait()
		began := time.Now()
		for range 10 {
			_, err := client.Request("bellhop.call.quick", nil, time.Second)
			ok(t, err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("waited %s", took)
		}
		time.Sleep(2 * time.Minute)
	})
}
