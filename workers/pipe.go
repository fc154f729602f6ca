package workers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxPiped is how many rings of a Pipe are under way at most.
const maxPiped = 4096

var (
	errNotStored = errors.New("not confirmed in time: perhaps it is stored")
	errPipeEnded = errors.New("the pipe is closed: perhaps it is stored")
)

// Pipe rings as Dispatcher.Ring does, without waiting for one ring to be stored
// before the next is sent: for channels, which have many under way. The rings of
// one goroutine are stored in their order, unless one fails. Make it with
// NewPipe, and Close it.
//
// It has an inbox and a window of its own, as the recorder has, for the same
// reason: futures cost several times as much.
type Pipe struct {
	d      *Dispatcher
	nc     *nats.Conn
	inbox  string // with the dot
	stream []byte // as a confirmation names it
	sub    *nats.Subscription

	mu     sync.Mutex
	window [maxPiped]piped
	next   uint64
	oldest uint64        // none before it is under way
	moved  chan struct{} // told when oldest has moved
	over   bool

	stop   chan struct{}
	sweeps sync.WaitGroup
}

// piped is a ring under way; without done it is a free place.
type piped struct {
	done func(run string, err error)
	run  string
	ring Ring // channel and service alone, to be counted
	sent time.Time
}

// NewPipe makes a pipe for rings of this dispatcher.
func (d *Dispatcher) NewPipe() (*Pipe, error) {
	nc := d.js.Conn()
	p := &Pipe{
		d: d, nc: nc, inbox: nc.NewInbox() + ".",
		stream: []byte(`"stream":"` + d.ns.RingsStream() + `"`),
		moved:  make(chan struct{}, 1),
		stop:   make(chan struct{}),
	}
	var err error
	if p.sub, err = nc.Subscribe(p.inbox+"*", p.confirm); err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	p.sweeps.Go(p.sweep)
	return p, nil
}

// Ring sends a ring and returns; done is called once with what Dispatcher.Ring
// would have returned, now or later, by a goroutine that it must not keep. Ring
// waits where too many are under way, until ctx is done. The payload is not
// looked at after it has returned.
func (p *Pipe) Ring(ctx context.Context, r Ring, done func(run string, err error)) {
	m, run, err := p.d.message(ctx, &r)
	if err != nil {
		done("", err)
		return
	}
	n, err := p.enter(ctx, piped{done, run, Ring{Channel: r.Channel, Service: r.Service}, time.Now()})
	if err != nil {
		err = fmt.Errorf("ring %s: %w", r.Service, err)
		p.d.count(&r, nil, err)
		done("", err)
		return
	}
	m.Reply = p.inbox + strconv.FormatUint(n, 10)
	if err := p.nc.PublishMsg(m); err != nil {
		p.leave(n, nil, err)
	}
}

// enter takes a place in the window.
func (p *Pipe) enter(ctx context.Context, u piped) (uint64, error) {
	for {
		p.mu.Lock()
		if p.over {
			p.mu.Unlock()
			return 0, errPipeEnded
		}
		if n := p.next; n-p.oldest < maxPiped {
			p.next++
			p.window[n%maxPiped] = u
			if p.next-p.oldest < maxPiped { // somebody else may wait, too
				p.tell()
			}
			p.mu.Unlock()
			return n, nil
		}
		p.mu.Unlock()
		select {
		case <-p.moved:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (p *Pipe) tell() {
	select {
	case p.moved <- struct{}{}:
	default:
	}
}

// leave frees a place, and says what became of its ring; once.
func (p *Pipe) leave(n uint64, ack *jetstream.PubAck, err error) {
	p.mu.Lock()
	if n < p.oldest || n >= p.next {
		p.mu.Unlock()
		return
	}
	place := &p.window[n%maxPiped]
	u := *place
	*place = piped{}
	before := p.oldest
	for p.oldest < p.next && p.window[p.oldest%maxPiped].done == nil {
		p.oldest++
	}
	if p.oldest != before {
		p.tell()
	}
	p.mu.Unlock()
	if u.done == nil {
		return
	}
	if err != nil {
		err = fmt.Errorf("ring %s: %w", u.ring.Service, refused(err))
		u.run = ""
	}
	p.d.count(&u.ring, ack, err)
	u.done(u.run, err)
}

// confirm takes the server's answers.
func (p *Pipe) confirm(answer *nats.Msg) {
	n, err := strconv.ParseUint(strings.TrimPrefix(answer.Subject, p.inbox), 10, 64)
	if err != nil {
		return // not an answer to a ring
	}
	if bytes.Contains(answer.Data, p.stream) && !bytes.Contains(answer.Data, []byte(`"error":`)) {
		p.leave(n, &jetstream.PubAck{Duplicate: bytes.Contains(answer.Data, []byte(`"duplicate":`))}, nil)
		return
	}
	p.leave(n, nil, p.refusal(answer))
}

// refusal says why a ring was not stored.
func (p *Pipe) refusal(answer *nats.Msg) error {
	if len(answer.Data) == 0 && answer.Header.Get("Status") == "503" {
		return jetstream.ErrNoStreamResponse
	}
	var body struct {
		Stream string              `json:"stream"`
		Error  *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &body); err != nil {
		return fmt.Errorf("unknown answer: %w", err)
	}
	if body.Error != nil {
		return body.Error
	}
	return fmt.Errorf("stored in the stream %.80q in place of %s", body.Stream, p.d.ns.RingsStream())
}

// sweep gives up on rings that nobody confirms.
func (p *Pipe) sweep() {
	tick := time.NewTicker(ioTimeout / 5)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case now := <-tick.C:
			p.overdue(now.Add(-ioTimeout), errNotStored)
		}
	}
}

// overdue ends those that were sent before then.
func (p *Pipe) overdue(then time.Time, why error) {
	p.mu.Lock()
	first, last := p.oldest, p.next
	p.mu.Unlock()
	for n := first; n < last; n++ {
		p.mu.Lock()
		u := &p.window[n%maxPiped]
		old := n >= p.oldest && u.done != nil && u.sent.Before(then)
		p.mu.Unlock()
		if old {
			p.leave(n, nil, why)
		}
	}
}

// Close ends the pipe. Rings that are not confirmed by then may be stored or not:
// each is done with an error.
func (p *Pipe) Close() {
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return
	}
	p.over = true
	p.mu.Unlock()
	close(p.stop)
	p.sweeps.Wait()
	_ = p.sub.Unsubscribe() // fails when the connection is closed, and then it is gone
	p.tell()
	p.overdue(time.Now().Add(time.Hour), errPipeEnded)
}
