package main

import (
	"context"
	"fmt"
	"net"
	"net/rpc"
	"sync/atomic"

	"github.com/go-co-op/gocron/v2"
)

// Gocron is go-co-op/gocron: timers in the process that does the work. There is
// no server, and nothing is stored: what was to be done is gone with the process.
//
// The worker is the scheduler, so whoever creates jobs asks it to over a socket,
// once for a batch; it makes one OneTimeJob for each. It is started with default
// options.
type Gocron struct{}

const (
	gocronSocket   = "gocron.sock"
	gocronCreators = 8
)

// Serve has nothing to start.
func (Gocron) Serve(context.Context, Site) (*Process, error) { return nil, nil }

// Work runs the scheduler, and makes the jobs that it is asked for.
func (Gocron) Work(ctx context.Context, at Site, handle Handle) error {
	s, err := gocron.NewScheduler()
	if err != nil {
		return fmt.Errorf("new gocron: %w", err)
	}
	s.Start()
	l, err := new(net.ListenConfig).Listen(ctx, "unix", at.Path(gocronSocket))
	if err != nil {
		return fmt.Errorf("listen for jobs: %w", err)
	}
	front := rpc.NewServer()
	if err := front.RegisterName("Gocron", &gocronService{ctx: ctx, jobs: s, handle: handle}); err != nil {
		return err
	}
	go front.Accept(l) // until the listener is closed
	<-ctx.Done()
	_ = l.Close() // we leave in any case
	return s.Shutdown()
}

// gocronService is what can be asked over the socket.
type gocronService struct {
	ctx     context.Context // net/rpc's methods have none
	jobs    gocron.Scheduler
	handle  Handle
	pending atomic.Int64
}

// Create makes the jobs.
func (g *gocronService) Create(b Batch, _ *struct{}) error {
	g.pending.Add(int64(b.N))
	return each(g.ctx, b.N, gocronCreators, func(_ context.Context, i int) error {
		_, err := g.jobs.NewJob(
			gocron.OneTimeJob(gocron.OneTimeJobStartDateTime(b.At(i))),
			gocron.NewTask(func(payload string) {
				g.handle(payload)
				g.pending.Add(-1)
			}, b.Payload(i)),
		)
		return err
	})
}

// Pending tells how many have not returned.
func (g *gocronService) Pending(_ struct{}, n *int) error {
	*n = int(g.pending.Load())
	return nil
}

// Open connects to the socket, when the worker has it.
func (Gocron) Open(ctx context.Context, at Site) (c Client, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", at.Path(gocronSocket))
		if err == nil {
			c = gocronClient{rpc.NewClient(conn)}
		}
		return err
	})
	return c, err
}

type gocronClient struct{ rpc *rpc.Client }

// Create asks for the whole batch.
func (c gocronClient) Create(_ context.Context, b Batch) error {
	return c.rpc.Call("Gocron.Create", b, &struct{}{})
}

// Pending asks for their number.
func (c gocronClient) Pending(context.Context) (n int, err error) {
	err = c.rpc.Call("Gocron.Pending", struct{}{}, &n)
	return n, err
}

func (c gocronClient) Close() { _ = c.rpc.Close() } // nothing is buffered
