package workers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options of a Worker; zero fields mean the defaults.
type Options struct {
	// Namespace is whose services the worker runs.
	Namespace Namespace
	// Name is how records and logs call the worker: the host's name and a
	// random part.
	Name string
	// Concurrency is how many runs go on at the same time: 8, and one more for
	// each service beyond the first. With fewer than there are services, these
	// share them by turns.
	Concurrency int
	// AckWait is how long a worker may be silent before its triggers are given
	// to another: 30 s. Where a service is already known it stays as it was.
	AckWait time.Duration
	// DrainTimeout is how long a stopping worker lets runs finish: 20 s;
	// negative: not at all.
	DrainTimeout time.Duration
	// Timeout bounds an attempt whose policy does not: 5 min.
	Timeout time.Duration
	// Attempts is how often a run is tried when its policy does not say: 3.
	Attempts int
	// Backoff and MaxBackoff are the waits before the second attempt and before
	// the later ones at most, where the policy does not say: 1 s and 1 min.
	Backoff    time.Duration
	MaxBackoff time.Duration
	// Logger gets what a person should know, never a payload: slog.Default().
	Logger *slog.Logger
	// OnRun is called after each attempt, by the goroutine that ran it.
	OnRun func(Run)
}

func (o Options) withDefaults() Options {
	o.Namespace = o.Namespace.orDefault()
	if o.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "worker"
		}
		o.Name = host + "-" + rand.Text()[:4]
	}
	o.AckWait = max(cmp.Or(o.AckWait, 30*time.Second), time.Second)
	o.DrainTimeout = max(cmp.Or(o.DrainTimeout, 20*time.Second), 0)
	o.Timeout = min(max(cmp.Or(o.Timeout, 5*time.Minute), time.Millisecond), maxTimeout)
	o.Attempts = min(max(cmp.Or(o.Attempts, 3), 1), maxAttempts)
	o.Backoff = min(max(cmp.Or(o.Backoff, time.Second), time.Millisecond), maxBackoff)
	o.MaxBackoff = min(max(cmp.Or(o.MaxBackoff, time.Minute), o.Backoff), maxBackoff)
	if o.Logger == nil {
		o.Logger = slog.Default() //nolint:forbidigo // whoever writes a first service is to see its trouble
	}
	return o
}

// Worker runs services. Make it with New, name the services with Handle, then
// Run it, once. It is a prometheus.Collector of its own figures.
type Worker struct {
	*metrics

	nc       *nats.Conn
	js       jetstream.JetStream
	o        Options
	log      *slog.Logger
	services map[string]*handler
	around   []Middleware
	mistakes []error
	ran      atomic.Bool

	pool    *pool
	hands   *hands
	open    tally   // attempts that somebody still has to settle
	calls   held    // direct calls under way
	taken   []*held // … and all that lanes have
	orders  *orders
	called  atomic.Uint64
	records *recorder
	endings chan ending
	tried   state[try]
	leases  state[lease]
	lines   lines
}

// New makes a worker on a connection that stays the caller's to close. Connect
// with MaxReconnects(-1): what survives a restart of NATS is up to it.
func New(nc *nats.Conn, o Options) *Worker {
	o = o.withDefaults()
	w := &Worker{
		nc:       nc,
		o:        o,
		log:      o.Logger.With("worker", o.Name),
		services: make(map[string]*handler),
		endings:  make(chan ending, 256),
	}
	w.tried.w, w.leases.w, w.lines.w = w, w, w
	w.metrics = newMetrics(w)
	if err := o.Namespace.Check(); err != nil {
		w.mistakes = append(w.mistakes, err)
	}
	if o.Concurrency < 0 {
		w.mistakes = append(w.mistakes, fmt.Errorf("concurrency %d is below zero", o.Concurrency))
	}
	return w
}

// Handle has a service run by s. A mistake in it (a bad name, one used twice)
// is reported by Run.
func (w *Worker) Handle(service string, s Service) {
	w.HandleWith(service, s, ServiceOptions{})
}

// HandleWith is Handle with options of the service's own.
func (w *Worker) HandleWith(service string, s Service, o ServiceOptions) {
	switch err := CheckService(service); {
	case err != nil:
		w.mistakes = append(w.mistakes, err)
	case s == nil:
		w.mistakes = append(w.mistakes, fmt.Errorf("service %s has no handler", service))
	case o.checkVersion() != nil:
		w.mistakes = append(w.mistakes, fmt.Errorf("service %s: %w", service, o.checkVersion()))
	case w.services[service] != nil:
		w.mistakes = append(w.mistakes, fmt.Errorf("service %s is handled twice", service))
	default:
		if err := o.check(); err != nil {
			w.mistakes = append(w.mistakes, fmt.Errorf("service %s: %w", service, err))
		}
		w.services[service] = newHandler(s, o, w.o.defaults(&o), w.metrics.of(service))
	}
}

// HandleFunc has a service run by a function.
func (w *Worker) HandleFunc(service string, f func(ctx context.Context, t *Trigger) ([]byte, error)) {
	if f == nil {
		w.Handle(service, nil)
		return
	}
	w.Handle(service, ServiceFunc(f))
}

// Run serves until the context is done or the connection is closed for good.
// Then it takes nothing new, lets what is under way finish for DrainTimeout,
// cancels what is left and gives it back for others to run. It returns nil
// after a stop, also when runs had to be given back.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.ready(); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	js, err := jetstream.New(w.nc)
	if err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	w.js = js
	if err := w.wrap(); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	w.pool = w.newPool()
	w.hands = newHands(w.pool.size)
	if w.records, err = newRecorder(w.nc, js, w.o.Namespace, w.log); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	// Handlers outlive ctx, which only ends the pulling; kill ends them.
	hard, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	pull, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	beat, still := context.WithCancel(context.WithoutCancel(ctx))
	defer still()

	var pulling, beating sync.WaitGroup
	closed := w.nc.StatusChanged(nats.CLOSED)
	defer w.nc.RemoveStatusListener(closed)
	pulling.Go(func() {
		select {
		case <-closed:
			stop(nats.ErrConnectionClosed)
		case <-pull.Done():
		}
	})
	lanes := w.lanes()
	w.orders, w.taken = newOrders(w), []*held{&w.calls}
	for _, l := range lanes {
		w.taken = append(w.taken, &l.held)
	}
	beating.Go(func() { w.orders.run(beat) })
	answering, err := w.answer(pull, hard)
	if err != nil {
		stop(fmt.Errorf("serve direct calls: %w", err))
	}
	for _, l := range lanes {
		pulling.Go(func() { l.run(pull, hard) })
		beating.Go(func() { l.held.watch(beat, hard) })
	}
	beating.Go(func() { w.calls.watch(beat, hard) })
	recording, recorded := context.WithCancel(context.WithoutCancel(ctx))
	beating.Go(func() {
		defer recorded()
		w.sendEndings(beat)
	})
	beating.Go(func() { w.records.run(recording) })
	beating.Go(func() { saveFloors(beat, lanes) })
	// Whoever reads that it has started may call at once. While the connection
	// is away this fails, and the client library subscribes when it is back.
	_ = w.nc.FlushTimeout(settleTime)
	w.log.Info("worker started", "version", Version, "namespace", w.o.Namespace, "services", w.names(), "concurrency", w.pool.size)

	<-pull.Done()
	cause := context.Cause(pull)
	w.log.Info("worker is stopping", "running", w.pool.running())
	answering.stop()
	pulling.Wait()
	w.drain(hard, kill, lanes)
	still()
	beating.Wait()
	w.hands.stop()
	w.log.Info("worker stopped")
	if ctx.Err() == nil {
		return fmt.Errorf("run worker: %w", cause)
	}
	return nil
}

func (w *Worker) ready() error {
	if w.nc == nil {
		return errors.New("there is no connection")
	}
	if w.nc.IsClosed() {
		return nats.ErrConnectionClosed
	}
	if err := errors.Join(w.mistakes...); err != nil {
		return err
	}
	if len(w.services) == 0 {
		return errors.New("no service to run")
	}
	if !w.ran.CompareAndSwap(false, true) {
		return errors.New("a worker runs only once")
	}
	return nil
}

// baseConcurrency is how many runs of one service there can be, unless it is
// said, while each of the others has its slot.
const baseConcurrency = 8

func (w *Worker) newPool() *pool {
	var shares []*share
	for _, h := range w.services {
		shares = append(shares, h.share)
	}
	return newPool(cmp.Or(w.o.Concurrency, baseConcurrency-1+len(shares)), shares...)
}

func (w *Worker) names() []string { return slices.Sorted(maps.Keys(w.services)) }

func (w *Worker) lanes() []*lane {
	var all []*lane
	ns := w.o.Namespace
	for _, name := range w.names() {
		all = append(all,
			w.lane(name, ns.TriggersStream(), ns.TriggerSubject(name)),
			w.lane(name, ns.RingsStream(), ns.RingSubject("*", name)))
	}
	return all
}

// settleTime is what handlers get to return after their context was cancelled,
// and what settling takes at most.
const settleTime = 2 * time.Second

// drain waits for the attempts under way; what does not end is given back.
func (w *Worker) drain(hard context.Context, kill context.CancelCauseFunc, lanes []*lane) {
	empty := w.open.close()
	if !within(empty, w.o.DrainTimeout) {
		w.log.Warn("cancelling what does not end", "running", w.pool.running())
		kill(ErrStopped)
		if !within(empty, settleTime) {
			w.calls.abandon(hard)
			for _, l := range lanes {
				l.held.abandon(hard)
			}
			within(empty, settleTime)
		}
	}
	if err := w.nc.FlushTimeout(settleTime); err != nil && !w.nc.IsClosed() {
		w.log.Warn("last acknowledgements may be lost: their runs come again", "error", err)
	}
}

func within(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}
