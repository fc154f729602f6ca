package scheduler

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// The defaults of Options.
const (
	DefaultGrace     = 10 * time.Second
	DefaultKeep      = 72 * time.Hour
	DefaultKeepBytes = 4 << 30
)

// Options are a scheduler's settings; the zero value is every default.
type Options struct {
	// Namespace is the prefix of everything in NATS.
	Namespace workers.Namespace
	// Replicas is on how many servers streams and buckets are kept that Setup
	// makes, 1 to 5; 0 means 1.
	Replicas int
	// Grace is how late a trigger may be because nobody was there to ring,
	// before it counts as missed; 0 means DefaultGrace.
	Grace time.Duration
	// Keep is how long triggers stay in the log, 0 means DefaultKeep; and
	// KeepBytes how many bytes of them, 0 means DefaultKeepBytes. What the
	// log needs for its recovery stays in any case.
	Keep      time.Duration
	KeepBytes int64
	// History is how many records are kept of each job's runs, and HistoryAge
	// how long; see workers.SetupOptions. 0 leaves it as it is: 100 and 30 days
	// where nobody has said.
	History    int64
	HistoryAge time.Duration
	// Name is shown as the leader's; empty means the host and the process. A
	// few random letters are added: every scheduler has a name of its own.
	Name string
	// Embedded tells that the NATS server lives in this process, so that no
	// other leader can have outlived the last start: the log is opened at once.
	Embedded bool
	// Dispatcher is what a job's run by hand is rung with; nil means one of the
	// scheduler's own, whose figures nobody sees.
	Dispatcher *workers.Dispatcher
	// Trace gives the W3C traceparent that a trigger is to carry, or an empty
	// one for none; nil means none. It is called just before the trigger is
	// appended, which may yet fail, by one goroutine, and must not block: every
	// trigger waits for it.
	Trace func(service, run string, due time.Time) string
	// Logger is where the scheduler tells what it does; nil means nowhere.
	// Payloads are never told.
	Logger *slog.Logger
}

// Scheduler rings the jobs of one namespace, or stands by while another one
// does. See Run.
type Scheduler struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	ns     workers.Namespace
	opts   Options
	name   string
	grace  time.Duration
	logger *slog.Logger

	embedded bool
	leap     int // leapLen; a test shows what comes of less
	started  time.Time
	asked    chan struct{} // closed when elder is known
	elder    atomic.Int64  // by how many nanoseconds the oldest of the others is older
	ready    chan struct{}
	book     *book
	promises *promises
	recorded *promises // what the leader has recorded of the changes
	metrics  *metrics
	status   atomic.Pointer[Status]

	// Set by prepare, before anything runs.
	log         jetstream.Stream
	jobs, state *follower
	clerk       *clerk

	ticked    stamp         // when this scheduler last looked at the clock as the leader
	purgeable atomic.Uint64 // the log's messages below this are not needed for a recovery
}

// errLost means that this scheduler has stopped leading.
var errLost = errors.New("this scheduler has stopped leading")

// New makes a scheduler on the connection, which stays the caller's. The
// connection should never give up (MaxReconnects(-1)) and must not keep
// publishes for later (ReconnectBufSize(-1)).
func New(nc *nats.Conn, o Options) (*Scheduler, error) {
	if err := o.Namespace.Check(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("new scheduler: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Grace <= 0 {
		o.Grace = DefaultGrace
	}
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	if o.KeepBytes <= 0 {
		o.KeepBytes = DefaultKeepBytes
	}
	if o.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		o.Name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if o.Dispatcher == nil {
		o.Dispatcher = workers.NewDispatcher(js, o.Namespace)
	}
	b := newBook()
	s := &Scheduler{
		nc: nc, js: js, ns: o.Namespace, opts: o, grace: o.Grace, logger: o.Logger,
		name: o.Name + "-" + rand.Text()[:6], embedded: o.Embedded, leap: leapLen,
		started: time.Now(), asked: make(chan struct{}), ready: make(chan struct{}), book: b,
		promises: newPromises(b.poke), recorded: newPromises(b.news.push),
	}
	s.recorded.lead(true) // whoever leads then: who waits is given no more than a moment
	s.metrics = newMetrics(s)
	s.status.Store(&Status{})
	return s, nil
}

// Status is what a scheduler knows of who leads.
type Status struct {
	// Leading tells whether it is this one.
	Leading bool `json:"leading"`
	// Name is this scheduler's, Leader the leading one's as far as is known.
	Name   string `json:"name"`
	Leader string `json:"leader,omitempty"`
	// Epoch counts the openings of the log.
	Epoch uint64 `json:"epoch"`
	// Jobs is how many definitions there are, Active how many are due some
	// time; Active is known by the leader only.
	Jobs   int `json:"jobs"`
	Active int `json:"active"`
}

// Status tells what is known now.
func (s *Scheduler) Status() Status {
	st := *s.status.Load()
	st.Name = s.name
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	st.Jobs, st.Active = s.book.jobs.len(), s.book.agenda.len()
	return st
}

// Ready is closed when this scheduler leads for the first time.
func (s *Scheduler) Ready() <-chan struct{} { return s.ready }

// Run rings, or stands by, until ctx ends; then it releases the log and returns
// nil. It is called once. While NATS is away it waits. The error is one that waiting
// does not mend: a stream whose settings would lose triggers, for example.
func (s *Scheduler) Run(ctx context.Context) error {
	sub, err := s.answerPings() // others may be started while NATS is not ready
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only with the connection
	if err := s.prepare(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	g.Go(func() error { return s.askElders(background) })
	g.Go(func() error { return s.jobs.run(background) })
	g.Go(func() error { return s.state.run(background) })
	g.Go(func() error { return s.clerk.run(background) })
	g.Go(func() error { return s.prune(background) })
	err = s.cycle(ctx)
	cancel()
	return errors.Join(err, g.Wait())
}

// prepare makes and opens what is in NATS, and tries until it can.
func (s *Scheduler) prepare(ctx context.Context) error {
	for {
		err := s.bind(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, workers.ErrSettings) {
			return err
		}
		s.logger.Warn("NATS is not ready", "error", err)
		if !pause(ctx, time.Second) {
			return nil
		}
	}
}

func (s *Scheduler) bind(ctx context.Context) error {
	if err := Setup(ctx, s.js, s.opts); err != nil {
		return err
	}
	var err error
	if s.log, err = s.js.Stream(ctx, s.ns.TriggersStream()); err != nil {
		return fmt.Errorf("bind the trigger log: %w", err)
	}
	jobs, err := kv.Open[[]byte](ctx, s.js, s.ns.JobsBucket())
	if err != nil {
		return err
	}
	state, err := kv.Open[[]byte](ctx, s.js, s.ns.StateBucket())
	if err != nil {
		return err
	}
	b := s.book
	b.limit = maxDefinition(s.nc) + ownFields
	s.jobs = &follower{bucket: jobs, learn: b.learn, seen: b.view, logger: s.logger, loaded: make(chan struct{})}
	s.state = &follower{bucket: state, learn: b.learnState, seen: b.viewState, logger: s.logger, loaded: make(chan struct{})}
	s.clerk = &clerk{book: b, jobs: s.jobs, js: s.js, ns: s.ns, name: s.name, logger: s.logger, wake: make(chan struct{}, 1)}
	return nil
}

// cycle stands by, opens the log and leads, over and over.
//
//	standBy ──still, or released──► openLog ──refused──► standBy
//	   ▲                              │ ▲
//	   │                              ▼ │ the last hand is still ours
//	   └───── somebody else's ────── lead ──ctx ends──► released
func (s *Scheduler) cycle(ctx context.Context) error {
	for _, f := range []*follower{s.jobs, s.state} {
		select {
		case <-f.loaded:
		case <-ctx.Done():
			return nil
		}
	}
	api := &api{s: s}
	defer api.stop()
	var end logEnd
	for starting, again := true, false; ctx.Err() == nil; starting = false {
		if !again {
			api.stop()
			var err error
			if end, err = s.standBy(ctx, starting); err != nil {
				return nil
			}
		}
		o, err := s.openLog(ctx, end)
		if err == nil {
			err = s.lead(ctx, o, api)
			s.metrics.epochs.Inc()
		}
		if ctx.Err() != nil {
			if err != nil {
				s.logger.Warn("could not release the log: another scheduler waits for two seconds", "error", err)
			}
			return nil
		}
		s.status.Store(&Status{}) // nobody leads, as far as is known
		if o != nil {
			s.logger.Warn("an epoch has ended", "error", err)
		} else {
			s.logger.Warn("cannot open the trigger log", "error", err)
			if !errors.Is(err, errRefused) { // a full disk, for example
				pause(ctx, openPause)
			}
		}
		end, again = s.stillOurs(ctx)
	}
	return nil
}

// openPause is between attempts to open a log that takes nothing.
const openPause = time.Second

// stillOurs reads the log's end and tells whether nobody else has opened it,
// trying until NATS answers.
func (s *Scheduler) stillOurs(ctx context.Context) (logEnd, bool) {
	for wait := retryWait / 10; pause(ctx, wait); wait = retryWait {
		end, err := readEnd(ctx, s.log, s.ns.HandSubject())
		if err == nil {
			ours := end.hand.Leader == s.name
			if !ours {
				s.leaderSeen(end.hand)
			}
			return end, ours
		}
	}
	return logEnd{}, false
}

// leads notes that this scheduler has opened the log.
func (s *Scheduler) leads(h hand) {
	s.logger.Info("leading", "name", s.name, "epoch", h.Epoch)
	s.status.Store(&Status{Leading: true, Leader: s.name, Epoch: h.Epoch})
	select {
	case <-s.ready:
	default:
		close(s.ready)
	}
}

// leaderSeen notes who leads while this scheduler stands by.
func (s *Scheduler) leaderSeen(h hand) {
	if old := s.status.Load(); old.Leader != h.Leader || old.Leading {
		s.logger.Info("standing by", "leader", h.Leader, "epoch", h.Epoch)
	}
	s.status.Store(&Status{Leader: h.Leader, Epoch: h.Epoch})
}
