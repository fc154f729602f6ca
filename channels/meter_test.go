package channels_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// TestMeter has rates and times of minutes; they pass in a bubble, at no time.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := channels.NewMeter("amqp", "b/q")
		began := time.Now()
		time.Sleep(time.Minute) // here and below: the bubble's clock goes on by so much, and nobody waits
		m.Up()
		up := time.Now().UTC()
		for range 60 {
			m.Received()
			time.Sleep(time.Second / 2) // of the bubble's clock: the rate is exact
			m.Up()                      // which it is
		}
		for range 10 {
			m.Rung()
		}
		m.Answered()
		m.Refused(errors.New("nonsense"))
		m.Requeued(nil)
		last := time.Now().UTC()
		want := channels.Status{
			Name: "b/q", Kind: "amqp", Connected: true, Since: up, InFlight: 47,
			Received: 60, Rung: 10, Refused: 1, Requeued: 1, Answered: 1, Rate: 2, LastError: "nonsense", LastErrorAt: last,
		}
		if d := cmp.Diff(want, m.Status()); d != "" {
			t.Error(d)
		}
		time.Sleep(time.Minute)
		m.Down(errors.New(strings.Repeat("ä", 400)))
		s := m.Status()
		if s.Connected || !s.Since.After(began) || s.Rate != 0 || len(s.LastError) > 310 || !strings.HasSuffix(s.LastError, "ä…") {
			t.Errorf("it is %+v", s)
		}
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(m, channels.NewMeter("amqp", "b/other"), channels.NewMeter("http", "b/q"))
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := strings.TrimPrefix(f.GetName(), "bellhop_channel_")
				for _, l := range m.GetLabel() {
					name += " " + l.GetValue()
				}
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		for name, want := range map[string]float64{
			"received_total amqp b/q": 60, "rung_total amqp b/q": 10, "refused_total amqp b/q": 1, "requeued_total amqp b/q": 1,
			"answered_total amqp b/q": 1, "in_flight amqp b/q": 47, "connected amqp b/q": 0, "in_flight amqp b/other": 0, "in_flight http b/q": 0,
		} {
			if v, there := got[name]; !there || v != want {
				t.Errorf("%s is %v", name, v)
			}
		}
		if len(got) != 3*7 {
			t.Errorf("there are %v", got)
		}
	})
}

// TestList asks several processes, one of which has more channels than one
// message holds, and none at all.
func TestList(t *testing.T) {
	s := natstest.Start(t)
	nc := s.Connect()
	if all, err := channels.List(t.Context(), nc, ""); len(all) != 0 || err != nil {
		t.Errorf("nobody answers: %v, %v", all, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	for p := range 2 {
		var meters []*channels.Meter
		for i := range 450 {
			meters = append(meters, channels.NewMeter("amqp", fmt.Sprintf("%d-%03d", p, i)))
		}
		other := s.Connect()
		serving.Go(func() {
			if err := channels.Serve(ctx, other, "", meters...); err != nil {
				t.Error(err)
			}
		})
	}
	var all []channels.Status
	for len(all) < 900 { // until both serve
		var err error
		if all, err = channels.List(t.Context(), nc, ""); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) != 900 || all[0].Name != "0-000" || all[899].Name != "1-449" || all[0].Host == "" || all[0].Process == 0 {
		t.Errorf("%d channels, from %+v to %+v", len(all), all[0], all[len(all)-1])
	}
	stop()
	serving.Wait()
	nc.Close()
	if err := channels.Serve(t.Context(), nc, ""); err == nil {
		t.Error("it serves on a closed connection")
	}
	if _, err := channels.List(t.Context(), nc, ""); err == nil {
		t.Error("it asks on a closed connection")
	}
}

func TestPermanent(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{fmt.Errorf("x: %w", workers.ErrRefused), true},
		{fmt.Errorf("x: %w", channels.ErrUnknownService), true},
		{&workers.CallError{Code: 422}, true},
		{&workers.CallError{Code: 503}, false},
		{context.DeadlineExceeded, false},
		{workers.ErrNoWorker, false},
		{nil, false},
	} {
		if got := channels.Permanent(tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}

func TestBound(t *testing.T) {
	for _, s := range []string{"", "a", "no 1/ü", strings.Repeat("x", 255)} {
		if got := channels.Bound(s); got != s {
			t.Errorf("%q becomes %q", s, got)
		}
	}
	seen := map[string]bool{}
	for _, s := range []string{strings.Repeat("x", 256), strings.Repeat("x", 257), strings.Repeat("\x00", 200), strings.Repeat("\x01", 200)} {
		got := channels.Bound(s)
		if len(got) > 80 || seen[got] || channels.Bound(s) != got {
			t.Errorf("%.10q… becomes %q", s, got)
		}
		seen[got] = true
	}
}

func TestBackoff(t *testing.T) {
	b := channels.Backoff{Min: time.Second, Max: 5 * time.Second}
	for range 2 {
		for i, most := range []time.Duration{1, 2, 4, 5, 5} {
			if d := b.Next(); d < most*time.Second/2 || d > most*time.Second {
				t.Errorf("wait %d is %s", i, d)
			}
		}
		for range 100 {
			if d := b.Next(); d < 2*time.Second || d > 5*time.Second {
				t.Errorf("a later wait is %s", d)
			}
		}
		b.Reset()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if b.Wait(ctx) {
		t.Error("it waits for what is over")
	}
	quick := channels.Backoff{Min: 1, Max: 1}
	if !quick.Wait(t.Context()) {
		t.Error("it does not wait")
	}
}

// TestDirectory believes what it has heard for a while.
func TestDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc := natstest.Start(t).Connect()
		js, err := jetstream.New(nc)
		if err == nil {
			err = workers.Setup(t.Context(), js, workers.SetupOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		d, r := workers.NewDispatcher(js, ""), channels.Directory{}
		check := func(service string, known bool) {
			t.Helper()
			err := r.Check(t.Context(), d, service)
			if known && err != nil || !known && !errors.Is(err, channels.ErrUnknownService) {
				t.Errorf("%s: %v", service, err)
			}
		}
		check("a.b", false)
		if _, err := js.CreateConsumer(t.Context(), "bellhop-rings", jetstream.ConsumerConfig{Durable: "a=2Eb"}); err != nil {
			t.Fatal(err)
		}
		check("a.b", false)
		time.Sleep(2 * time.Second) // in a bubble: longer than an unknown service is remembered
		check("a.b", true)
		if err := js.DeleteConsumer(t.Context(), "bellhop-rings", "a=2Eb"); err != nil {
			t.Fatal(err)
		}
		check("a.b", true)
		time.Sleep(2 * time.Minute) // and a known one
		check("a.b", false)
		if err := r.Check(t.Context(), d, "a b"); !errors.Is(err, workers.ErrRefused) {
			t.Errorf("no name: %v", err)
		}
		if err := js.DeleteStream(t.Context(), "bellhop-rings"); err != nil {
			t.Fatal(err)
		}
		if err := r.Check(t.Context(), d, "other"); err == nil || channels.Permanent(err) {
			t.Errorf("without a stream: %v", err)
		}
	})
}
