// Package connect makes the connections to NATS of every binary, as the
// configuration says.
package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/bellhop-run/bellhop/cmd/internal/config"
	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"
)

// Options of a connection.
type Options struct {
	// Name is what the server shows of it (nats server report connections), and
	// part of the subjects on which its replies come: one token.
	Name string
	// Server is an embedded server to connect to within the process, in place
	// of any that the configuration names.
	Server nats.InProcessConnProvider
	// Unbuffered makes a publish fail while there is no connection, where it
	// would otherwise be kept and sent later. A scheduler needs that: what it
	// published under an old leadership must never be sent again.
	Unbuffered bool
	// Timeout bounds one attempt to connect; 0 means 5 s.
	Timeout time.Duration
	// Logger is told when the connection comes and goes, and of errors that
	// have no caller.
	Logger *slog.Logger
}

// Dial connects, trying each server once. The connection that it gives
// reconnects for ever by itself.
func Dial(n config.NATS, o Options) (*nats.Conn, error) {
	opts := append(lasting(o), handlers(o.Logger)...)
	if o.Server != nil {
		return nats.Connect("", append(opts, nats.InProcessServer(o.Server))...)
	}
	if n.Context != "" {
		nc, _, err := natscontext.Connect(n.Context, opts...)
		if err != nil && !passing(err) {
			return nil, &config.Error{Variable: "BELLHOP_NATS_CONTEXT", Value: n.Context, Want: err.Error()}
		}
		return nc, err
	}
	identity, err := credentials(n)
	if err != nil {
		return nil, err
	}
	nc, err := nats.Connect(n.Servers(), append(opts, identity...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", n, err)
	}
	return nc, nil
}

// Wait connects as Dial does, but tries again, once a second, until a server is
// there or ctx is done. It says what it waits for. A refusal that waiting does
// not mend (a wrong password, a missing file) is returned at once.
func Wait(ctx context.Context, n config.NATS, o Options) (*nats.Conn, error) {
	const repeatAfter = 30 // attempts: the same line twice a minute is enough
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last := ""
	for attempt := 0; ; attempt++ {
		nc, err := Dial(n, o)
		if err == nil || !passing(err) {
			return nc, err
		}
		if attempt%repeatAfter == 0 || err.Error() != last {
			last = err.Error()
			o.Logger.Warn("waiting for NATS", "server", n.String(), "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to NATS at %s: %w (last error: %w)", n, ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

// passing says whether the server may yet come: it was not there, or went away
// in the middle.
func passing(err error) bool {
	if errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, io.EOF) {
		return true
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}

// lasting gives the settings of a connection that outlives its server.
func lasting(o Options) []nats.Option {
	opts := []nats.Option{
		nats.Name(o.Name),
		// Replies come where no other role may listen: see docker/permissions.conf.
		nats.CustomInboxPrefix("_INBOX." + o.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.ReconnectJitter(500*time.Millisecond, time.Second),
		// Credentials that expired can be renewed in their file; a connection
		// that gave up on them would need somebody to restart the process.
		nats.IgnoreAuthErrorAbort(),
		// A connection that died without a word is noticed after three of these;
		// the default would be six minutes.
		nats.PingInterval(5 * time.Second),
		nats.Timeout(cmp.Or(o.Timeout, 5*time.Second)),
	}
	if o.Unbuffered {
		opts = append(opts, nats.ReconnectBufSize(-1))
	}
	return opts
}

// handlers log what has no caller to return to.
func handlers(log *slog.Logger) []nats.Option {
	last := "" // the client calls its handlers one at a time
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // none is a connection that was closed on purpose
				last = ""
				log.Warn("disconnected from NATS", "error", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil && err.Error() != last {
				last = err.Error()
				log.Warn("cannot reconnect to NATS yet", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("reconnected to NATS", "server", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if sub != nil {
				log.Error("NATS reports an error", "subject", sub.Subject, "error", err)
				return
			}
			log.Error("NATS reports an error", "error", err)
		}),
	}
}
