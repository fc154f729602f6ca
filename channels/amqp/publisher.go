package amqp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/bellhop-run/bellhop/channels"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// Why the outside has not taken a message.
var (
	// ErrUnroutable means that no queue is bound for it, now.
	ErrUnroutable = errors.New("no queue takes it")
	// ErrNacked means that the broker could not store it, or that a queue is full
	// and refuses.
	ErrNacked = errors.New("the broker has refused it")
	errLost   = errors.New("the connection was lost before the broker confirmed: perhaps it is stored")
)

// maxUnconfirmed is how many messages of a publisher the broker has not confirmed
// at most.
const maxUnconfirmed = 1024

// publisher publishes to a broker and has each message confirmed; it is
// connected anew whenever that fails.
//
// One goroutine writes. A broker that is short of memory or disk reads nothing
// more, and then a write has no end; whoever wants to publish waits for the writer
// and not in the write.
type publisher struct {
	broker  *Broker
	purpose string
	// prepare looks at what must be there, for each connection.
	prepare func(ch *amqp091.Channel) error
	meter   *channels.Meter
	log     *slog.Logger
	orders  chan *order
	slots   chan struct{}
}

// order is a message to be written.
type order struct {
	ctx       context.Context //nolint:containedctx // of whoever waits for it: an order is a call on its way to the writer
	exchange  string
	key       string
	mandatory bool
	message   amqp091.Publishing
	written   chan written
}

// written is what became of the write.
type written struct {
	*amqp091.DeferredConfirmation
	of  *publishing091
	err error
}

// publishing091 is what one connection's life knows.
type publishing091 struct {
	link    *link
	ch      *amqp091.Channel
	returns chan amqp091.Return
	gone    chan struct{} // closed when the session is over; why is set before
	why     error

	mu       sync.Mutex
	returned map[string]returned
}

// returned counts the returns of a message id, and keeps the last reason.
type returned struct {
	n    int
	text string
}

func newPublisher(b *Broker, purpose string, prepare func(*amqp091.Channel) error, m *channels.Meter, log *slog.Logger) *publisher {
	return &publisher{broker: b, purpose: purpose, prepare: prepare, meter: m, log: log, orders: make(chan *order), slots: make(chan struct{}, maxUnconfirmed)}
}

// publish returns when the broker has confirmed a message, and with mandatory a
// queue has taken it. Where there is no connection, it waits for one.
func (p *publisher) publish(ctx context.Context, exchange, key string, mandatory bool, m amqp091.Publishing) error {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return p.late(ctx)
	}
	o := &order{ctx, exchange, key, mandatory, m, make(chan written, 1)}
	select {
	case p.orders <- o:
	case <-ctx.Done():
		return p.late(ctx)
	}
	var w written
	select {
	case w = <-o.written:
	case <-ctx.Done():
		return p.late(ctx)
	}
	if w.err != nil {
		return w.err
	}
	select {
	case <-w.Done():
	case <-ctx.Done():
		return p.late(ctx)
	}
	if text, ok := w.of.unroutable(m.MessageId); ok {
		return fmt.Errorf("exchange %q, routing key %q: %w: %s", exchange, key, ErrUnroutable, text)
	}
	if w.Acked() {
		return nil
	}
	// The library says no for all that is open when the channel closes.
	if w.of.ch.IsClosed() {
		<-w.of.gone
		return fmt.Errorf("%w: %w", errLost, w.of.why)
	}
	return ErrNacked
}

// late says what was waited for in vain.
func (p *publisher) late(ctx context.Context) error {
	if s := p.meter.Status(); !s.Connected && s.LastError != "" {
		return fmt.Errorf("not published: %w: %s", ctx.Err(), s.LastError)
	}
	return fmt.Errorf("not confirmed: %w", ctx.Err())
}

// unroutable says whether a message was returned. A return comes before its
// confirmation, so after that it is among those that wait here.
func (s *publishing091) unroutable(id string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
	r := s.returned[id]
	if r.n == 0 {
		return "", false
	}
	if r.n--; r.n == 0 {
		delete(s.returned, id)
	} else {
		s.returned[id] = r
	}
	return r.text, true
}

// drain takes what has been returned; the library drops a return whose listener
// has no room for it. Whoever gave up waiting leaves his behind.
func (s *publishing091) drain() {
	for {
		select {
		case r, ok := <-s.returns:
			if !ok {
				return
			}
			if len(s.returned) > 4*maxUnconfirmed {
				clear(s.returned)
			}
			n := s.returned[r.MessageId].n
			s.returned[r.MessageId] = returned{n + 1, fmt.Sprintf("%s (%d)", r.ReplyText, r.ReplyCode)}
		default:
			return
		}
	}
}

// run keeps a connection until ctx is done; what has begun to be published then
// has been waited for by the callers of publish.
func (p *publisher) run(ctx context.Context) {
	var backoff channels.Backoff
	said := ""
	for failed := 0; ctx.Err() == nil; failed++ {
		connected := false
		err := p.session(ctx, failed, func() { connected = true })
		if ctx.Err() != nil {
			break
		}
		p.meter.Down(err)
		if connected {
			backoff.Reset()
			said = ""
		}
		if err.Error() != said {
			said = err.Error()
			p.log.Warn("not connected to the broker: it is tried again", "error", err)
		}
		backoff.Wait(ctx)
	}
	p.meter.Down(nil)
}

// session is one connection's life; its error is why it has ended.
func (p *publisher) session(ctx context.Context, failed int, up func()) (err error) {
	l, err := p.broker.dial(ctx, p.purpose, failed)
	if err != nil {
		return err
	}
	s := &publishing091{link: l, gone: make(chan struct{}), returned: make(map[string]returned)}
	defer func() {
		s.why = err
		close(s.gone)
	}()
	defer l.close()
	blocked := l.NotifyBlocked(make(chan amqp091.Blocking, 16))
	if s.ch, err = l.Channel(); err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	if p.prepare != nil {
		if err := p.prepare(s.ch); err != nil {
			return err
		}
	}
	if err := s.ch.Confirm(false); err != nil {
		return fmt.Errorf("ask for confirmations: %w", err)
	}
	s.returns = s.ch.NotifyReturn(make(chan amqp091.Return, 2*maxUnconfirmed))
	lost := s.ch.NotifyClose(make(chan *amqp091.Error, 1))
	up()
	p.meter.Up()
	p.log.Info("connected to the broker", "url", l.url)

	writing, stop := context.WithCancel(ctx)
	open := make(chan struct{}, 1) // told when the broker reads again
	var gate gate
	wrote := make(chan error, 1)
	var writer sync.WaitGroup
	writer.Go(func() { wrote <- p.write(writing, s, &gate, open) })
	defer func() { // what hangs in a write ends with the socket
		stop()
		t := time.AfterFunc(closeTime, func() { _ = l.net.Close() })
		writer.Wait()
		t.Stop()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b, ok := <-blocked:
			if !ok {
				blocked = nil // the connection ends, which lost tells
				continue
			}
			gate.set(b.Active)
			if b.Active {
				p.meter.Down(fmt.Errorf("the broker takes nothing: %s", b.Reason))
				p.log.Warn("the broker takes nothing", "reason", b.Reason)
				continue
			}
			p.meter.Up()
			p.log.Info("the broker takes messages again")
			select {
			case open <- struct{}{}:
			default:
			}
		case err := <-wrote:
			return err
		case e := <-lost:
			select {
			case c := <-l.lost: // says more
				if c != nil {
					e = c
				}
			default:
			}
			return cause(e, "the broker has closed the channel")
		}
	}
}

// gate is shut while the broker reads nothing.
type gate struct {
	mu   sync.Mutex
	shut bool
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
}

func (g *gate) closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// write writes what is ordered, while the gate is open; orders that wait already go
// to the broker together. An error ends the session.
func (p *publisher) write(ctx context.Context, s *publishing091, g *gate, open <-chan struct{}) error {
	for {
		if g.closed() {
			select {
			case <-open:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case o := <-p.orders:
			if err := p.together(ctx, o, s, g); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// together writes an order and those that wait behind it, as one as far as they fit.
// No order is taken that is not written; and what is written when the gate shuts, or
// when it is time to end, goes to the broker all the same: somebody waits for it.
func (p *publisher) together(ctx context.Context, o *order, s *publishing091, g *gate) (err error) {
	s.link.net.cork()
	defer func() {
		if failed := s.link.net.uncork(); err == nil && failed != nil {
			err = fmt.Errorf("publish: %w", failed)
		}
	}()
	for yielded := false; ; {
		if err := s.write(o); err != nil || g.closed() || ctx.Err() != nil {
			return err
		}
		if o = p.waiting(); o == nil && !yielded {
			// Those whom confirmations have just woken get to bring theirs. Only once:
			// what else this process does must not keep back what is written.
			yielded = true
			runtime.Gosched()
			o = p.waiting()
		}
		if o == nil {
			return nil
		}
	}
}

// waiting takes an order that waits already; nil if there is none.
func (p *publisher) waiting() *order {
	select {
	case o := <-p.orders:
		return o
	default:
		return nil
	}
}

// write writes one order, if somebody waits for it still.
func (s *publishing091) write(o *order) error {
	if o.ctx.Err() != nil {
		return nil
	}
	s.mu.Lock()
	s.drain()
	s.mu.Unlock()
	dc, err := s.ch.PublishWithDeferredConfirm(o.exchange, o.key, o.mandatory, false, o.message)
	if err != nil {
		err = fmt.Errorf("publish: %w", err)
	}
	o.written <- written{dc, s, err}
	return err
}
