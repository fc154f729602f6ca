package stock_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/bellhop-run/bellhop/workers/stock"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestMain(m *testing.M) { natstest.Main(m) }

func TestStock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := natstest.Start(t).Connect()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if err := workers.Setup(t.Context(), js, workers.SetupOptions{}); err != nil {
			t.Fatal(err)
		}
		var lines bytes.Buffer // written by one run at a time
		shown := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		}))
		w := workers.New(nc, workers.Options{Logger: slog.New(slog.DiscardHandler)})
		stock.Register(w, shown)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		call := func(service, payload string, headers nats.Header) string {
			t.Helper()
			m := nats.NewMsg("bellhop.call." + service)
			m.Data = []byte(payload)
			if headers != nil {
				m.Header = headers
			}
			reply, err := nc.RequestMsg(m, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return string(reply.Data)
		}
		if got := call(stock.Echo, "a\x00b", nil); got != "a\x00b" {
			t.Errorf("echo: %q", got)
		}
		run := nats.Header{"Bellhop-Run": {"r"}}
		tests := []struct {
			name    string
			payload string
			headers nats.Header
			want    string
		}{
			{"all", "héllo", nats.Header{
				"Bellhop-Run": {"My=20Sample@1"}, "Bellhop-Job": {"My=20Sample"}, "Bellhop-Channel": {"scheduler"}, "Bellhop-Due": {"2026-12-07T09:00:00.005Z"},
			}, `run="My=20Sample@1" job="My Sample" channel=scheduler due=2026-12-07T09:00:00.005Z attempt=1 size=6 payload=héllo`},
			{"nothing", "", run, `run=r channel=call attempt=1 size=0 payload=""`},
			{"binary", "a\x00", run, `run=r channel=call attempt=1 size=2 payload_hex=6100`},
			{"terminal", "\x1b[31m", run, `run=r channel=call attempt=1 size=5 payload_hex=1b5b33316d`},
			{"long", "x" + strings.Repeat("é", 1000), run, `run=r channel=call attempt=1 size=2001 payload=x` + strings.Repeat("é", 511) + "…"},
			{"long binary", strings.Repeat("\xff", 2000), run, `run=r channel=call attempt=1 size=2000 payload_hex=` + strings.Repeat("ff", 1024) + "…"},
		}
		for _, tt := range tests {
			lines.Reset()
			call(stock.LogInput, tt.payload, tt.headers)
			if got, want := strings.TrimSpace(lines.String()), "level=INFO msg=log-input "+tt.want; got != want {
				t.Errorf("%s:\n got %s\nwant %s", tt.name, got, want)
			}
		}
		stop()
		running.Wait()
	})
}
