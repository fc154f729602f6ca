package workers

import (
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestRecorderPlaces stands in for the server, and answers late: what has been
// sent again meanwhile is not taken for what has its place then.
func TestRecorderPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := natstest.Start(t).Connect()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		var got []*nats.Msg
		if _, err := nc.Subscribe("bellhop.run.>", func(m *nats.Msg) { got = append(got, m) }); err != nil {
			t.Fatal(err)
		}
		r, err := newRecorder(nc, js, "", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		put := func(number int) *nats.Msg {
			t.Helper()
			n := len(got)
			r.put(&Run{Run: "r", Job: "j", Service: "s", Outcome: OutcomeFailed, Attempt: number}, &attempt{call: "stream:1"})
			synctest.Wait()
			if len(got) != n+1 {
				t.Fatalf("%d messages came", len(got)-n)
			}
			return got[n]
		}
		answer := func(m *nats.Msg, text string, underWay bool) {
			t.Helper()
			if err := nc.Publish(m.Reply, []byte(text)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if r.underWay() != underWay {
				t.Errorf("after %s to %s, under way: %t", text, m.Reply, !underWay)
			}
		}
		const stored, refused = `{"stream":"bellhop-runs","seq":1}`, `{"error":{"code":503}}`

		first := put(1)
		answer(first, stored, false)
		second := put(2)
		if second.Reply != first.Reply || string(second.Data) == string(first.Data) {
			t.Errorf("the second record is answered to %s: %s", second.Reply, second.Data)
		}
		r.overdue(time.Now().Add(time.Second)) // the second one
		third := put(3)
		if third.Reply == second.Reply {
			t.Errorf("the third record is answered where an answer to the second may come")
		}
		answer(second, stored, true)
		answer(third, refused, false)

		var again []string
		for len(r.retry) > 0 {
			again = append(again, (<-r.retry).Header.Get(nats.MsgIdHdr))
		}
		if want := []string{"r/stream:1/2/failed", "r/stream:1/3/failed"}; !slices.Equal(again, want) {
			t.Errorf("sent again are %q", again)
		}
		if len(r.free) != maxUnconfirmed || len(slices.Compact(slices.Sorted(slices.Values(r.free)))) != maxUnconfirmed {
			t.Errorf("%d places are free", len(r.free))
		}
	})
}
