package workers_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
)

// What becomes of rings is counted, and no name that somebody made up is a label.
func TestRingsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		d := workers.NewDispatcher(h.js, "")
		for _, r := range []workers.Ring{
			{Channel: "cli", Service: "s", ID: "1"},
			{Channel: "cli", Service: "s", ID: "1"},
			{Channel: "amqp", Service: "s"},
			{Channel: "cli", Service: "made up"},
			{Channel: "made up", Service: "s"},
			{Channel: "cli", Service: "s", Payload: make([]byte, 2<<20)},
		} {
			_, _ = d.Ring(t.Context(), r)
		}
		_, _, err := d.RingWait(t.Context(), workers.Ring{Channel: "http", Service: "s"}, time.Second)
		ok(t, err)
		h.s.Down()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Ring(ctx, workers.Ring{Channel: "cli", Service: "s"}); err == nil {
			t.Error("stored without a server")
		}
		h.s.Up()
		want := map[string]float64{
			"bellhop_rings_total cli stored s": 1, "bellhop_rings_total cli repeated s": 1, "bellhop_rings_total amqp stored s": 1,
			"bellhop_rings_total cli refused ": 2, "bellhop_rings_total  refused ": 1, "bellhop_rings_total http stored s": 1,
			"bellhop_rings_total cli failed s": 1,
		}
		if d := cmp.Diff(want, figures(t, d)); d != "" {
			t.Error(d)
		}
	})
}

// What Before adds travels, and is looked at like anything else in a ring.
func TestBefore(t *testing.T) {
	h := newHouse(t)
	d := workers.NewDispatcher(h.js, "")
	type key struct{}
	d.Before(func(ctx context.Context, r *workers.Ring) {
		r.Header = nats.Header{"Color": {ctx.Value(key{}).(string)}, "Nats-Rollup": {"all"}}
	})
	_, err := d.Ring(context.WithValue(t.Context(), key{}, "red"), workers.Ring{Channel: "cli", Service: "s"})
	ok(t, err)
	m := h.stored("bellhop-rings")[0]
	equal(t, "header", m.Header.Get("Color")+m.Header.Get("Nats-Rollup"), "red")
	if _, err := d.Ring(context.WithValue(t.Context(), key{}, "a\r\nb"), workers.Ring{Channel: "cli", Service: "s"}); err == nil {
		t.Error("a header with a line break is taken")
	}
}
