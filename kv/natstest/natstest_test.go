package natstest_test

import (
	"testing"
	"testing/synctest"

	"github.com/bellhop-run/bellhop/kv/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// A subscription that has a message left looks again after a while whether it is
// drained: the bubble ends after that.
func TestABubbleEndsAfterADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := natstest.Start(t).Connect()
		sub, err := nc.SubscribeSync("s")
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish("s", nil); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := sub.Drain(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it has looked once
	})
}
