package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bellhop is what the others are compared with: a NATS server, a scheduler and a
// worker, each a process.
//
// Jobs are one-time jobs, created through the management API in atomic batches, each
// confirmed by the log. Every run leaves its record, and every job is marked as
// completed, as it is by default. Set is only the worker's concurrency, as
// BenchmarkRun in workers has it.
type Bellhop struct {
	// Sync is how often the server syncs to disk; 0 means before it
	// acknowledges.
	Sync time.Duration
}

const (
	bellhopService     = "bench"
	bellhopConcurrency = 64
)

// Serve starts a NATS server.
func (c Bellhop) Serve(ctx context.Context, at Site) (*Process, error) {
	return serveNATS(ctx, at, c.Sync)
}

// Schedule runs a scheduler with default options.
func (Bellhop) Schedule(ctx context.Context, at Site) error {
	nc, err := connectNATS(at, nats.ReconnectBufSize(-1))
	if err != nil {
		return err
	}
	defer nc.Close()
	s, err := scheduler.New(nc, scheduler.Options{Logger: warnings()})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// Work runs a worker.
func (Bellhop) Work(ctx context.Context, at Site, handle Handle) error {
	nc, err := connectNATS(at)
	if err != nil {
		return err
	}
	defer nc.Close()
	w := workers.New(nc, workers.Options{Concurrency: bellhopConcurrency, Logger: warnings()})
	w.HandleFunc(bellhopService, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
		handle(string(t.Payload))
		return nil, nil
	})
	return w.Run(ctx)
}

// warnings is the log of a child process.
func warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Open connects to the server.
func (Bellhop) Open(_ context.Context, at Site) (Client, error) {
	nc, err := connectNATS(at)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return bellhopClient{nc, js, scheduler.NewClient(nc, workers.DefaultNamespace)}, nil
}

type bellhopClient struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	jobs *scheduler.Client
}

// Create applies them as one batch, which the client splits.
func (c bellhopClient) Create(ctx context.Context, b Batch) error {
	jobs := make([]*scheduler.Job, b.N)
	for i := range jobs {
		jobs[i] = &scheduler.Job{
			Name:     fmt.Sprintf("job-%d", b.First+i),
			Service:  bellhopService,
			Schedule: scheduler.Schedule{At: b.At(i)},
			Payload:  scheduler.Text(b.Payload(i)),
		}
	}
	return c.jobs.ApplyAll(ctx, scheduler.Batch{Put: jobs}, nil)
}

// Pending asks what the service's consumer has not settled.
func (c bellhopClient) Pending(ctx context.Context) (int, error) {
	all, err := workers.Backlogs(ctx, c.js, workers.DefaultNamespace)
	b := all[bellhopService]
	return int(b.Triggers) + b.Running, err
}

func (c bellhopClient) Close() { c.nc.Close() }
