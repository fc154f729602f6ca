package bench

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"golang.org/x/sync/errgroup"
)

// WriteOptions are those of the parts "clients" and "putters".
type WriteOptions struct {
	// Connections is how many there are, and Abreast how many goroutines write.
	Connections, Abreast int
	// Batch is how many values each request holds.
	Batch int
	// Bucket is where putters write.
	Bucket string `json:",omitempty"`
}

// writer writes the jobs that have these names, through one connection.
type writer func(ctx context.Context, names []string) error

// startReady starts a part, and waits until it is Ready.
func (h *House) startReady(ctx context.Context, name string, options any) (*Part, error) {
	p, err := h.Start(ctx, name, options)
	if err != nil {
		return nil, err
	}
	return p, p.Await(ctx, Ready)
}

// clientsPart creates jobs as any program may, with plain requests.
func clientsPart(ctx context.Context, in *Inside) error {
	return writePart(ctx, in, func(o WriteOptions, nc *nats.Conn, _ jetstream.JetStream) (writer, error) {
		ns := in.Config.Namespace
		return func(ctx context.Context, names []string) error {
			if o.Batch == 1 {
				return request(ctx, nc, ns.JobsSubject("create"), newJob(nil, names[0]))
			}
			put := []byte(`{"put":[`)
			for i, name := range names {
				if i > 0 {
					put = append(put, ',')
				}
				put = newJob(put, name)
			}
			return request(ctx, nc, ns.JobsSubject("apply"), append(put, "]}"...))
		}, nil
	})
}

// newJob appends what a client sends for a job; what is stored of it is what putters
// put.
func newJob(b []byte, name string) []byte {
	return fmt.Appendf(b, `{"name":%q,"service":%q,"schedule":{"every":"%dms"},"payload":"%s"}`,
		name, Service, farAway.Milliseconds(), jobPayload)
}

var jobPayload = strings.Repeat("x", payload)

// request sends a request and looks whether it was carried out.
func request(ctx context.Context, nc *nats.Conn, subject string, data []byte) error {
	m, err := nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return err
	}
	if m.Header.Get(micro.ErrorCodeHeader) != "" || bytes.Contains(m.Data, []byte(`"error"`)) {
		return fmt.Errorf("%s is refused: %.200s", subject, m.Data)
	}
	return nil
}

// puttersPart puts what a scheduler would store, with nothing between it and the
// bucket's stream.
func puttersPart(ctx context.Context, in *Inside) error {
	return writePart(ctx, in, func(o WriteOptions, _ *nats.Conn, js jetstream.JetStream) (writer, error) {
		anchor := time.Now()
		message := func(name string) *nats.Msg {
			m := nats.NewMsg("$KV." + o.Bucket + "." + name)
			m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0")
			m.Data = Job{Every: farAway, Anchor: anchor, Payload: payload}.definition(name)
			return m
		}
		return func(ctx context.Context, names []string) error {
			if o.Batch == 1 {
				_, err := js.PublishMsg(ctx, message(names[0]))
				return err
			}
			batch := make([]*nats.Msg, len(names))
			for i, name := range names {
				batch[i] = message(name)
			}
			_, err := jetstreamext.PublishMsgBatch(ctx, js, batch)
			return err
		}, nil
	})
}

// writePart writes on the order "N" as many values as that, of names that there
// were not before, and says how long it took.
func writePart(ctx context.Context, in *Inside, open func(WriteOptions, *nats.Conn, jetstream.JetStream) (writer, error)) error {
	var o WriteOptions
	if err := in.Options(&o); err != nil {
		return err
	}
	var writers []writer
	for range o.Connections {
		nc, js, err := in.Connect(ctx, false)
		if err != nil {
			return err
		}
		defer nc.Close()
		w, err := open(o, nc, js)
		if err != nil {
			return err
		}
		writers = append(writers, w)
	}
	if err := in.SayEvent(Ready); err != nil {
		return err
	}
	var last int
	return in.carryOut(ctx, func(n, _ int) error {
		last += n
		return o.write(ctx, writers, last-n, last)
	})
}

// write writes the values from one number to another, without it, abreast.
func (o *WriteOptions) write(ctx context.Context, writers []writer, from, to int) error {
	var next atomic.Int64
	next.Store(int64(from))
	group, ctx := errgroup.WithContext(ctx)
	for i := range o.Abreast {
		group.Go(func() error {
			for {
				first := int(next.Add(int64(o.Batch))) - o.Batch
				if first >= to {
					return nil
				}
				var names []string
				for n := first; n < min(first+o.Batch, to); n++ {
					names = append(names, fmt.Sprintf("made-%d-%07d", o.Batch, n))
				}
				attempt, cancel := context.WithTimeout(ctx, writeTime)
				err := writers[i%len(writers)](attempt, names)
				cancel()
				if err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// writeTime is how long one request may take on a machine with much to do.
const writeTime = 30 * time.Second
