package workers_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
)

// darkness is a way to the server on which, once it is dark, nothing comes through
// and nobody is told.
type darkness struct {
	nats.InProcessConnProvider
	dark chan struct{}
}

func (d *darkness) InProcessConn() (net.Conn, error) {
	c, err := d.InProcessConnProvider.InProcessConn()
	select {
	case <-d.dark: // who connects anew comes through
		return c, err
	default:
		return &darkConn{c, d.dark}, err
	}
}

type darkConn struct {
	net.Conn
	dark chan struct{}
}

func (c *darkConn) Write(b []byte) (int, error) {
	select {
	case <-c.dark:
		return len(b), nil
	default:
		return c.Conn.Write(b)
	}
}

// A worker whose way to NATS has gone dark gives up before anybody else begins.
func TestOverlapInTheDark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		floor := newDancefloor(t, 1)
		d := &darkness{h.s, make(chan struct{})}
		ended := make(chan error, 1)
		h.workerOn(h.s.Connect(nats.InProcessServer(d)), workers.Options{}, func(w *workers.Worker) {
			w.HandleWith("s", workers.ServiceFunc(func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
				defer floor.enter(t.Job, t.Run)()
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return nil, ctx.Err()
			}), workers.ServiceOptions{Timeout: time.Hour})
		})
		h.rung("j", "first", "queue")
		time.Sleep(time.Minute)
		close(d.dark)
		onRun, done := watch()
		h.crew(1, workers.Options{OnRun: onRun}, workers.ServiceOptions{}, func(_ context.Context, t *workers.Trigger) ([]byte, error) {
			defer floor.enter(t.Job, t.Run)()
			return nil, nil
		})
		same(t, "ends", ends(take(t, done, 1)), []string{"first ok"})
		if err := <-ended; !errors.Is(err, workers.ErrLeaseLost) {
			t.Errorf("ended with %v", err)
		}
		time.Sleep(time.Hour) // until it has noticed
	})
}

// Whatever happens to workers and to NATS, the runs of a job do not overlap, each
// comes to an end, and those of a queue begin in their order.
func TestOverlapUnderTrouble(t *testing.T) {
	for _, overlap := range []string{"skip", "queue", "replace"} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprint(overlap, " ", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { overlapUnderTrouble(t, overlap, rand.New(rand.NewPCG(seed, 1))) })
			})
		}
	}
}

func overlapUnderTrouble(t *testing.T, overlap string, chance *rand.Rand) {
	h := newHouse(t)
	floor := newDancefloor(t, 1)
	onRun, done := watch()
	var mu sync.Mutex // of chance
	upTo := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return chance.IntN(n)
	}
	serve := func(ctx context.Context, t *workers.Trigger) ([]byte, error) {
		defer floor.enter(t.Job, t.Job+" "+t.Run)()
		select {
		case <-time.After(time.Duration(upTo(20_000)) * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if upTo(5) == 0 {
			return nil, errors.New("bad luck")
		}
		return nil, nil
	}
	start := func() *nats.Conn {
		return h.crew(1, workers.Options{OnRun: onRun, DrainTimeout: -1}, workers.ServiceOptions{}, serve)[0]
	}
	crew := []*nats.Conn{start(), start(), start()}
	const n = 40
	for i := range n {
		h.rung(fmt.Sprint("job", i%2), fmt.Sprintf("%02d", i), overlap)
		time.Sleep(time.Duration(upTo(15_000)) * time.Millisecond)
		switch at := upTo(len(crew)); upTo(8) {
		case 0:
			crew[at].Close()
			crew[at] = start()
		case 1:
			h.s.Down()
			time.Sleep(time.Duration(upTo(40_000)) * time.Millisecond)
			h.s.Up()
			time.Sleep(3 * time.Second) // until all are connected
		}
	}
	ended := map[string]bool{}
	for len(ended) < n {
		if r := take(t, done, 1)[0]; r.Outcome != "failed" && r.Outcome != "timeout" {
			ended[r.Run] = true
		}
	}
	if overlap != "queue" {
		return
	}
	latest := map[string]string{}
	for _, entered := range floor.runs() {
		job, run, _ := strings.Cut(entered, " ")
		if run < latest[job] {
			t.Errorf("%s begins after %s", run, latest[job])
		}
		latest[job] = run
	}
}
