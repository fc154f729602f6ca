package scheduler

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestTailWhoseConsumerIsLost has the tail read from the stream's leader when nobody
// says whether there is a consumer, however long the caller would wait.
func TestTailWhoseConsumerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBound(t)
		want := &tail{runs: map[occurrence]uint64{}}
		for n := int64(1); n <= 5; n++ {
			m := trigger(s.ns, fighter, n)
			ack, err := s.js.PublishMsg(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if n > 2 {
				want.add(m.Header, ack.Sequence)
			}
		}
		const silent = "silent"
		if _, err := s.nc.Subscribe(silent+".>", func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
		deaf, err := jetstream.NewWithAPIPrefix(s.nc, silent)
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		s.js, s.logger = deaf, slog.New(slog.NewTextHandler(&said, nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		got, err := s.readTail(ctx, 2, 5)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.runs, got.runs, cmp.AllowUnexported(occurrence{})); d != "" || got.latest != want.latest {
			t.Errorf("the latest is %d, want %d\n%s", got.latest, want.latest, d)
		}
		if took := time.Since(began); took > 2*tailStall { // on the bubble's clock
			t.Errorf("it took %v", took)
		}
		if !strings.Contains(said.String(), "one by one") {
			t.Errorf("it says %q", said.String())
		}
	})
}
