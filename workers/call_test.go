package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"
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

func TestDiscoveryAndMetrics(t *testing.T) {
	h := newHouse(t)
	onRun, done := watch()
	var worker *workers.Worker
	h.worker(workers.Options{OnRun: onRun}, func(w *workers.Worker) {
		w.HandleFunc("a.b", serveNothing)
		worker = w
	})
	h.trigger("a.b", "", "Bellhop-Due", "2026-01-01T00:00:00.000Z")
	take(t, done, 1)
	m, err := h.nc.Request("$SRV.INFO.bellhop-worker", nil, 10*time.Second)
	ok(t, err)
	var info micro.Info
	ok(t, json.Unmarshal(m.Data, &info))
	equal(t, "version", info.Version, workers.Version)
	equal(t, "subject", info.Endpoints[0].Subject, "bellhop.call.a.b")

	reg := prometheus.NewRegistry()
	ok(t, reg.Register(worker))
	families, err := reg.Gather()
	ok(t, err)
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	want := []string{"bellhop_worker_run_duration_seconds", "bellhop_worker_run_lateness_seconds", "bellhop_worker_running", "bellhop_worker_runs_total"}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
}
