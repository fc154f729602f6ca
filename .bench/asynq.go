package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"time"

	"github.com/hibiken/asynq"
)

// Asynq is hibiken/asynq on Redis.
//
// Tasks are enqueued with ProcessAt, one by one, for it has no bulk call, from
// many goroutines on one client. A scheduled task waits in a sorted set under
// its second (ProcessAt's fraction is dropped, so a task can come up to a second
// before its time), from which the server's forwarder takes it.
//
// Set are, by their names in asynq.Config: DelayedTaskCheckInterval, which is 5 s
// by default, and TaskCheckInterval, 1 s, both far down, since they are what
// lateness is made of (the documentation warns of the load on Redis below that:
// a few hundred calls a second); and Concurrency, by default one for each core.
// 8, 64 and 256 were tried, and differed by no more than two runs of the same do:
// one goroutine dequeues, one task a round trip.
type Asynq struct {
	// Append is Redis's append-only file: "no", which is the default of Redis,
	// "everysec", the default of appendfsync, or "always".
	Append string
}

const (
	asynqCreators    = 64
	asynqConcurrency = 64
	asynqForward     = 10 * time.Millisecond
	asynqCheck       = 5 * time.Millisecond
	asynqTask        = "bench"
	asynqQueue       = "default"
)

// Serve starts redis-server, with its own defaults but for the append-only file.
// Snapshots stay as they are by default.
func (c Asynq) Serve(ctx context.Context, at Site) (*Process, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, missing("redis-server", "redis-server")
	}
	args := []string{"--bind", "127.0.0.1", "--port", fmt.Sprint(at.Port), "--dir", at.Dir}
	if c.Append == "no" {
		args = append(args, "--appendonly", "no")
	} else {
		args = append(args, "--appendonly", "yes", "--appendfsync", c.Append)
	}
	p, err := start(at, "redis", exec.CommandContext(ctx, path, args...))
	if err != nil {
		return nil, err
	}
	return p, p.awaitAnswer(ctx, func(ctx context.Context) error { return pingRedis(ctx, at) })
}

// pingRedis tells whether Redis has loaded what it has.
func pingRedis(ctx context.Context, at Site) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.Addr())
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was written that matters
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	if err == nil && string(answer[:n]) != "+PONG\r\n" {
		err = fmt.Errorf("it answers %q", answer[:n])
	}
	return err
}

func (Asynq) redis(at Site) asynq.RedisClientOpt { return asynq.RedisClientOpt{Addr: at.Addr()} }

// Work runs an asynq server.
func (c Asynq) Work(ctx context.Context, at Site, handle Handle) error {
	s := asynq.NewServer(c.redis(at), asynq.Config{
		Concurrency:              asynqConcurrency,
		DelayedTaskCheckInterval: asynqForward,
		TaskCheckInterval:        asynqCheck,
		LogLevel:                 asynq.ErrorLevel,
	})
	err := s.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		handle(string(t.Payload()))
		return nil
	}))
	if err != nil {
		return fmt.Errorf("start asynq: %w", err)
	}
	<-ctx.Done()
	s.Shutdown()
	return nil
}

// Open connects to Redis.
func (c Asynq) Open(_ context.Context, at Site) (Client, error) {
	return asynqClient{asynq.NewClient(c.redis(at)), asynq.NewInspector(c.redis(at))}, nil
}

type asynqClient struct {
	tasks *asynq.Client
	look  *asynq.Inspector
}

// Create enqueues one task after the other, from many goroutines.
func (c asynqClient) Create(ctx context.Context, b Batch) error {
	return each(ctx, b.N, asynqCreators, func(ctx context.Context, i int) error {
		_, err := c.tasks.EnqueueContext(ctx, asynq.NewTask(asynqTask, []byte(b.Payload(i))), asynq.ProcessAt(b.At(i)))
		return err
	})
}

// Pending asks for the queue's sizes.
func (c asynqClient) Pending(context.Context) (int, error) {
	q, err := c.look.GetQueueInfo(asynqQueue)
	if err != nil {
		return 0, fmt.Errorf("inspect queue: %w", err)
	}
	return q.Size, nil
}

func (c asynqClient) Close() {
	_, _ = c.tasks.Close(), c.look.Close() // nothing is buffered
}
