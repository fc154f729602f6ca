package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Contender is one way to have jobs run at their time.
type Contender interface {
	// Serve starts the server on what the site's directory holds, and returns
	// when it answers. nil means that there is no server.
	Serve(ctx context.Context, at Site) (*Process, error)
	// Open connects somebody who creates jobs.
	Open(ctx context.Context, at Site) (Client, error)
	// Work handles jobs until ctx ends. It runs in a process of its own.
	Work(ctx context.Context, at Site, handle Handle) error
}

// Scheduler is a Contender that has one more process.
type Scheduler interface {
	// Schedule runs in that process, until ctx ends.
	Schedule(ctx context.Context, at Site) error
}

// Client creates jobs.
type Client interface {
	// Create returns when all jobs of the batch are accepted.
	Create(ctx context.Context, b Batch) error
	// Pending counts what was handed to a worker, or could be, and is not
	// acknowledged.
	Pending(ctx context.Context) (int, error)
	// Close gives the connections back.
	Close()
}

// Handle is given the payload of each job that comes.
type Handle func(payload string)

// Site is where a contender lives while it is measured: its own.
type Site struct {
	Dir  string
	Port int
}

// Addr is the address on which the server listens.
func (s Site) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Path is a file in the site's directory.
func (s Site) Path(name string) string { return filepath.Join(s.Dir, name) }

// Batch are jobs that are created together: N of them, numbered from First, due
// at Due and then each so much later than the one before.
type Batch struct {
	First, N int
	Due      time.Time
	Step     time.Duration
}

// payloadLen is how many bytes a job carries.
const payloadLen = 128

// At is when the batch's job i is due, from 0, in whole milliseconds, which is
// the finest that Bellhop knows.
func (b Batch) At(i int) time.Time {
	return b.Due.Add(time.Duration(i) * b.Step).Truncate(time.Millisecond)
}

// Payload is what job i carries: its number, in payloadLen bytes.
func (b Batch) Payload(i int) string { return fmt.Sprintf("%-*d", payloadLen, b.First+i) }

// numberOf reads what Payload has written.
func numberOf(payload string) (int, error) {
	n, err := strconv.Atoi(strings.TrimRight(payload, " "))
	if err != nil {
		return 0, fmt.Errorf("read payload: %w", err)
	}
	return n, nil
}

// each calls do for the numbers below n, so many at a time, and returns the
// first error.
func each(ctx context.Context, n, parallel int, do func(ctx context.Context, i int) error) error {
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range min(n, parallel) {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
