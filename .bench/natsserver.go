package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// serveNATS starts a NATS server with JetStream: this program again, which links
// it. Bellhop and the message schedules have the very same.
func serveNATS(ctx context.Context, at Site, sync time.Duration) (*Process, error) {
	p, err := startSelf(ctx, at, roleNATS, sync.String())
	if err != nil {
		return nil, err
	}
	return p, p.awaitAnswer(ctx, func(ctx context.Context) error {
		nc, err := nats.Connect("nats://"+at.Addr(), nats.Timeout(time.Second))
		if err != nil {
			return err
		}
		defer nc.Close()
		return nc.FlushWithContext(ctx)
	})
}

// beNATS is that server, until its standard input ends.
func beNATS(at Site, sync string) error {
	every, err := time.ParseDuration(sync)
	if err != nil {
		return err
	}
	o := &server.Options{
		ServerName: "bench", Host: "127.0.0.1", Port: at.Port, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: at.Path("nats"), JetStreamMaxStore: 1 << 40,
		SyncAlways: every == 0, SyncInterval: every,
	}
	s, err := server.NewServer(o)
	if err != nil {
		return fmt.Errorf("new NATS server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(readyWithin) {
		return errors.New("the NATS server does not start")
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	return err
}

// connectNATS connects for good: it waits for a server that is not there yet, or
// has gone.
func connectNATS(at Site, more ...nats.Option) (*nats.Conn, error) {
	o := append([]nats.Option{
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectJitter(0, 0),
	}, more...)
	nc, err := nats.Connect("nats://"+at.Addr(), o...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return nc, nil
}

// freePort gives a port that nobody listened on a moment ago.
func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close() //nolint:errcheck // nobody has connected
	return l.Addr().(*net.TCPAddr).Port, nil
}
