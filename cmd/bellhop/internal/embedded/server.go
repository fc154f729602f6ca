// Package embedded runs a NATS server inside the process, with its store in a
// directory that only one process at a time can have.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/nats-io/nats-server/v2/server"
)

// Server is a running NATS server and the lock on its directory.
type Server struct {
	nats *server.Server
	lock *os.File
	dir  string
}

// Start runs a server as c says (Data, Sync, NATS.Addr) and returns once
// it takes connections.
func Start(ctx context.Context, c config.Config, log *slog.Logger) (*Server, error) {
	opts, err := options(c)
	if err != nil {
		return nil, err
	}
	if err := free(ctx, c.NATS.Addr); err != nil {
		return nil, err
	}
	lock, err := lockDir(c.Data)
	if err != nil {
		return nil, err
	}
	s := &Server{lock: lock, dir: opts.StoreDir}
	if err := s.start(ctx, opts, log); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// options are those of a server that keeps what it has acknowledged.
func options(c config.Config) (*server.Options, error) {
	host, text, err := net.SplitHostPort(c.NATS.Addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	if port == 0 {
		port = server.RANDOM_PORT // zero means 4222 to the server
	}
	dir, err := filepath.Abs(c.Data)
	if err != nil {
		return nil, err
	}
	return &server.Options{
		ServerName: "bellhop",
		Host:       host,
		Port:       port,
		JetStream:  true,
		// The server puts its files in "jetstream" below.
		StoreDir: dir,
		// Only a bound for what streams reserve, which by default is what is free
		// on the disk: a small one must not keep everything from starting.
		JetStreamMaxStore: 1 << 40,
		SyncAlways:        c.Sync == 0,
		SyncInterval:      time.Duration(c.Sync),
		NoSigs:            true, // signals are the process's own business
		// A client that does not read is cut off after this, as by default.
		WriteDeadline:          10 * time.Second,
		DisableJetStreamBanner: true,
	}, nil
}

// start runs the server until it is ready, has given up, or ctx is done.
func (s *Server) start(ctx context.Context, opts *server.Options, log *slog.Logger) error {
	nats, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("make NATS server: %w", err)
	}
	s.nats = nats
	failed := make(chan string, 1)
	nats.SetLoggerV2(logger{log, failed}, false, false, false)
	nats.Start()
	const look = 100 * time.Millisecond
	for !nats.ReadyForConnections(look) {
		select {
		case reason := <-failed:
			return fmt.Errorf("start NATS server on %s: %s", s.dir, reason)
		case <-ctx.Done():
			return fmt.Errorf("start NATS server on %s: %w", s.dir, ctx.Err())
		default: // a big store takes its time
		}
	}
	return nil
}

// Stop ends the server, waits until its files are closed, and frees the
// directory.
func (s *Server) Stop() error {
	if s.nats != nil {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
	}
	if err := s.lock.Close(); err != nil { // which unlocks it
		return fmt.Errorf("unlock %s: %w", s.dir, err)
	}
	return nil
}

// InProcessConn makes a connection without a network.
func (s *Server) InProcessConn() (net.Conn, error) { return s.nats.InProcessConn() }

// URL is where others connect.
func (s *Server) URL() string { return s.nats.ClientURL() }

// Dir is the absolute path of the directory.
func (s *Server) Dir() string { return s.dir }

// free says whether an address can be listened on; the server itself would
// say why not only in its log.
func free(ctx context.Context, addr string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err == nil {
		return l.Close()
	}
	want := "cannot listen there: " + err.Error()
	if errors.Is(err, syscall.EADDRINUSE) {
		want = "somebody else listens there; name another address, or set BELLHOP_NATS_URL to use the server that does"
	}
	return &config.Error{Variable: "BELLHOP_NATS_ADDR", Value: addr, Want: want}
}

// logger gives what the server says to slog. Its notices are for those who run
// a server, not for those who embed one.
type logger struct {
	log    *slog.Logger
	failed chan<- string
}

// Fatalf is how the server says that it will never be ready.
func (l logger) Fatalf(format string, v ...any) {
	select {
	case l.failed <- fmt.Sprintf(format, v...):
	default:
	}
}

func (l logger) Errorf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l logger) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l logger) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l logger) Debugf(string, ...any)           {}
func (l logger) Tracef(string, ...any)           {}

func (l logger) say(level slog.Level, format string, v []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "NATS server", "text", strings.TrimSpace(fmt.Sprintf(format, v...)))
	}
}
