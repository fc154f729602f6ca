package scheduler

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// TestPingBeforeNATSIsReady has a scheduler answer that waits for JetStream: it runs.
func TestPingBeforeNATSIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
		if err != nil {
			t.Fatal(err)
		}
		srv.Start()
		defer func() {
			srv.Shutdown()
			srv.WaitForShutdown()
		}()
		nc, err := nats.Connect("", nats.InProcessServer(srv))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		s, err := New(nc, Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Minute) // on the bubble's clock
		peers, err := Ping(ctx, nc, s.ns)
		if err != nil || len(peers) != 1 || peers[0].Leading || peers[0].Uptime != time.Minute.Milliseconds() {
			t.Errorf("%+v, %v", peers, err)
		}
		cancel()
		wg.Wait()
	})
}

// TestElderIsAskedAgain has an elder's answer be lost, and the next one not.
func TestElderIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newBound(t)
		s.grace = time.Hour
		asked := 0
		if _, err := s.nc.Subscribe(s.ns.PingSubject(), func(m *nats.Msg) {
			if asked++; asked > 1 {
				_ = m.Respond([]byte(`{"name":"elder","uptime":600000}`))
			}
		}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.askElders(ctx) })
		if got := s.uptime(ctx); got > time.Minute {
			t.Errorf("after a lost answer it has run for %v", got)
		}
		time.Sleep(time.Minute)
		if got, want := s.uptime(ctx), 10*time.Minute; got < want || got > want+2*time.Minute {
			t.Errorf("it has run for %v, want %v and a little", got, want)
		}
		cancel()
		wg.Wait()
	})
}
