//go:build unix

package amqp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels/amqp"
	"github.com/bellhop-run/bellhop/workers"
)

// lock is a way to a broker that can be shut: then nobody reads what a publisher
// writes, and nobody tells it so.
type lock struct {
	net.Listener
	mu     sync.Mutex
	shut   bool
	opened *sync.Cond
	conns  []net.Conn
	moving sync.WaitGroup
}

func newLock(t *testing.T, broker string) *lock {
	t.Helper()
	l := &lock{}
	l.opened = sync.NewCond(&l.mu)
	var err error
	if l.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	l.moving.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", broker)
			if err != nil {
				_ = near.Close() // it comes again
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, near, far)
			l.mu.Unlock()
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				l.moving.Go(func() { l.move(way[0], way[1]) })
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // once
		l.set(false)
		l.cut()
		l.moving.Wait()
	})
	return l
}

// move carries one way, while it is open.
func (l *lock) move(from, to net.Conn) {
	defer to.Close()
	b := make([]byte, 4096)
	for {
		l.mu.Lock()
		for l.shut {
			l.opened.Wait()
		}
		l.mu.Unlock()
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

func (l *lock) set(shut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = shut
	l.opened.Broadcast()
}

// cut ends the connections there are.
func (l *lock) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close() // it may be closed
	}
	l.conns = nil
}

// TestNobodyReads has a write hang, with many messages that go together: whoever
// publishes waits no longer than he may, and when the connection has gone all goes on
// with the next one. When it has to stop, it stops.
func TestNobodyReads(t *testing.T) {
	q := openQueue(t, broker.URL(t))
	u, err := url.Parse(q.url)
	if err != nil {
		t.Fatal(err)
	}
	l := newLock(t, u.Host)
	u.Host = l.Addr().String()
	s, err := amqp.NewOut(amqp.Broker{Name: "test", URLs: []string{u.String()}, Heartbeat: time.Hour}, amqp.OutOptions{
		Name: "s", RoutingKey: q.name, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	defer running.Wait()
	defer stop()
	if err := serve(t, s, "before", patience); err != nil {
		t.Fatal(err)
	}
	hang := func(most time.Duration, begun chan<- struct{}) (errs []error) {
		var all sync.WaitGroup
		var mu sync.Mutex
		for i := range 200 { // more than what lies between takes
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), most)
				defer cancel()
				_, err := s.Serve(ctx, &workers.Trigger{Run: fmt.Sprint(i), Service: "s", Payload: make([]byte, 100<<10)})
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
		if begun != nil {
			eventually(t, func() bool { return s.Meter().InFlight() == 200 }, func() string { return "they have not begun" })
			close(begun)
		}
		all.Wait()
		return errs
	}
	l.set(true)
	for _, err := range hang(300*time.Millisecond, nil) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it has waited for %v", err)
		}
	}
	begun := make(chan struct{})
	running.Go(func() {
		<-begun
		l.cut()
		l.set(false)
	})
	for _, err := range hang(patience, begun) {
		// What was written to the broken connection fails, the rest goes on.
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it has waited in vain: %v", err)
		}
	}
	if err := serve(t, s, "after", patience); err != nil {
		t.Error(err)
	}
	eventually(t, func() bool { return s.Meter().InFlight() == 0 }, func() string { return fmt.Sprintf("it is %+v", s.Meter().Status()) })
	l.set(true)
	hang(300*time.Millisecond, nil) // and now it has to stop with that
	stop()
	running.Wait()
	if st := s.Meter().Status(); st.Connected || st.Received != st.Rung+st.Requeued {
		t.Errorf("it is %+v", st)
	}
}
