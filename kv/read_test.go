package kv_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestReadStreamAfterALostAnswer loses the answer that there is a consumer, once: it is
// not waited for as long as the caller has.
func TestReadStreamAfterALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := natstest.Start(t).Connect()
		const lossy, api = "lossy", "$JS.API"
		var lost atomic.Int32
		if _, err := nc.Subscribe(lossy+".>", func(m *nats.Msg) {
			asked := strings.TrimPrefix(m.Subject, lossy)
			if strings.HasPrefix(asked, ".CONSUMER.CREATE.") && lost.Add(1) == 1 {
				return
			}
			if err := nc.PublishRequest(api+asked, m.Reply, m.Data); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.NewWithAPIPrefix(nc, lossy)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		s, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "s", Subjects: []string{"s"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(ctx, "s", []byte("there")); err != nil {
			t.Fatal(err)
		}
		began, got := time.Now(), ""
		if err := kv.ReadStream(ctx, s, jetstream.OrderedConsumerConfig{OptStartSeq: 1}, true, func(m jetstream.Msg, _ *jetstream.MsgMetadata) bool {
			got = string(m.Data())
			return false
		}); err != nil || got != "there" {
			t.Errorf("read %q, %v", got, err)
		}
		if took := time.Since(began); lost.Load() < 2 || took > time.Minute { // on the bubble's clock
			t.Errorf("it took %v, and %d consumers", took, lost.Load())
		}
	})
}
