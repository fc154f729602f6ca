package scheduler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/workers"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// patience is how long a client asks again when no scheduler leads: a new one
// leads within seconds.
const (
	patience    = 10 * time.Second
	askAgain    = 100 * time.Millisecond
	replyWithin = 12 * time.Second // a little more than the scheduler's own bound
)

// ErrNoLeader means that no scheduler has answered for as long as the client
// waits.
var ErrNoLeader = errors.New("no scheduler is leading: start one (bellhop up, or bellhop-scheduler)")

// Client manages jobs over NATS. It is safe for concurrent use. Refusals are
// *Error. A change that returns without error is confirmed by the log: no
// trigger of the old definition follows.
type Client struct {
	nc *nats.Conn
	ns workers.Namespace
	// Patience is how long to ask again while no scheduler leads; 0 means ten
	// seconds. Set it before the first use.
	Patience time.Duration
	terms    Terms
}

// NewClient manages the jobs of a namespace.
func NewClient(nc *nats.Conn, ns workers.Namespace) *Client { return &Client{nc: nc, ns: ns} }

// Create makes a job; one of that name must not be there (409).
func (c *Client) Create(ctx context.Context, j *Job) (*Job, error) { return c.send(ctx, "create", j) }

// Put makes a job or replaces it whole.
func (c *Client) Put(ctx context.Context, j *Job) (*Job, error) { return c.send(ctx, "put", j) }

func (c *Client) send(ctx context.Context, verb string, j *Job) (*Job, error) {
	def, err := j.Definition()
	if err != nil {
		return nil, err
	}
	return c.job(ctx, verb, def)
}

// Update changes some of a job's top-level fields, given as they are in JSON
// ("null" removes one). With a revision other than 0 the job must be at it.
func (c *Client) Update(ctx context.Context, name string, revision uint64, fields map[string]json.RawMessage) (*Job, error) {
	o := object{{name: "name", value: Text(name)}}
	for f, v := range fields {
		if f != "name" {
			o = o.set(f, v)
		}
	}
	if revision != 0 {
		o = o.set("revision", strconv.AppendUint(nil, revision, 10))
	}
	return c.job(ctx, "update", o.bytes())
}

// Get reads a job (404 if there is none).
func (c *Client) Get(ctx context.Context, name string) (*Job, error) {
	return c.job(ctx, "get", named(name))
}

// Delete ends a job for good.
func (c *Client) Delete(ctx context.Context, name string) error {
	_, err := c.ask(ctx, "delete", named(name))
	return err
}

// Deactivate stops a job until it is activated.
func (c *Client) Deactivate(ctx context.Context, name string) (*Job, error) {
	return c.job(ctx, "deactivate", named(name))
}

// Activate makes a job run again, with another schedule if one is given; its
// runs are counted from zero.
func (c *Client) Activate(ctx context.Context, name string, s *Schedule) (*Job, error) {
	o := object{{name: "name", value: Text(name)}}
	if s != nil {
		b, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("encode schedule: %w", err)
		}
		o = o.set("schedule", b)
	}
	return c.job(ctx, "activate", o.bytes())
}

// Run rings the job's service now, with the job's payload or, if it is not
// nil, with another one in JSON. It returns the run's id.
func (c *Client) Run(ctx context.Context, name string, payload json.RawMessage) (string, error) {
	o := object{{name: "name", value: Text(name)}}
	if payload != nil {
		o = o.set("payload", payload)
	}
	reply, err := c.ask(ctx, "run", o.bytes())
	if err != nil {
		return "", err
	}
	var r struct {
		Run string `json:"run"`
	}
	if err := json.Unmarshal(reply, &r); err != nil {
		return "", fmt.Errorf("read reply: %w", err)
	}
	return r.Run, nil
}

// Next gives a job's next due times after the given time, at most count; a
// zero time means now.
func (c *Client) Next(ctx context.Context, name string, count int, after time.Time) ([]time.Time, error) {
	return c.next(ctx, object{{name: "name", value: Text(name)}}, count, after)
}

// NextOf gives the next due times of a schedule that is not stored.
func (c *Client) NextOf(ctx context.Context, s *Schedule, count int, after time.Time) ([]time.Time, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode schedule: %w", err)
	}
	return c.next(ctx, object{{name: "schedule", value: b}}, count, after)
}

func (c *Client) next(ctx context.Context, o object, count int, after time.Time) ([]time.Time, error) {
	o = o.set("count", strconv.AppendInt(nil, int64(count), 10))
	if !after.IsZero() {
		o = o.set("after", Text(after.Format(time.RFC3339Nano)))
	}
	reply, err := c.ask(ctx, "next", o.bytes())
	if err != nil {
		return nil, err
	}
	var r struct {
		Next []time.Time `json:"next"`
	}
	if err := json.Unmarshal(reply, &r); err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	return r.Next, nil
}

// Filter says which jobs List gives; the zero value is all of them.
type Filter struct {
	// Prefix is what the names begin with.
	Prefix string `json:"prefix,omitempty"`
	// Service is whom the jobs ring.
	Service string `json:"service,omitempty"`
	// State is StateActive or StateInactive.
	State string `json:"state,omitempty"`
	// Labels must all be there with these values.
	Labels map[string]string `json:"labels,omitempty"`
	// Limit is how many jobs are asked for at a time, up to MaxListLimit; 0
	// means ListLimit. All are given in any case.
	Limit int `json:"limit,omitempty"`
}

// List gives the jobs, without their payloads, in the order of their keys,
// page by page. It ends at the first error.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		for cursor := ""; ; {
			jobs, next, err := c.page(ctx, f, cursor)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, j := range jobs {
				if !yield(j, nil) {
					return
				}
			}
			if cursor = next; cursor == "" {
				return
			}
		}
	}
}

func (c *Client) page(ctx context.Context, f Filter, cursor string) ([]*Job, string, error) {
	q, err := json.Marshal(struct {
		Filter
		Cursor string `json:"cursor,omitempty"`
	}{f, cursor})
	if err != nil {
		return nil, "", fmt.Errorf("encode filter: %w", err)
	}
	reply, err := c.ask(ctx, "list", q)
	if err != nil {
		return nil, "", err
	}
	var r struct {
		Jobs   []json.RawMessage `json:"jobs"`
		Cursor string            `json:"cursor"`
	}
	if err := json.Unmarshal(reply, &r); err != nil {
		return nil, "", fmt.Errorf("read reply: %w", err)
	}
	jobs := make([]*Job, len(r.Jobs))
	for i, data := range r.Jobs {
		if jobs[i], err = readReply(data); err != nil {
			return nil, "", err
		}
	}
	return jobs, r.Cursor, nil
}

func named(name string) []byte { return object{{name: "name", value: Text(name)}}.bytes() }

// Definition is the job in JSON, with the payload's bytes as they are.
func (j *Job) Definition() ([]byte, error) {
	plain := *j
	plain.Payload = nil
	b, err := json.Marshal(&plain)
	if err != nil {
		return nil, fmt.Errorf("encode job: %w", err)
	}
	if j.Payload == nil {
		return b, nil
	}
	if !json.Valid(j.Payload) {
		return nil, invalid("payload", "use Text for a text that is not JSON", "not JSON")
	}
	b = append(b[:len(b)-1], `,"payload":`...) // a name goes before it in any case
	return append(append(b, j.Payload...), '}'), nil
}

// job asks for a job.
func (c *Client) job(ctx context.Context, verb string, data []byte) (*Job, error) {
	reply, err := c.ask(ctx, verb, data)
	if err != nil {
		return nil, err
	}
	return readReply(reply)
}

// readReply reads a job as it is answered. One whose stored definition is
// invalid is read as far as it can be; its Error says what is wrong.
func readReply(data []byte) (*Job, error) {
	o, err := parseObject(data)
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	j := new(Job)
	var unread []error
	for _, f := range o {
		if isNull(f.value) && f.name != "payload" {
			continue
		}
		switch f.name {
		case "revision":
			err = json.Unmarshal(f.value, &j.Revision)
		case "state":
			j.State, err = text(f.value)
		case "error":
			j.Error, err = text(f.value)
		case "next":
			err = json.Unmarshal(f.value, &j.Next)
		case "runs":
			err = json.Unmarshal(f.value, &j.Runs)
		default:
			err = j.readField(f, false)
		}
		if err != nil {
			unread = append(unread, fmt.Errorf("read reply: %s: %w", f.name, err))
		}
	}
	if j.Reason == ReasonInvalid {
		return j, nil
	}
	return j, errors.Join(unread...)
}

// ask sends a request about jobs.
func (c *Client) ask(ctx context.Context, verb string, data []byte) ([]byte, error) {
	return c.request(ctx, c.ns.JobsSubject(verb), data)
}

// request sends a request, and again while nobody leads.
func (c *Client) request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	patient, cancel := context.WithTimeout(ctx, cmp.Or(c.Patience, patience))
	defer cancel()
	for {
		reply, err := c.try(ctx, subject, data)
		if !errors.Is(err, nats.ErrNoResponders) {
			return reply, err
		}
		if !pause(patient, askAgain) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, ErrNoLeader
		}
	}
}

// exchange sends a request in JSON, and reads the reply.
func (c *Client) exchange(ctx context.Context, subject string, request, reply any) error {
	data, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	if data, err = c.request(ctx, subject, data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, reply); err != nil {
		return fmt.Errorf("read reply: %w", err)
	}
	return nil
}

func (c *Client) try(ctx context.Context, subject string, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, replyWithin)
	defer cancel()
	m, err := c.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Data: data, Header: c.terms.header()})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", subject[strings.LastIndexByte(subject, '.')+1:], err)
	}
	if m.Header.Get(micro.ErrorCodeHeader) == "" {
		return m.Data, nil
	}
	e := new(Error)
	if json.Unmarshal(m.Data, e) != nil || e.Code == 0 {
		e.Code, _ = strconv.Atoi(m.Header.Get(micro.ErrorCodeHeader))
		e.Message = m.Header.Get(micro.ErrorHeader)
	}
	return nil, e
}
