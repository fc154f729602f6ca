// Package session is what the commands share: the flags that say which Bellhop
// is meant, the connection to it, standard input and output, and what becomes of
// an error.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/bellhop-run/bellhop/cmd/internal/connect"
	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// dialTimeout bounds the attempt to connect: somebody waits at a terminal.
const dialTimeout = 2 * time.Second

// Flags are taken by every command.
type Flags struct {
	Server    string        `group:"Where" placeholder:"URL" help:"NATS server, in place of BELLHOP_NATS_URL."`
	Context   string        `group:"Where" placeholder:"NAME" help:"Context of the nats command, in place of BELLHOP_NATS_CONTEXT."`
	Namespace string        `group:"Where" placeholder:"NAME" help:"In place of BELLHOP_NAMESPACE."`
	Wait      time.Duration `group:"Where" default:"10s" help:"How long to wait for a scheduler that leads (${default})."`
}

// Session is one call of the command line.
type Session struct {
	Flags
	In       io.Reader
	Out, Err io.Writer

	denied atomic.Pointer[error] // the first refusal of a permission
}

// Config is what the environment and the flags say. httpAddr is as in
// config.Load.
func (s *Session) Config(httpAddr string) (config.Config, error) {
	c, err := config.Load(httpAddr)
	if err != nil {
		return c, err
	}
	return c.With(config.Override{Server: s.Server, Context: s.Flags.Context, Namespace: s.Namespace})
}

// Link is a connection to a Bellhop.
type Link struct {
	NC        *nats.Conn
	JS        jetstream.JetStream
	Namespace workers.Namespace
	// Jobs manages them; it waits for a leader as long as the flags say.
	Jobs *scheduler.Client

	cancel context.CancelFunc
}

// Connect connects. The context that it gives ends when the server refuses a
// permission: nothing else tells whoever waits for an answer.
func (s *Session) Connect(ctx context.Context) (context.Context, *Link, error) {
	c, err := s.Config("")
	if err != nil {
		return ctx, nil, err
	}
	nc, err := connect.Dial(c.NATS, connect.Options{Name: "bellhop", Timeout: dialTimeout, Logger: s.logger()})
	if err != nil {
		return ctx, nil, unreachable(c.NATS, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return ctx, nil, fmt.Errorf("use JetStream: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			s.denied.CompareAndSwap(nil, &err)
			cancel()
		}
	})
	jobs := scheduler.NewClient(nc, c.Namespace).With(scheduler.Terms{By: person(), Via: workers.ChannelCLI})
	jobs.Patience = max(s.Wait, time.Millisecond)
	return ctx, &Link{NC: nc, JS: js, Namespace: c.Namespace, Jobs: jobs, cancel: cancel}, nil
}

// person is who types, as far as the machine knows.
func person() string {
	host, _ := os.Hostname() // who, at least, is better than nothing
	if u, err := user.Current(); err == nil {
		return strings.TrimSuffix(u.Username+"@"+host, "@")
	}
	return host
}

// Denied is the first permission that the server has refused, if any.
func (s *Session) Denied() error {
	if err := s.denied.Load(); err != nil {
		return *err
	}
	return nil
}

// Close ends the connection.
func (l *Link) Close() {
	l.cancel()
	l.NC.Close()
}

func unreachable(n config.NATS, err error) error {
	if _, ok := errors.AsType[*config.Error](err); ok {
		return err
	}
	message := err.Error()
	if errors.Is(err, nats.ErrNoServers) {
		message = "nobody answers"
	}
	return &Failure{
		Code: ExitUnavailable,
		Err:  fmt.Errorf("cannot connect to NATS at %s: %s", n, strings.TrimPrefix(message, "nats: ")),
		Hint: "start one with bellhop up, or name another with --server, --context or BELLHOP_NATS_URL",
	}
}

// logger is for what a connection says of itself while a command goes on.
func (s *Session) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
