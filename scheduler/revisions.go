package scheduler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Revision is a definition as it was stored once. The bucket keeps the last few
// of each job; a deletion takes all that were before it.
type Revision struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	// Verb, By and Via say whence it came: see Change.
	Verb string `json:"verb"`
	By   string `json:"by,omitempty"`
	Via  string `json:"via,omitempty"`
	// Definition is what was stored, without the payload; absent if that is not
	// an object.
	Definition json.RawMessage `json:"definition,omitempty"`
	// PayloadSize is how many bytes the payload has as it is stored, and
	// PayloadHash their SHA-256 in hexadecimal, by which two can be told apart.
	PayloadSize int    `json:"payload_size,omitempty"`
	PayloadHash string `json:"payload_sha256,omitempty"`
}

// History gives the revisions of a job that are kept, the newest first (404 if
// there is no such job).
func (c *Client) History(ctx context.Context, name string) ([]Revision, error) {
	var r struct {
		Revisions []Revision `json:"revisions"`
	}
	err := c.exchange(ctx, c.ns.JobsSubject("history"), map[string]string{"name": name}, &r)
	return r.Revisions, err
}

// Restore makes a job what it was at a revision that is kept, payload included.
// Like any other definition it is refused when it is never due again.
func (c *Client) Restore(ctx context.Context, name string, revision uint64) (*Job, error) {
	o := object{{name: "name", value: Text(name)}}.set("to", strconv.AppendUint(nil, revision, 10))
	return c.job(ctx, "restore", o.bytes())
}

func (v *verbs) history(ctx context.Context, data []byte) ([]byte, error) {
	name, err := readName(data)
	if err != nil {
		return nil, err
	}
	p, err := v.must(ctx, name)
	if err != nil {
		return nil, err
	}
	entries, err := v.s.jobs.bucket.History(ctx, p.key)
	if err != nil {
		return nil, err
	}
	all := make([]Revision, 0, len(entries))
	size := 0
	for _, e := range slices.Backward(entries) {
		if e.Deleted {
			continue
		}
		c := changeOf(e)
		r := Revision{Revision: e.Revision, Time: c.Time, Verb: c.Verb, By: c.By, Via: c.Via}
		if o, err := parseObject(e.Value); err == nil {
			for _, f := range []string{"payload", "payload_base64"} {
				if raw := o.get(f); raw != nil {
					sum := sha256.Sum256(raw)
					r.PayloadSize, r.PayloadHash = len(raw), hex.EncodeToString(sum[:])
					o = o.set(f, nil)
				}
			}
			if size += len(e.Value); size < listBytes { // people can put what is far longer
				r.Definition = o.bytes()
			}
		}
		all = append(all, r)
	}
	return json.Marshal(map[string]any{"revisions": all})
}

func (v *verbs) restore(ctx context.Context, data []byte) ([]byte, error) {
	var name string
	var to uint64
	if err := readArguments(data, func(f field) (err error) {
		switch f.name {
		case "name":
			name, err = text(f.value)
		case "to":
			err = json.Unmarshal(f.value, &to)
		default:
			return errUnknownField
		}
		return err
	}); err != nil {
		return nil, err
	}
	return v.change(ctx, "restore", name, func(p *present) (object, error) {
		if !p.there {
			return nil, notFound(name)
		}
		entries, err := v.s.jobs.bucket.History(ctx, p.key)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Revision != to || e.Deleted {
				continue
			}
			def, fields, err := parseStored(p.key, e.Value)
			if err != nil {
				return nil, located("to", fmt.Errorf("that revision is invalid: %w", err))
			}
			return v.complete(p, def, fields, false)
		}
		return nil, &Error{Code: 404, Field: "to", Message: fmt.Sprintf("revision %d of %q is not kept", to, name), Hint: "history shows those that are"}
	})
}
