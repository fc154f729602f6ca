package scheduler

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/nats-io/nats.go"
)

// tap is a way to the server that can hold back what is written.
type tap struct {
	*natstest.Server
	mu      sync.Mutex
	holding bool
	room    int // how many bytes pass before it holds
	held    []byte
	conn    net.Conn
}

type tapConn struct {
	net.Conn
	tap *tap
}

func (t *tap) InProcessConn() (net.Conn, error) {
	c, err := t.Server.InProcessConn()
	t.conn = c
	return &tapConn{c, t}, err
}

func (c *tapConn) Write(p []byte) (int, error) {
	c.tap.mu.Lock()
	defer c.tap.mu.Unlock()
	if !c.tap.holding {
		return c.Conn.Write(p)
	}
	pass := min(c.tap.room, len(p))
	c.tap.room -= pass
	c.tap.held = append(c.tap.held, p[pass:]...)
	if pass == 0 {
		return len(p), nil
	}
	n, err := c.Conn.Write(p[:pass])
	return n + len(p) - pass, err
}

// hold holds back what is written after so many bytes.
func (t *tap) hold(room int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holding, t.room = true, room
}

func (t *tap) release() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holding = false
	_, err := t.conn.Write(t.held)
	return err
}

// TestLeap shows what the leap is for. An old writer is paused with messages
// under way: three hands, and then the numbers 1 to 10. Another one opens the
// log and appends numbers, until the log's end is where one of the messages
// under way expects it. Then they arrive. With a single hand for a leap, numbers are
// doubled: sequence numbers have met by chance.
func TestLeap(t *testing.T) {
	t.Run("leap", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if doubled, stale := meet(t, leapLen); doubled > 0 || stale != 13 {
				t.Errorf("%d numbers were doubled, and of 13 stale messages %d refused", doubled, stale)
			}
		})
	})
	t.Run("no leap", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if doubled, _ := meet(t, 1); doubled == 0 {
				t.Error("no number was doubled: this test tests nothing")
			}
		})
	})
}

// meet plays it with a leap of this length, and counts the numbers that are
// doubled and the stale messages that were refused.
func meet(t *testing.T, leap int) (doubled, stale int) {
	srv := natstest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	way := &tap{Server: srv}
	open := func(nc *nats.Conn) (*Scheduler, *opened) {
		s, err := New(nc, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.leap = leap
		if err := s.bind(ctx); err != nil {
			t.Fatal(err)
		}
		end, err := readEnd(ctx, s.log, s.ns.HandSubject())
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.openLog(ctx, end)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(o.w.close)
		return s, o
	}
	s, old := open(srv.Connect(nats.InProcessServer(way)))
	way.hold(0)
	for range 3 {
		if err := old.w.append(handMsg(s.ns, &old.hand)); err != nil {
			t.Fatal(err)
		}
	}
	number := func(w *writer, n int64) {
		if err := w.append(trigger(s.ns, fighter, n)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range int64(10) {
		number(old.w, n+1)
	}
	other, heir := open(srv.Connect())
	for n := int64(1); heir.w.last < old.w.acked+3 || n <= 2; n++ {
		number(heir.w, n)
	}
	synctest.Wait()
	if acked, err := heir.w.progress(); err != nil || acked != heir.w.last {
		t.Fatalf("the heir has %d of %d: %v", acked, heir.w.last, err)
	}
	refused := make(chan *nats.Msg, 100)
	if _, err := other.nc.ChanSubscribe(old.w.prefix+"*", refused); err != nil {
		t.Fatal(err)
	}
	if err := other.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := way.release(); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	for len(refused) > 0 {
		if _, err := parseAck(<-refused); errors.Is(err, errRefused) {
			stale++
		}
	}
	seen := map[int64]bool{}
	end, err := readEnd(ctx, other.log, other.ns.HandSubject())
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= end.last; seq++ {
		m, err := other.log.GetMsg(ctx, seq)
		if err != nil {
			continue // rolled up
		}
		if o, ok := parseRunID(m.Header.Get("Bellhop-Run")); ok {
			if seen[o.due] {
				doubled++
			}
			seen[o.due] = true
		}
	}
	return doubled, stale
}
