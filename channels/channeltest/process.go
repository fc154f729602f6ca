//go:build unix

package channeltest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	"github.com/bellhop-run/bellhop/kv/natstest"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// processEnv holds, in a child of a test binary, what the child is to be.
const processEnv = "BELLHOP_TEST_CHANNEL"

// Main runs a package's tests and looks for goroutines that they left behind; in
// a child of the test binary it is a process with the channel that makes makes,
// of what Outside.Args was, and log lines go to log. After the tests it calls after.
func Main(m *testing.M, makes func(args string, log *slog.Logger) (channels.Channel, error), after ...func()) {
	text := os.Getenv(processEnv)
	if text == "" {
		natstest.Main(m, after...)
		return
	}
	if err := be(text, makes); err != nil {
		fmt.Fprintln(os.Stderr, "channel under test:", err)
		os.Exit(1)
	}
}

// orders are what a child is told.
type orders struct {
	NATS string
	Args string
	// Die is the step at which it kills itself, when that has happened After
	// times.
	Die   step
	After int64
}

// step is a place in a message's way at which a process can die.
type step string

const (
	never    step = ""
	taken    step = "taken"    // the ring is made, and not sent
	sent     step = "sent"     // the ring is sent, and perhaps stored
	stored   step = "stored"   // the ring is stored, and the source does not know
	settling step = "settling" // the source may have been told of some
)

// be is the life of a child.
func be(text string, makes func(args string, log *slog.Logger) (channels.Channel, error)) error {
	var o orders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	c, err := makes(o.Args, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	death := &death{at: o.Die, after: o.After}
	nc, err := nats.Connect(o.NATS, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.SetCustomDialer(death))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	d := workers.NewDispatcher(js, "")
	d.Before(func(context.Context, *workers.Ring) { death.happened(taken) })
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is the order to stop
		stop()
	}()
	return c.Run(ctx, d)
}

// death kills the process it is in, as kill -9 does.
type death struct {
	at    step
	after int64
	n     atomic.Int64
}

func (d *death) happened(s step) {
	if s == d.at && d.n.Add(1) == d.after {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Dial makes a connection on which it can be seen how far a ring has come.
func (d *death) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return &watched{c, d}, err
}

type watched struct {
	net.Conn
	death *death
}

// Write is part of net.Conn.
func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	for range bytes.Count(b, []byte("HPUB bellhop.ring.")) {
		w.death.happened(sent)
	}
	return n, err
}

// Read is part of net.Conn. The client has not seen yet what it has read when the
// process dies.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	confirmed := bytes.Count(b[:n], []byte(`"stream":"bellhop-rings"`))
	for range confirmed {
		w.death.happened(stored)
	}
	if w.death.at == settling && confirmed > 0 {
		// The next thing the process does is to tell the source: it dies while it
		// does so, at no certain place.
		go func() {
			for range confirmed {
				w.death.happened(settling)
			}
		}()
	}
	return n, err
}

// process is a child with a channel.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.Closer
	done chan error
}

func startChannel(t testing.TB, o orders) *process {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(os.Args[0], "-test.run=^$"), done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), processEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(p.kill)
	return p
}

// died waits until the process has killed itself.
func (p *process) died() {
	p.t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			p.t.Fatalf("the channel's process has not died as it should: %v", err)
		}
	case <-time.After(patience):
		p.t.Fatal("the channel's process does not die: nothing comes so far")
	}
}

// stop has the channel drain, and waits for its end.
func (p *process) stop() {
	p.t.Helper()
	_ = p.in.Close()
	select {
	case err := <-p.done:
		p.done <- err
		if err != nil {
			p.t.Fatalf("the channel's process has not stopped well: %v", err)
		}
	case <-time.After(patience):
		p.t.Fatal("the channel does not stop")
	}
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.in.Close()
	p.done <- <-p.done
}
