package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// River is riverqueue/river on PostgreSQL.
//
// Jobs are inserted with ScheduledAt by InsertManyFast, its fastest way (COPY),
// batch by batch. Every five seconds, which no public setting changes, River's
// leader makes available what is due within the next five; so a job is punctual
// if it is there so long before its time, which riverAhead sees to, and fetched
// at the next poll.
//
// Set are FetchCooldown, FetchPollInterval, MaxWorkers and the size of a batch,
// all as River's own benchmark (cmd/river/riverbench) has them.
type River struct {
	// Commit is PostgreSQL's synchronous_commit: "on", which is its default, or
	// "off".
	Commit string
}

const (
	riverCooldown = 2 * time.Millisecond
	riverPoll     = 20 * time.Millisecond
	riverWorkers  = 2000
	riverBatch    = 5000
	// riverAhead is how long before their time jobs must be there to be punctual:
	// the leader's interval, with some room for what it does then.
	riverAhead = 6 * time.Second
)

// Serve starts PostgreSQL and makes River's tables.
func (c River) Serve(ctx context.Context, at Site) (*Process, error) {
	p, err := servePostgres(ctx, at, c.Commit)
	if err != nil {
		return nil, err
	}
	return p, withPool(ctx, at, func(pool *pgxpool.Pool) error {
		m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: warnings()})
		if err != nil {
			return err
		}
		_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err
	})
}

func withPool(ctx context.Context, at Site, do func(*pgxpool.Pool) error) error {
	pool, err := pgxpool.New(ctx, postgresURL(at))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer pool.Close()
	return do(pool)
}

// riverArgs are a job's arguments.
type riverArgs struct {
	Payload string `json:"payload"`
}

// Kind is how River calls the jobs.
func (riverArgs) Kind() string { return "bench" }

// Work runs a River client with workers; being alone it is the leader, too.
func (River) Work(ctx context.Context, at Site, handle Handle) error {
	return withPool(ctx, at, func(pool *pgxpool.Pool) error {
		all := river.NewWorkers()
		river.AddWorker(all, river.WorkFunc(func(_ context.Context, j *river.Job[riverArgs]) error {
			handle(j.Args.Payload)
			return nil
		}))
		client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
			FetchCooldown:     riverCooldown,
			FetchPollInterval: riverPoll,
			Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: riverWorkers}},
			Workers:           all,
			Logger:            warnings(),
		})
		if err != nil {
			return fmt.Errorf("new River client: %w", err)
		}
		if err := client.Start(ctx); err != nil {
			return fmt.Errorf("start River: %w", err)
		}
		<-client.Stopped()
		return nil
	})
}

// Open connects a client that only inserts.
func (River) Open(ctx context.Context, at Site) (Client, error) {
	pool, err := pgxpool.New(ctx, postgresURL(at))
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	c, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: warnings()})
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("new River client: %w", err)
	}
	return riverClient{pool, c}, nil
}

type riverClient struct {
	pool *pgxpool.Pool
	jobs *river.Client[pgx.Tx]
}

// Create inserts the jobs, a batch after the other.
func (c riverClient) Create(ctx context.Context, b Batch) error {
	for from := 0; from < b.N; from += riverBatch {
		params := make([]river.InsertManyParams, 0, riverBatch)
		for i := from; i < min(from+riverBatch, b.N); i++ {
			params = append(params, river.InsertManyParams{
				Args:       riverArgs{b.Payload(i)},
				InsertOpts: &river.InsertOpts{ScheduledAt: b.At(i)},
			})
		}
		if _, err := c.jobs.InsertManyFast(ctx, params); err != nil {
			return fmt.Errorf("insert jobs: %w", err)
		}
	}
	return nil
}

// Pending counts the rows that are not final.
func (c riverClient) Pending(ctx context.Context) (n int, err error) {
	const query = `SELECT count(*) FROM river_job WHERE state IN ('available', 'running', 'retryable', 'scheduled', 'pending')`
	if err := c.pool.QueryRow(ctx, query).Scan(&n); err != nil {
		return 0, fmt.Errorf("count jobs: %w", err)
	}
	return n, nil
}

func (c riverClient) Close() { c.pool.Close() }
