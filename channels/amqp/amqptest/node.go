//go:build unix

// Package amqptest gives tests a real RabbitMQ: the one that
// BELLHOP_TEST_AMQP_URL names, or a private node of the machine's own
// rabbitmq-server, which can be killed.
package amqptest

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels/amqp/rabbit"
)

// ctlTime is how long rabbitmqctl may take, on a machine with other things to do.
const ctlTime = 2 * time.Minute

// shared is the node of a whole package.
type shared struct {
	mu   sync.Mutex
	node *Node
}

// Shared is a broker for the tests of a package that do not disturb it. Its zero
// value is ready; TestMain calls Stop after the tests.
type Shared struct{ shared }

// URL gives the broker's URL, and starts it for the first test.
func (s *Shared) URL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("BELLHOP_TEST_AMQP_URL"); url != "" {
		return url
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == nil {
		dir, err := os.MkdirTemp("", "rabbit")
		if err != nil {
			t.Fatal(err)
		}
		n, err := newNode(dir)
		if err != nil {
			t.Fatal(err)
		}
		s.node = n
	}
	return s.node.URL
}

// Stop ends the broker if it was started.
func (s *Shared) Stop() {
	if s.node != nil {
		s.node.Close()
		_ = os.RemoveAll(s.node.dir) // it is in the temporary directory
	}
}

// Node is a private node, with its own store, cookie, ports and name service.
type Node struct {
	*rabbit.Node
	dir string
}

// Start starts a node, which also listens with TLS where that is there; the test's
// end stops it.
func Start(t testing.TB, with ...rabbit.TLS) *Node {
	t.Helper()
	n, err := newNode(t.TempDir(), with...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func newNode(dir string, with ...rabbit.TLS) (*Node, error) {
	n, err := rabbit.Start(context.Background(), rabbit.Options{Dir: dir, Env: os.Environ(), TLS: with})
	if errors.Is(err, rabbit.ErrMissing) {
		err = errors.New(err.Error() + ", or name a running broker in BELLHOP_TEST_AMQP_URL")
	}
	return &Node{n, dir}, err
}

// Up starts the node on what it had stored before.
func (n *Node) Up(t testing.TB) {
	t.Helper()
	if err := n.Node.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the node as an administrator does, and waits for its end.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	if err := n.Node.Stop(); err != nil {
		t.Fatal(err)
	}
}

// Ctl runs rabbitmqctl.
func (n *Node) Ctl(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), ctlTime)
	defer cancel()
	out, err := n.Node.Ctl(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
