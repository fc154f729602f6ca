package scheduler_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/nats-io/nats.go"
)

// relief is who takes over from a scheduler that was cut off.
type relief struct {
	name     string
	standing bool          // a standby that was running
	pause    time.Duration // else a fresh one, after this time
}

var reliefs = []relief{
	{name: "standby", standing: true},
	{name: "fresh", pause: 700 * time.Millisecond},
}

// TestRecoveryByCutting plays one history over and over and cuts off the
// leader at another message each time, once before the message takes effect
// and once after. What the log holds in the end must be what it would hold
// without the cut. BELLHOP_TEST_CUTS=all cuts at every message; the default is
// every few of them.
func TestRecoveryByCutting(t *testing.T) {
	share := 80 // points of each history, with two cuts at each
	if os.Getenv("BELLHOP_TEST_CUTS") == "all" {
		share = 1 << 20
	}
	cuts := 0
	for _, r := range reliefs {
		whole := &scissors{}
		t.Run(r.name, func(t *testing.T) { play(t, r, whole) })
		stride := max(1, (whole.count+share-1)/share)
		for k := 1; k <= whole.count; k += stride {
			for _, after := range []bool{false, true} {
				s := &scissors{at: k, after: after}
				t.Run(fmt.Sprintf("%s/%d/after=%v", r.name, k, after), func(t *testing.T) { play(t, r, s) })
				if s.what != "" {
					cuts++
				}
			}
		}
		t.Logf("%s: %d messages in the uncut history, one cut in %d of them", r.name, whole.count, stride)
	}
	t.Logf("%d cuts", cuts)
}

// play plays the history with one cut and compares the log with the oracle.
func play(t *testing.T, r relief, s *scissors) {
	synctest.Test(t, func(t *testing.T) {
		s.cuts = make(chan *wire, 1)
		h := newHouse(t)
		c := &crew{house: h, relief: r, scissors: s, done: make(chan struct{}), mates: map[*wire]*mate{}}
		defer func() {
			if t.Failed() {
				t.Logf("cut at message %d: %s", s.at, s.what)
				t.Logf("the schedulers' logs:\n%s", c.log.String())
			}
		}()
		for range c.size() {
			c.hire()
		}
		c.wg.Go(c.watch)
		p := newPast(c)
		p.play()
		c.dismiss()
		p.judge()
	})
}

// crew is the schedulers of one play: two, or one at a time.
type crew struct {
	*house
	relief   relief
	scissors *scissors
	log      lockedBuffer
	done     chan struct{}
	wg       sync.WaitGroup

	mu             sync.Mutex
	mates          map[*wire]*mate
	cutAt, hiredAt int64 // unix ms, when the cut came and when a new one was hired for it; 0 for never
}

type mate struct {
	*scheduler.Scheduler
	stop func()
}

func (c *crew) size() int {
	if c.relief.standing {
		return 2
	}
	return 1
}

// hire starts a scheduler.
func (c *crew) hire() {
	w := &wire{s: c.scissors, srv: c.s}
	nc, err := nats.Connect("", nats.InProcessServer(w), nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1))
	c.ok(err)
	logger := slog.New(slog.NewTextHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := scheduler.New(nc, scheduler.Options{Logger: logger, Embedded: !c.relief.standing})
	c.ok(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	c.mu.Lock() // it may be cut off with its first message
	c.mates[w] = &mate{s, func() { cancel(); <-ended }}
	c.mu.Unlock()
	go func() {
		defer close(ended)
		if err := s.Run(ctx); err != nil {
			logger.Error("a scheduler has ended", "error", err)
		}
		nc.Close()
	}()
}

// watch ends the scheduler that is cut off and hires another one.
func (c *crew) watch() {
	select {
	case w := <-c.scissors.cuts:
		c.mu.Lock()
		dead := c.mates[w]
		delete(c.mates, w)
		c.cutAt = time.Now().UnixMilli()
		c.mu.Unlock()
		c.wg.Go(dead.stop)
		time.Sleep(c.relief.pause)
		c.mu.Lock()
		c.hiredAt = time.Now().UnixMilli()
		c.mu.Unlock()
		c.hire()
	case <-c.done:
	}
}

// leader waits for one to lead.
func (c *crew) leader() (*wire, *mate) {
	for {
		c.mu.Lock()
		for w, m := range c.mates {
			if m.Status().Leading && !w.cut.Load() {
				defer c.mu.Unlock()
				return w, m
			}
		}
		c.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

// handOver stops the leader politely and hires another scheduler.
func (c *crew) handOver() {
	w, m := c.leader()
	m.stop()
	c.mu.Lock()
	delete(c.mates, w)
	c.mu.Unlock()
	c.hire()
}

// dismiss stops everybody.
func (c *crew) dismiss() {
	close(c.done)
	c.wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.mates {
		m.stop()
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}
