package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Apply makes, replaces and deletes many jobs in one request: all of it or nothing.
// What was done is told in the order of the batch, what was put before what was
// deleted. A batch has at most MaxBatch changes, and must fit the server's
// max_payload (413): see ApplyAll. To apply one again does no harm.
func (c *Client) Apply(ctx context.Context, b Batch) ([]Applied, error) {
	puts, deletes, err := b.encode()
	if err != nil {
		return nil, err
	}
	return c.apply(ctx, portion{puts: puts, deletes: deletes, dryRun: b.DryRun})
}

const (
	// allAbreast is how many requests of ApplyAll are under way at once: while one
	// is written, the others are read, and confirmed.
	allAbreast = 4
	// allLeave is how long those under way may go on when ApplyAll is to end.
	allLeave = 3 * time.Second
	// requestFrame is what a request takes of max_payload beside its changes.
	requestFrame = 1 << 10
)

// ApplyAll applies a batch of any size, in as many requests as it takes, some of
// them at once and in no order. Each is applied as a whole, the batch is not. tell,
// if it is not nil, is given what each request has done, one at a time. The first
// error ends it, and so does ctx: no more requests are sent, and those under way
// are waited for. An *Error names the place in the whole batch. To apply the batch
// again completes it.
func (c *Client) ApplyAll(ctx context.Context, b Batch, tell func([]Applied)) error {
	puts, deletes, err := b.encode()
	if err != nil {
		return err
	}
	if err := b.once(); err != nil {
		return err
	}
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if pause(sending, allLeave) {
			cancel()
		}
	})()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // of what follows, and of tell
		first error
	)
	failed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return first != nil
	}
	places := make(chan struct{}, allAbreast)
	for _, p := range portions(puts, deletes, b.DryRun, int(c.nc.MaxPayload())-requestFrame) {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil || failed() {
			break
		}
		wg.Go(func() {
			defer func() { <-places }()
			done, err := c.apply(sending, p)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && first == nil:
				first = p.locate(err)
			case err == nil && tell != nil:
				tell(done)
			}
		})
	}
	wg.Wait()
	if first == nil {
		first = ctx.Err()
	}
	return first
}

// once refuses a batch that names a job twice.
func (b *Batch) once() error {
	seen := make(map[string]string, len(b.Put)+len(b.Delete))
	note := func(path, name string) error {
		if first, twice := seen[name]; twice {
			return invalid(path, "name each job once", "the job %q is named by %s already", name, first)
		}
		seen[name] = path
		return nil
	}
	for i, j := range b.Put {
		if err := note("put["+strconv.Itoa(i)+"]", j.Name); err != nil {
			return err
		}
	}
	for i, name := range b.Delete {
		if err := note("delete["+strconv.Itoa(i)+"]", name); err != nil {
			return err
		}
	}
	return nil
}

// encode writes each change in JSON.
func (b *Batch) encode() (puts, deletes [][]byte, err error) {
	puts, deletes = make([][]byte, len(b.Put)), make([][]byte, len(b.Delete))
	for i, j := range b.Put {
		if puts[i], err = j.Definition(); err != nil {
			return nil, nil, within("put["+strconv.Itoa(i)+"]", j.Name, err)
		}
	}
	for i, name := range b.Delete {
		deletes[i] = Text(name)
	}
	return puts, deletes, nil
}

// portion is a part of a batch that goes into one request.
type portion struct {
	puts, deletes           [][]byte
	firstPut, firstDeletion int // where they stand in the batch
	dryRun                  bool
}

// portions splits a batch into parts that a server takes: of at most MaxBatch changes, and of a
// size. One change that is larger is a portion, too: the server says so.
func portions(puts, deletes [][]byte, dryRun bool, size int) (all []portion) {
	for p, d := 0, 0; p < len(puts) || d < len(deletes); {
		part := portion{firstPut: p, firstDeletion: d, dryRun: dryRun}
		request, reply := 0, 0
		room := func(change []byte, n int, named int) bool {
			request, reply = request+len(change)+1, reply+named+replyFrame
			return n == 0 || n < MaxBatch && request <= size && reply <= replyBytes
		}
		for p < len(puts) && room(puts[p], p-part.firstPut, nameSize(puts[p])) {
			p++
		}
		for p == len(puts) && d < len(deletes) && room(deletes[d], p-part.firstPut+d-part.firstDeletion, len(deletes[d])) {
			d++
		}
		part.puts, part.deletes = puts[part.firstPut:p], deletes[part.firstDeletion:d]
		all = append(all, part)
	}
	return all
}

// nameSize is how many bytes the name takes in a definition of our making, where
// it comes first.
func nameSize(def []byte) int {
	return skipString(def, len(`{"name":`)) - len(`{"name":`)
}

func (p *portion) request() []byte {
	n := len(`{"put":[],"delete":[],"dry_run":true}`)
	for _, list := range [][][]byte{p.puts, p.deletes} {
		for _, c := range list {
			n += len(c) + 1
		}
	}
	b := make([]byte, 0, n)
	list := func(name string, changes [][]byte) {
		b = append(b, name...)
		for i, c := range changes {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, c...)
		}
	}
	list(`{"put":[`, p.puts)
	list(`],"delete":[`, p.deletes)
	b = append(b, ']')
	if p.dryRun {
		b = append(b, `,"dry_run":true`...)
	}
	return append(b, '}')
}

// locate says where in the whole batch an error is.
func (p *portion) locate(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	for list, first := range map[string]int{"put[": p.firstPut, "delete[": p.firstDeletion} {
		rest, ok := strings.CutPrefix(e.Field, list)
		number, rest, found := strings.Cut(rest, "]")
		if i, err := strconv.Atoi(number); ok && found && err == nil {
			c := *e
			c.Field = list + strconv.Itoa(first+i) + "]" + rest
			return &c
		}
	}
	return err
}

// apply sends one request.
func (c *Client) apply(ctx context.Context, p portion) ([]Applied, error) {
	data := p.request()
	reply, err := c.ask(ctx, "apply", data)
	if errors.Is(err, nats.ErrMaxPayload) {
		return nil, &Error{Code: 413, Message: fmt.Sprintf("the batch has %d bytes: the server takes %d", len(data), c.nc.MaxPayload()), Hint: "make it smaller, or raise the server's max_payload"}
	}
	if err != nil {
		return nil, err
	}
	var r struct {
		Results []Applied `json:"results"`
	}
	if err := json.Unmarshal(reply, &r); err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	return r.Results, nil
}
