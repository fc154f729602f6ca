// Package natstest gives tests a real JetStream server of their own, also
// inside a testing/synctest bubble.
package natstest

import (
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

// Main runs a package's tests, calls after, and looks for goroutines that were left
// behind.
func Main(m *testing.M, after ...func()) {
	if o := os.Getenv(processEnv); o != "" {
		beServer(o)
		return
	}
	ats.Register() // the server's clock goroutine, which no bubble may own
	goleak.VerifyTestMain(tests{m, after}, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

// tests are a package's, with what comes after them.
type tests struct {
	*testing.M
	after []func()
}

// Run is part of goleak.TestingM.
func (t tests) Run() int {
	code := t.M.Run()
	for _, f := range t.after {
		f()
	}
	return code
}

// Server is one server with one store; it may be restarted.
type Server struct {
	t       testing.TB
	dir     string
	current atomic.Pointer[server.Server]
}

// DropTimers empties the client library's pool of timers, for one that was made
// in another bubble is fatal in this one: two collections do it.
func DropTimers() {
	runtime.GC()
	runtime.GC()
}

// Start starts a server; the test's end stops it.
//
// A bubble must not end before its goroutines, and its clock stands still by then.
// Some of the client library's look only now and then (a subscription that drains:
// every 100 ms): in a bubble the end gives them time.
func Start(t testing.TB) *Server {
	t.Helper()
	DropTimers()
	s := &Server{t: t, dir: t.TempDir()}
	s.Up()
	bubble := time.Now().Year() < 2020 // a bubble's clock starts in 2000
	t.Cleanup(func() {
		s.Down()
		if bubble {
			time.Sleep(time.Second) // of the bubble's clock: nobody waits for it
		}
	})
	return s
}

// Up starts the server on what the one before has stored.
func (s *Server) Up() {
	s.t.Helper()
	srv, err := server.NewServer(&server.Options{JetStream: true, DontListen: true, NoSigs: true, NoLog: true, StoreDir: s.dir, JetStreamMaxStore: 1 << 40})
	if err != nil {
		s.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		s.t.Fatal("server does not start")
	}
	s.current.Store(srv)
}

// Down cuts all connections, stops the server and waits for its end.
//
// A server that stops sleeps while it holds a lock, and a request that waits for
// the lock then would keep a bubble's time from passing: so nobody may ask any
// more.
func (s *Server) Down() {
	srv := s.current.Swap(nil)
	if srv == nil {
		return
	}
	conns, err := srv.Connz(&server.ConnzOptions{Limit: 1 << 20})
	if err != nil {
		s.t.Error(err)
		conns = new(server.Connz)
	}
	for _, c := range conns.Conns {
		_ = srv.DisconnectClientByID(c.Cid) // fails when it has just gone
	}
	time.Sleep(time.Millisecond) // in a bubble: until all that was asked is answered
	srv.Shutdown()
	srv.WaitForShutdown()
}

// InProcessConn connects to whichever server runs now.
func (s *Server) InProcessConn() (net.Conn, error) {
	if srv := s.current.Load(); srv != nil {
		return srv.InProcessConn()
	}
	return nil, server.ErrServerNotRunning
}

// Connect opens a connection; the test's end closes it.
func (s *Server) Connect(options ...nats.Option) *nats.Conn {
	s.t.Helper()
	options = append([]nats.Option{
		nats.InProcessServer(s), nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond),
	}, options...)
	nc, err := nats.Connect("", options...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}
