package amqp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// peer is the far side of a connection: what has come, in how many writes, and from
// which byte on it takes nothing, if not 0.
type peer struct {
	net.Conn
	mu     sync.Mutex
	got    []byte
	writes int
	most   int
}

var errPeer = errors.New("the peer has gone")

func (p *peer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes++
	n := len(b)
	if p.most > 0 {
		n = min(n, p.most-len(p.got))
	}
	p.got = append(p.got, b[:n]...)
	if n < len(b) {
		return n, errPeer
	}
	return n, nil
}

// TestCork corks, uncorks and writes at random: without a cork the peer has all at
// once, with one all but corkSize, in order, and in fewer writes.
func TestCork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &peer{}
		c := &corked{Conn: p}
		var want []byte
		in, since := false, 0
		t.Repeat(map[string]func(*rapid.T){
			"cork": func(*rapid.T) {
				c.cork()
				in = true
			},
			"uncork": func(t *rapid.T) {
				if err := c.uncork(); err != nil {
					t.Fatal(err)
				}
				in = false
			},
			"write": func(t *rapid.T) {
				n := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(corkSize-300, corkSize+300)).Draw(t, "bytes")
				b := bytes.Repeat([]byte{byte(len(want))}, n)
				before := p.writes
				if got, err := c.Write(b); got != n || err != nil {
					t.Fatalf("it writes %d of %d bytes: %v", got, n, err)
				}
				want = append(want, b...)
				clear(b) // it is the caller's again
				if since += n; in && since <= corkSize && p.writes > before {
					t.Fatalf("%d bytes are written that could be held back", since)
				}
			},
			"": func(t *rapid.T) {
				missing := len(want) - len(p.got)
				if missing < 0 || missing > corkSize || !in && missing != 0 || !bytes.Equal(p.got, want[:len(p.got)]) {
					t.Fatalf("of %d bytes %d are there (corked: %t)", len(want), len(p.got), in)
				}
				since = missing
			},
		})
	})
}

// TestCorkIsShared has several write while another one corks and uncorks: each one's
// words come whole and in order, and at the end nothing stays.
func TestCorkIsShared(t *testing.T) {
	near, far := net.Pipe()
	c := &corked{Conn: near}
	const writers, words, size = 4, 2000, 64
	var writing, corking sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range words {
				b := make([]byte, size)
				b[0] = byte(w)
				binary.BigEndian.PutUint32(b[1:], uint32(i))
				b[size-1] = byte(w)
				if _, err := c.Write(b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	corking.Go(func() {
		for {
			c.cork()
			if err := c.uncork(); err != nil {
				t.Error(err)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	var next [writers]uint32
	b := make([]byte, size)
	for range writers * words { // it hangs if something stays
		if _, err := io.ReadFull(far, b); err != nil {
			t.Fatal(err)
		}
		w := b[0]
		if int(w) >= writers || b[size-1] != w || binary.BigEndian.Uint32(b[1:]) != next[w] {
			t.Fatalf("it reads %x, want word %d", b, next[w])
		}
		next[w]++
	}
	close(done)
	writing.Wait()
	corking.Wait()
	if len(c.held) != 0 {
		t.Errorf("%d bytes stay", len(c.held))
	}
}

// TestCorkWithAnError has the peer fail within what was held back: whoever uncorks is
// told, and the peer gets nothing more.
func TestCorkWithAnError(t *testing.T) {
	p := &peer{most: 150}
	c := &corked{Conn: p}
	c.cork()
	for range 2 {
		if _, err := c.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := c.uncork(); !errors.Is(err, errPeer) {
			t.Errorf("it uncorks: %v", err)
		}
	}
	p.most = 0
	for _, act := range []func(){func() {}, c.cork} {
		act()
		if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, errPeer) {
			t.Errorf("it writes %d bytes: %v", n, err)
		}
	}
	if err := c.uncork(); !errors.Is(err, errPeer) || len(p.got) != 150 {
		t.Errorf("the peer has %d bytes: %v", len(p.got), err)
	}
}

// TestCorkWithAHangingPeer has what hangs end with the connection, or when its time is
// over; and what would write behind it, too.
func TestCorkWithAHangingPeer(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(c *corked) error
		want error
	}{
		"closed":   {func(c *corked) error { return c.Close() }, io.ErrClosedPipe},
		"deadline": {func(c *corked) error { return c.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				c := &corked{Conn: near}
				c.cork()
				if _, err := c.Write([]byte("held")); err != nil {
					t.Fatal(err)
				}
				errs := make(chan error, 2)
				go func() { errs <- c.uncork() }()
				synctest.Wait() // it hangs
				go func() {
					_, err := c.Write([]byte("behind"))
					errs <- err
				}()
				if err := end.do(c); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if err := <-errs; !errors.Is(err, end.want) {
						t.Errorf("it ended with %v", err)
					}
				}
			})
		})
	}
}
