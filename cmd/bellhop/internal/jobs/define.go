package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Create is bellhop job create.
type Create struct {
	Name string `arg:"" optional:"" help:"Any printable text."`
	source
	Fields
	Inactive bool `help:"Make it, and leave it stopped."`
	Changed
}

// Run creates; a name that exists is a conflict.
func (c *Create) Run(ctx context.Context, s *session.Session) error {
	return c.define(ctx, s, "created", c.Name, c.source, &c.Fields, c.Inactive, (*scheduler.Client).Create)
}

// Put is bellhop job put.
type Put struct {
	Name string `arg:"" optional:"" help:"Any printable text."`
	source
	Fields
	Inactive bool `help:"Make it, and leave it stopped."`
	Changed
}

// Run puts.
func (c *Put) Run(ctx context.Context, s *session.Session) error {
	return c.define(ctx, s, "put", c.Name, c.source, &c.Fields, c.Inactive, (*scheduler.Client).Put)
}

func (c Changed) define(ctx context.Context, s *session.Session, done, name string, from source, fields *Fields, inactive bool,
	send func(*scheduler.Client, context.Context, *scheduler.Job) (*scheduler.Job, error)) error {
	jobs, err := from.jobs(s, name, fields)
	if err != nil {
		return err
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	t := c.teller(s)
	for _, j := range jobs {
		if inactive {
			j.Active = new(false)
		}
		name := j.Name
		if j, err = send(link.Jobs, ctx, j); err != nil {
			if len(jobs) > 1 {
				err = named(name, err)
			}
			break
		}
		if err = t.tell(done, j); err != nil {
			break
		}
	}
	return errors.Join(err, t.close())
}

// Update is bellhop job update.
type Update struct {
	Name string `arg:"" optional:"" complete:"job" help:"The job's name."`
	source
	Fields
	Unset    []string `placeholder:"FIELD" sep:"," help:"Remove a field, or a part of one: timeout, schedule.end, retry.backoff, labels.KEY."`
	Revision uint64   `placeholder:"N" help:"Only if the job is at this revision."`
	Changed
}

// casTries is how often an update is made anew when somebody else was faster.
const casTries = 5

// Run updates.
func (c *Update) Run(ctx context.Context, s *session.Session) error {
	changes, err := c.changes(s)
	if err != nil {
		return err
	}
	ctx, link, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer link.Close()
	t := c.teller(s)
	for _, change := range changes {
		var j *scheduler.Job
		if j, err = c.update(ctx, s, link.Jobs, change); err != nil {
			err = named(change.name, err)
			break
		}
		if err = t.tell("updated", j); err != nil {
			break
		}
	}
	return errors.Join(err, t.close())
}

// change is what becomes of one job.
type change struct {
	name   string
	fields map[string]json.RawMessage // of a file
}

// changes gives what the file says, or else the job that is named.
func (c *Update) changes(s *session.Session) ([]change, error) {
	if c.File == "" {
		if c.Name == "" {
			return nil, session.Usage("say NAME, or -f FILE", "no job is named")
		}
		return []change{{name: c.Name}}, nil
	}
	all, err := c.read(s)
	if err != nil {
		return nil, err
	}
	var changes []change
	for i, data := range all {
		ch := change{name: c.Name}
		if err := json.Unmarshal(data, &ch.fields); err != nil {
			return nil, session.Usage("", "-f %s, definition %d: %w", c.File, i+1, err)
		}
		if name := ch.fields["name"]; ch.name == "" && json.Unmarshal(name, &ch.name) != nil || ch.name == "" {
			return nil, session.Usage("give NAME, or a name in the file", "-f %s, definition %d has no name", c.File, i+1)
		}
		changes = append(changes, ch)
	}
	return changes, nil
}

// update reads the job, changes what the flags say, and writes it if nobody
// else did meanwhile; else it begins again.
func (c *Update) update(ctx context.Context, s *session.Session, client *scheduler.Client, ch change) (*scheduler.Job, error) {
	for try := 1; ; try++ {
		fields, revision := ch.fields, c.Revision
		if c.relative() {
			j, err := client.Get(ctx, ch.name)
			if err != nil {
				return nil, err
			}
			if fields, err = c.merge(s, j, ch.fields); err != nil {
				return nil, err
			}
			if revision == 0 {
				revision = j.Revision
			}
		}
		if len(fields) == 0 {
			return nil, session.Usage("say what to change: bellhop job update --help", "nothing is to be changed")
		}
		j, err := client.Update(ctx, ch.name, revision, fields)
		again := c.relative() && c.Revision == 0 && scheduler.Code(err) == 409 && try < casTries
		if err == nil || !again {
			return j, err
		}
	}
}

// relative tells whether the change depends on what the job is.
func (c *Update) relative() bool {
	f := c.Fields
	return f.given() || len(f.Label) > 0 || f.Attempts != nil || f.Backoff != nil || f.MaxBackoff != nil ||
		slices.ContainsFunc(c.Unset, nested) || c.File == ""
}

// merge gives the fields to send: what the file says, then the flags.
func (c *Update) merge(s *session.Session, j *scheduler.Job, from map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	changed, err := c.apply(s, j)
	if err != nil {
		return nil, err
	}
	for _, path := range c.Unset {
		if err := unset(j, path, changed); err != nil {
			return nil, err
		}
	}
	now, err := raw(j)
	if err != nil {
		return nil, err
	}
	fields := make(map[string]json.RawMessage)
	maps.Copy(fields, from)
	for name := range changed {
		fields[name] = now[name]
		if now[name] == nil {
			fields[name] = json.RawMessage("null")
		}
	}
	// "payload": null is a payload of four bytes where it is sent alone.
	if changed["payload"] && now["payload"] == nil && now["payload_base64"] != nil {
		delete(fields, "payload")
	}
	return fields, nil
}
