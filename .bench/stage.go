package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// stage is one entrant, up and running.
type stage struct {
	entrant   Entrant
	at        Site
	server    *Process
	scheduler *Process
	worker    *worker
	client    Client
	next      int     // the next job's number
	speed     float64 // of creating, jobs a second, as it was last
	slack     float64 // how many times longer than that creating may take
}

// patience is how long nothing may come before the rest counts as lost, and
// patienceKilled the same after the server was killed: River elects a leader
// first, and Bellhop opens its log again.
const (
	patience       = 20 * time.Second
	patienceKilled = 10 * time.Second
)

// firstSpeed is the speed that is reckoned with before anything was created.
const firstSpeed = 1000

// raise starts whatever the entrant has, in a directory of its own.
func raise(ctx context.Context, e Entrant, slack float64) (_ *stage, err error) {
	s := &stage{entrant: e, speed: firstSpeed, slack: slack}
	if s.at.Dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.strike()
		}
	}()
	if err := os.Chmod(s.at.Dir, 0o755); err != nil { // PostgreSQL runs as somebody else
		return nil, err
	}
	if s.at.Port, err = freePort(ctx); err != nil {
		return nil, err
	}
	if s.server, err = e.Serve(ctx, s.at); err != nil {
		return nil, err
	}
	if _, ok := e.Contender.(Scheduler); ok {
		if s.scheduler, err = startSelf(ctx, s.at, roleScheduler, e.Name); err != nil {
			return nil, err
		}
	}
	if s.worker, err = startWorker(ctx, e, s.at); err != nil {
		return nil, err
	}
	s.client, err = e.Open(ctx, s.at)
	return s, err
}

// strike ends all of it, and removes what it has stored.
func (s *stage) strike() {
	if s.client != nil {
		s.client.Close()
	}
	if s.worker != nil {
		s.worker.Stop()
	}
	s.scheduler.Stop()
	s.server.Stop()
	_ = os.RemoveAll(s.at.Dir) // it is temporary
}

// act is what one batch has come to.
type act struct {
	batch    Batch
	creating time.Duration
	arrivals arrivals
	ended    time.Time // when the last one was seen to be acknowledged
}

// errOverrun means that the jobs were not all there in good time before they
// were due.
var errOverrun = errors.New("creating the jobs took too long")

// play has a batch created, so long ahead of its time, and worked. It is due on a
// whole second, for that is the finest that asynq knows, as soon as creating it
// allows.
func (s *stage) play(ctx context.Context, n int, step, ahead time.Duration) (act, error) {
	lead := time.Duration(s.slack*float64(n)/s.speed*float64(time.Second)) + ahead
	a := act{batch: s.batch(n, step, lead)}
	if err := s.worker.tell(order{First: a.batch.First, N: n, Due: a.batch.Due, Patience: patience}, new(bool)); err != nil {
		return a, err
	}
	began := time.Now()
	err := s.client.Create(ctx, a.batch)
	a.creating = time.Since(began)
	if time.Until(a.batch.Due) < ahead {
		return a, errors.Join(errOverrun, err)
	}
	if err != nil {
		return a, fmt.Errorf("create: %w", err)
	}
	s.speed = float64(n) / a.creating.Seconds()
	if err := s.worker.hear(new(bool)); err != nil {
		return a, err
	}
	if err := s.settle(ctx); err != nil {
		return a, err
	}
	a.ended = time.Now()
	return a, s.worker.tell(order{Report: true}, &a.arrivals)
}

// batch plans n new jobs, the first of them due at a whole second after the lead
// and a little.
func (s *stage) batch(n int, step, lead time.Duration) Batch {
	b := Batch{First: s.next, N: n, Step: step, Due: time.Now().Add(lead + 1300*time.Millisecond).Truncate(time.Second)}
	s.next += n
	return b
}

// settle waits until everything is acknowledged.
func (s *stage) settle(ctx context.Context) error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		n, err := s.client.Pending(ctx)
		if err != nil {
			return fmt.Errorf("count what is pending: %w", err)
		}
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil // what is lost is counted by the worker
}

// survive has n jobs accepted, kills the server, starts it again and counts how
// many come.
func (s *stage) survive(ctx context.Context, n int) (kept int, err error) {
	b := s.batch(n, 0, 2*time.Second+s.entrant.Ahead) // time for the server to start
	if err := s.worker.tell(order{First: b.First, N: n, Due: b.Due, Patience: patienceKilled}, new(bool)); err != nil {
		return 0, err
	}
	if err := s.client.Create(ctx, b); err != nil {
		return 0, fmt.Errorf("create: %w", err)
	}
	s.server.Kill()
	if s.server, err = s.entrant.Serve(ctx, s.at); err != nil {
		return 0, fmt.Errorf("start the server again: %w", err)
	}
	var a arrivals
	if err := s.worker.hear(new(bool)); err != nil {
		return 0, err
	}
	if err := s.worker.tell(order{Report: true}, &a); err != nil {
		return 0, err
	}
	return n - a.lost(), nil
}
