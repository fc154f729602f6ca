package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Orders go to the worker's standard input and answers come from its standard
// output, as lines of JSON: expect, which is answered when all have come or none
// comes any more, then report.

// Order is what the worker is told.
type order struct {
	// Report asks for what has come of what was expected last; else N jobs from
	// First are to be expected, and given up Patience after Due and after the
	// last that came.
	Report   bool
	First, N int
	Due      time.Time
	Patience time.Duration
}

// Arrivals are what has come of a batch.
type arrivals struct {
	// Times are when each job came first, in Unix nanoseconds; 0 if it has not.
	Times []int64
	// Again is how many came more than once, with each time.
	Again int
}

// ledger notes when jobs come.
type ledger struct {
	mu       sync.Mutex
	first    int
	times    []int64
	came     int
	again    int
	strange  int // of no batch that is expected
	last     time.Time
	complete chan struct{}
}

func newLedger() *ledger { return &ledger{complete: make(chan struct{})} }

// handle is the Handle of every contender.
func (l *ledger) handle(payload string) {
	now := time.Now()
	n, err := numberOf(payload)
	l.mu.Lock()
	defer l.mu.Unlock()
	i := n - l.first
	switch {
	case err != nil || i < 0 || i >= len(l.times):
		l.strange++
	case l.times[i] != 0:
		l.again++
	default:
		l.times[i], l.last = now.UnixNano(), now
		if l.came++; l.came == len(l.times) {
			close(l.complete)
		}
	}
}

func (l *ledger) expect(o order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first, l.times, l.came, l.again, l.last, l.complete = o.First, make([]int64, o.N), 0, 0, o.Due, make(chan struct{})
}

// wait returns when all have come, or none has come for so long.
func (l *ledger) wait(patience time.Duration) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-l.complete:
			return
		case <-tick.C:
			l.mu.Lock()
			silent := time.Since(l.last)
			l.mu.Unlock()
			if silent > patience {
				return
			}
		}
	}
}

func (l *ledger) arrivals() arrivals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return arrivals{Times: l.times, Again: l.again}
}

// beWorker is the worker process.
func beWorker(e Entrant, at Site) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := newLedger()
	worked := make(chan error, 1)
	go func() { worked <- e.Work(ctx, at, l.handle) }()
	obeyed := make(chan error, 1)
	go func() { obeyed <- l.obey(os.Stdin, os.Stdout) }()
	select {
	case err := <-worked:
		return fmt.Errorf("%s does not work: %w", e.Name, err)
	case err := <-obeyed:
		return err // nobody is interested any more: no farewell
	}
}

// obey carries out the orders.
func (l *ledger) obey(in io.Reader, out io.Writer) error {
	orders, answers := json.NewDecoder(bufio.NewReader(in)), json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		if o.Report {
			if err := answers.Encode(l.arrivals()); err != nil {
				return fmt.Errorf("answer: %w", err)
			}
			continue
		}
		l.expect(o)
		if err := answers.Encode(true); err != nil { // expected
			return fmt.Errorf("answer: %w", err)
		}
		l.wait(o.Patience)
		if err := answers.Encode(true); err != nil { // over
			return fmt.Errorf("answer: %w", err)
		}
	}
}

// Worker is the worker process as the one who measures sees it.
type worker struct {
	*Process
	orders  *json.Encoder
	answers *json.Decoder
}

func startWorker(ctx context.Context, e Entrant, at Site) (*worker, error) {
	cmd, err := selfCommand(ctx, at, roleWorker, e.Name)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close() //nolint:errcheck // the child has its own
	cmd.Stdout = w
	p, err := start(at, roleWorker, cmd)
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return &worker{p, json.NewEncoder(p.in), json.NewDecoder(bufio.NewReader(r))}, nil
}

// tell gives an order and waits for the answer.
func (w *worker) tell(o order, answer any) error {
	if err := w.orders.Encode(o); err != nil {
		return fmt.Errorf("tell the worker: %w: %s", err, w.said())
	}
	return w.hear(answer)
}

func (w *worker) hear(answer any) error {
	if err := w.answers.Decode(answer); err != nil {
		return fmt.Errorf("ask the worker: %w: %s", err, w.said())
	}
	return nil
}
