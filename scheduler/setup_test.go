package scheduler

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestChangesOnAnOlderServer has the records' stream made without fast batches where the
// server does not know them, as those before 2.14 say.
func TestChangesOnAnOlderServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := natstest.Start(t).Connect()
		const old = "old"
		if _, err := nc.Subscribe(old+".>", func(m *nats.Msg) {
			if bytes.Contains(m.Data, []byte("allow_batched")) {
				_ = m.Respond([]byte(`{"error":{"code":400,"err_code":10025,"description":"invalid JSON: json: unknown field \"allow_batched\""}}`))
				return
			}
			_ = nc.PublishRequest("$JS.API"+strings.TrimPrefix(m.Subject, old), m.Reply, m.Data)
		}); err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.NewWithAPIPrefix(nc, old)
		if err != nil {
			t.Fatal(err)
		}
		var ns workers.Namespace
		if err := createChanges(t.Context(), js, ns, 1); err != nil {
			t.Fatal(err)
		}
		s, err := js.Stream(t.Context(), ns.ChangesStream())
		if err != nil {
			t.Fatal(err)
		}
		if c := s.CachedInfo().Config; c.AllowBatchPublish || !c.AllowAtomicPublish {
			t.Errorf("it is made with %+v", c)
		}
	})
}
