package workers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// asked gives every answer to a question; only in a bubble.
func asked[T any](h *house, subject string) []T {
	h.t.Helper()
	nc := h.s.Connect()
	defer nc.Close()
	sub, err := nc.SubscribeSync("asked")
	ok(h.t, err)
	ok(h.t, nc.PublishRequest(subject, "asked", nil))
	var all []T
	for {
		m, err := sub.NextMsg(time.Second)
		if errors.Is(err, nats.ErrTimeout) {
			return all
		}
		ok(h.t, err)
		if m.Header.Get("Status") == "503" {
			return all
		}
		var v T
		ok(h.t, json.Unmarshal(m.Data, &v))
		all = append(all, v)
	}
}

func TestDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		stop := h.worker(workers.Options{Name: "one"}, func(w *workers.Worker) {
			w.HandleWith("billing.eu", workers.ServiceFunc(serveNothing), workers.ServiceOptions{Version: "1.2.3-rc.1", Description: "Bills"})
			w.HandleFunc("greet", serveNothing)
		})
		h.worker(workers.Options{Name: "two", Namespace: "blue"}, func(w *workers.Worker) { w.HandleFunc("greet", serveNothing) })
		synctest.Wait()

		infos := asked[micro.Info](h, "$SRV.INFO")
		identity := func(name, version, service, namespace, worker string) micro.ServiceIdentity {
			return micro.ServiceIdentity{Name: name, Version: version, Metadata: map[string]string{
				workers.MetaService: service, workers.MetaNamespace: namespace, workers.MetaWorker: worker,
			}}
		}
		info := func(i micro.ServiceIdentity, description, subject string) micro.Info {
			return micro.Info{ServiceIdentity: i, Type: micro.InfoResponseType, Description: description, Endpoints: []micro.EndpointInfo{
				{Name: "call", Subject: subject, QueueGroup: "workers", Metadata: map[string]string{}},
			}}
		}
		want := []micro.Info{
			info(identity("billing_eu", "1.2.3-rc.1", "billing.eu", "bellhop", "one"), "Bills", "bellhop.call.billing.eu"),
			info(identity("greet", "0.0.0", "greet", "bellhop", "one"), "Bellhop service greet", "bellhop.call.greet"),
			info(identity("greet", "0.0.0", "greet", "blue", "two"), "Bellhop service greet", "blue.call.greet"),
		}
		order := cmpopts.SortSlices(func(a, b micro.Info) bool {
			return a.Name+a.Metadata["worker"] < b.Name+b.Metadata["worker"]
		})
		if d := cmp.Diff(want, infos, order, cmpopts.IgnoreFields(micro.ServiceIdentity{}, "ID")); d != "" {
			t.Error(d)
		}
		one := infos[0]
		for subject, n := range map[string]int{
			"$SRV.PING": 3, "$SRV.PING.greet": 2, "$SRV.PING.billing": 0, "$SRV.STATS.billing_eu": 1,
			"$SRV.INFO." + one.Name + "." + one.ID: 1, "$SRV.INFO." + one.Name + ".other": 0,
		} {
			equal(t, subject, len(asked[micro.Ping](h, subject)), n)
		}
		equal(t, "type", asked[micro.Ping](h, "$SRV.PING.billing_eu")[0].Type, micro.PingResponseType)
		stop()
		equal(t, "after one has stopped", len(asked[micro.Ping](h, "$SRV.PING")), 1)
	})
}

// The counts of direct calls are those of the protocol, of whatever was answered;
// how runs have ended is beside them.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		client := h.s.Connect()
		release := make(chan struct{})
		h.worker(workers.Options{Attempts: 1}, func(w *workers.Worker) {
			w.HandleFunc("s", func(_ context.Context, t *workers.Trigger) ([]byte, error) {
				switch string(t.Payload) {
				case "fail":
					return nil, errors.New("no luck")
				case "huge":
					return make([]byte, 2<<20), nil
				case "wait":
					<-release
				}
				time.Sleep(time.Second)
				return nil, nil
			})
		})
		synctest.Wait()
		started := time.Now()
		for _, payload := range []string{"", "", "fail", "huge", ""} {
			_, err := client.Request("bellhop.call.s", []byte(payload), time.Minute)
			ok(t, err)
		}
		for _, payload := range []string{"", "fail", "wait", "wait"} {
			h.trigger("s", payload)
		}
		time.Sleep(15 * time.Second)
		got := asked[micro.Stats](h, "$SRV.STATS.s")[0]
		e := got.Endpoints[0]
		equal(t, "requests", e.NumRequests, 5)
		equal(t, "errors", e.NumErrors, 2)
		equal(t, "last error", e.LastError, "413:the output has 2097152 bytes, at most 1044480 can be sent")
		equal(t, "time", e.ProcessingTime, 3*time.Second)
		equal(t, "average", e.AverageProcessingTime, 600*time.Millisecond)
		equal(t, "started", got.Started.After(started), false)
		var data workers.Stats
		ok(t, json.Unmarshal(e.Data, &data))
		want := workers.Stats{Runs: map[string]uint64{"ok": 5, "failed": 1, "dead": 1}, Running: 2, Waiting: 2}
		if d := cmp.Diff(want, data); d != "" {
			t.Error(d)
		}
		close(release)
		time.Sleep(30 * time.Second)
		ok(t, json.Unmarshal(asked[micro.Stats](h, "$SRV.STATS.s")[0].Endpoints[0].Data, &data))
		equal(t, "running in the end", data.Running, 0)
		equal(t, "waiting in the end", data.Waiting, 0)
	})
}

func TestVersions(t *testing.T) {
	h := newEmptyHouse(t)
	for version, good := range map[string]bool{"1.2.3": true, "0.0.0+build.7": true, "v1.2.3": false, "1.2": false, "01.2.3": false, "latest": false} {
		w := workers.New(h.nc, workers.Options{})
		w.HandleWith("s", workers.ServiceFunc(serveNothing), workers.ServiceOptions{Version: version})
		done, cancel := context.WithCancel(t.Context())
		cancel()
		err := w.Run(done)
		if good != (err == nil) || err != nil && !strings.Contains(err.Error(), "service s: its version is not semver") {
			t.Errorf("%s: %v", version, err)
		}
	}
}

// BenchmarkStart is how long a worker of a thousand services takes until it can
// be called, and how long the answer to `nats micro ls`.
func BenchmarkStart(b *testing.B) {
	const services = 1000
	for b.Loop() {
		h := newHouse(b)
		began := time.Now()
		stop := h.worker(workers.Options{}, func(w *workers.Worker) {
			for i := range services {
				w.HandleFunc(fmt.Sprintf("s%d", i), serveNothing)
			}
		})
		for err := nats.ErrNoResponders; err != nil; _, err = h.nc.Request("bellhop.call.s999", nil, time.Second) {
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/called")
		began = time.Now()
		sub, err := h.nc.SubscribeSync("asked")
		ok(b, err)
		ok(b, h.nc.PublishRequest("$SRV.PING", "asked", nil))
		for range services {
			_, err := sub.NextMsg(time.Minute)
			ok(b, err)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/listed")
		stop()
	}
}
