package amqp

import (
	"net"
	"sync"
)

// corkSize is how many bytes a cork holds back at most: some fifty small messages.
// More would save little, and have what is written last wait for what is first.
const corkSize = 16 << 10

// corked is a connection that writes many small things as one, for as long as its
// cork is in. The library writes each message by itself, which costs a call into
// the system here, and a read there, for each.
//
//	cork ─► Write … Write ─► uncork ─► one Write to the connection below
//
// Whoever corks uncorks before it waits for anything, so that nothing stays. What
// others write meanwhile goes behind what is held back: bytes leave in the order in
// which they came. A write may hang in the connection below, and with it all that
// write; only Close and the deadlines, which are of that connection, end it.
type corked struct {
	net.Conn
	mu   sync.Mutex
	in   bool
	held []byte
	err  error // of a write: the peer may have half of a frame, and gets no more
}

// Write holds back what is written, or writes it.
func (c *corked) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.in || len(c.held)+len(b) > corkSize {
		c.flush()
	}
	switch {
	case c.err != nil:
		return 0, c.err
	case c.in && len(b) <= corkSize:
		c.held = append(c.held, b...)
		return len(b), nil
	}
	n, err := c.Conn.Write(b)
	c.err = err
	return n, err
}

// cork has what is written be held back, up to corkSize.
func (c *corked) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = true
}

// uncork writes what was held back. An error is that of any write before it, too.
func (c *corked) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = false
	c.flush()
	return c.err
}

// flush writes what is held back; an error of it stays.
func (c *corked) flush() {
	if len(c.held) == 0 || c.err != nil {
		return
	}
	_, c.err = c.Conn.Write(c.held)
	c.held = c.held[:0]
}
