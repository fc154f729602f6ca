package scheduler_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bellhop-run/bellhop/kv/natstest"
)

// scissors cut the connection of one scheduler for good, at the k-th message
// that any of them sends or receives: before it takes effect, or after.
type scissors struct {
	at    int // 0 for never
	after bool
	lag   atomic.Int64 // by how much deliveries of the jobs bucket's watch are delayed
	cuts  chan *wire   // the one that was cut

	mu    sync.Mutex
	count int
	what  string // the message at which the cut came
}

// event counts a message and tells whether the cut comes with it.
func (s *scissors) event(f *frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if s.count != s.at {
		return false
	}
	s.what = f.verb + " " + f.subject
	return true
}

// wire is a scheduler's way to the server: it dials connections that the
// scissors watch, until they cut one.
type wire struct {
	s   *scissors
	srv *natstest.Server
	cut atomic.Bool
}

var errCut = errors.New("the connection was cut")

func (w *wire) InProcessConn() (net.Conn, error) {
	if w.cut.Load() {
		return nil, errCut
	}
	inner, err := w.srv.InProcessConn()
	if err != nil {
		return nil, err
	}
	c := &wireConn{Conn: inner, w: w, late: make(chan late, 1000), ready: make(chan struct{}, 1), closed: make(chan struct{})}
	go c.pump()
	go c.linger()
	return c, nil
}

// wireConn is one connection. Both directions are taken apart into messages.
type wireConn struct {
	net.Conn
	w *wire

	out []byte // the part of a message that was written last; Write's alone

	mu     sync.Mutex
	in     []byte // whole messages for Read
	late   chan late
	ready  chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Write passes on whole messages. The connection is cut in the middle of a
// write as easily as between two.
func (c *wireConn) Write(p []byte) (int, error) {
	if c.w.cut.Load() {
		return 0, errCut
	}
	c.out = append(c.out, p...)
	pass := 0
	for {
		f, n := parseFrame(c.out[pass:])
		if n == 0 {
			break
		}
		if f.counts() && c.w.s.event(f) {
			if c.w.s.after {
				pass += n
			}
			_, _ = c.Conn.Write(c.out[:pass]) // the scheduler never learns what became of it
			c.w.sever(c)
			return 0, errCut
		}
		pass += n
	}
	_, err := c.Conn.Write(c.out[:pass])
	c.out = append(c.out[:0], c.out[pass:]...)
	return len(p), err
}

// pump brings what the server sends to Read.
func (c *wireConn) pump() {
	defer c.Close()
	var b []byte
	chunk := make([]byte, 32<<10)
	for {
		n, err := c.Conn.Read(chunk)
		b = append(b, chunk[:n]...)
		for {
			f, n := parseFrame(b)
			if n == 0 {
				break
			}
			cut := f.counts() && c.w.s.event(f)
			if !cut || c.w.s.after {
				c.deliver(f, b[:n])
			}
			if cut {
				c.w.sever(c)
				return
			}
			b = b[n:]
		}
		if err != nil {
			return
		}
	}
}

// deliver gives a message to Read, those of the jobs bucket's watch later.
func (c *wireConn) deliver(f *frame, message []byte) {
	m := bytes.Clone(message)
	if !strings.HasPrefix(f.reply, "$JS.ACK.KV_bellhop-jobs.") {
		c.give(m)
		return
	}
	select {
	case c.late <- late{m, time.Now().Add(time.Duration(c.w.s.lag.Load()))}:
	case <-c.closed:
	}
}

// late is a message that lags.
type late struct {
	message []byte
	until   time.Time
}

// linger delivers what lags, in order.
func (c *wireConn) linger() {
	for {
		select {
		case l := <-c.late:
			time.Sleep(time.Until(l.until))
			c.give(l.message)
		case <-c.closed:
			return
		}
	}
}

func (c *wireConn) give(m []byte) {
	c.mu.Lock()
	c.in = append(c.in, m...)
	c.mu.Unlock()
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

func (c *wireConn) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		n := copy(p, c.in)
		c.in = c.in[n:]
		c.mu.Unlock()
		if n > 0 {
			return n, nil
		}
		select {
		case <-c.ready:
		case <-c.closed:
			return 0, io.EOF
		}
	}
}

// sever ends the connection for good.
func (w *wire) sever(c *wireConn) {
	w.cut.Store(true)
	c.Close()
	w.s.cuts <- w
}

func (c *wireConn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.Conn.Close()
	})
	return nil
}

func (c *wireConn) SetDeadline(time.Time) error      { return nil }
func (c *wireConn) SetReadDeadline(time.Time) error  { return nil }
func (c *wireConn) SetWriteDeadline(time.Time) error { return nil }

// frame is a protocol message of NATS.
type frame struct {
	verb, subject, reply string
	body                 []byte // headers and payload
}

// parseFrame gives the first message in b and its length, 0 if it is not
// whole yet.
func parseFrame(b []byte) (*frame, int) {
	end := bytes.IndexByte(b, '\n') + 1
	if end == 0 {
		return nil, 0
	}
	words := strings.Fields(string(b[:end]))
	if len(words) == 0 {
		return &frame{}, end
	}
	f := &frame{verb: strings.ToUpper(words[0])}
	least, ok := withoutReply[f.verb]
	if !ok {
		return f, end
	}
	f.subject = words[1]
	if len(words) > least {
		f.reply = words[2]
		if strings.HasSuffix(f.verb, "MSG") {
			f.reply = words[3] // after the subscription
		}
	}
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		panic(fmt.Sprintf("not a NATS message: %q", b[:end]))
	}
	n := end + size + len("\r\n")
	if len(b) < n {
		return nil, 0
	}
	f.body = b[end : end+size]
	return f, n
}

// withoutReply is how many words a message begins with if it has no reply
// subject.
var withoutReply = map[string]int{"PUB": 3, "HPUB": 4, "MSG": 4, "HMSG": 5}

// counts tells which messages the scissors count: all that carry something,
// but of the hundreds in an opening's batch only the ends and a few between.
func (f *frame) counts() bool {
	if f.subject == "" {
		return false
	}
	_, rest, ok := bytes.Cut(f.body, []byte("Nats-Batch-Sequence: "))
	if !ok || bytes.Contains(f.body, []byte("Nats-Batch-Commit")) {
		return true
	}
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, err := strconv.Atoi(string(digits))
	return err == nil && (n <= 2 || n%200 == 0)
}
