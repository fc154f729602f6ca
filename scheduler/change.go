package scheduler

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
)

// What a Change was: a verb of the API, or one of these.
const (
	ChangeAnchored = "anchored" // the scheduler wrote down where a grid begins
	ChangePut      = "kv put"   // somebody has written into the bucket,
	ChangeDeleted  = "kv del"   // or deleted from it, by hand
)

// Change is the record of a change to a job, on Namespace.ChangeSubject. It never
// holds a payload. Who changed what is stored with the definition itself, in one
// message, so that no record is missing whenever a process dies; the leader then
// writes the records, each revision once and in order.
type Change struct {
	// Revision is what the change has made, Was the job's before: 0 if there was
	// none, or if it is not known.
	Revision uint64 `json:"revision"`
	Was      uint64 `json:"was,omitempty"`
	// Job is the job's name.
	Job string `json:"job"`
	// Time is when the change was stored, by the server's clock.
	Time time.Time `json:"time"`
	// Verb is that of the API; a reason such as ReasonCompleted where the
	// scheduler has made the job inactive; or one of the constants.
	Verb string `json:"verb"`
	// By and Via are as in Terms; Via is "scheduler" for what it wrote of itself.
	By  string `json:"by,omitempty"`
	Via string `json:"via,omitempty"`
	// Fields are what has changed in the definition, as far as there is room.
	Fields []FieldChange `json:"fields,omitempty"`
}

// FieldChange is a top-level field of a definition before and after a change, in
// JSON; absent where it was not there, or is a payload, or is long (Omitted).
type FieldChange struct {
	Field   string          `json:"field"`
	From    json.RawMessage `json:"from,omitempty"`
	To      json.RawMessage `json:"to,omitempty"`
	Omitted bool            `json:"omitted,omitempty"`
}

// maxNote bounds what is stored with a definition, in bytes: it has its place in
// the headroom that every definition leaves.
const (
	maxNote  = 2 << 10
	maxValue = 400
)

// record appends the change as json.Marshal would write it, in a quarter of the time:
// there is one of each change, and few have fields.
func (c *Change) record(b []byte) ([]byte, error) {
	b = strconv.AppendUint(append(b, `{"revision":`...), c.Revision, 10)
	if c.Was != 0 {
		b = strconv.AppendUint(append(b, `,"was":`...), c.Was, 10)
	}
	b = appendText(append(b, `,"job":`...), c.Job)
	b = c.Time.AppendFormat(append(b, `,"time":"`...), time.RFC3339Nano)
	b = appendText(append(b, `","verb":`...), c.Verb)
	if c.By != "" {
		b = appendText(append(b, `,"by":`...), c.By)
	}
	if c.Via != "" {
		b = appendText(append(b, `,"via":`...), c.Via)
	}
	if len(c.Fields) > 0 {
		fields, err := json.Marshal(c.Fields)
		if err != nil {
			return nil, fmt.Errorf("record the fields of a change: %w", err)
		}
		b = append(append(b, `,"fields":`...), fields...)
	}
	return append(b, '}'), nil
}

// note is what is stored with a change of p to fields; nil for a deletion.
func note(t Terms, verb string, p *present, fields object) string {
	c := Change{Verb: verb, By: t.By, Via: t.Via}
	if p.there {
		c.Was = p.revision
		c.Fields = differences(p.fields, fields)
	}
	return c.note()
}

func (c Change) note() string {
	for {
		b, err := json.Marshal(struct {
			Was    uint64        `json:"was,omitempty"`
			Verb   string        `json:"verb"`
			By     string        `json:"by,omitempty"`
			Via    string        `json:"via,omitempty"`
			Fields []FieldChange `json:"fields,omitempty"`
		}{c.Was, c.Verb, c.By, c.Via, c.Fields})
		if err == nil && len(b) <= maxNote {
			return string(b)
		}
		if len(c.Fields) == 0 { // texts are bounded
			return ""
		}
		c.Fields = c.Fields[:len(c.Fields)-1]
	}
}

// differences are the fields of people's that a change touches. A deletion
// touches none.
func differences(before, after object) (all []FieldChange) {
	if after == nil {
		return nil
	}
	add := func(name string, from, to []byte) {
		if bytes.Equal(from, to) || fromReply[name] && name != "reason" {
			return
		}
		d := FieldChange{Field: name, From: compact(from), To: compact(to)}
		if name == "payload" || name == "payload_base64" || len(d.From) > maxValue || len(d.To) > maxValue {
			d.From, d.To, d.Omitted = nil, nil, true
		}
		if len(name) <= MaxNameLen {
			all = append(all, d)
		}
	}
	for _, f := range before {
		add(f.name, f.value, after.get(f.name))
	}
	for _, f := range after {
		if before.index(f.name) < 0 {
			add(f.name, nil, f.value)
		}
	}
	return all
}

// Differences are the top-level fields in which two definitions differ, but for
// those that only the scheduler writes. What is no object has no fields.
func Differences(before, after json.RawMessage) []FieldChange {
	a, _ := parseObject(before)
	b, _ := parseObject(after)
	if a == nil || b == nil {
		return nil
	}
	return differences(a, b)
}

func compact(raw []byte) json.RawMessage {
	var b bytes.Buffer
	if len(raw) == 0 || json.Compact(&b, raw) != nil {
		return nil
	}
	return b.Bytes()
}

// changeOf makes the record of a revision in the bucket.
func changeOf(e kv.Entry[[]byte]) Change { return readNote(e.Note).of(e) }

// readNote reads what is stored with a definition; strangers can write anything.
func readNote(note string) (c Change) {
	if note == "" || json.Unmarshal([]byte(note), &c) != nil {
		return Change{}
	}
	return c
}

// of makes of what is noted, if anything is, the record of a revision.
func (c Change) of(e kv.Entry[[]byte]) Change {
	if c.Verb == "" {
		c = Change{Verb: ChangePut}
		if e.Deleted {
			c.Verb = ChangeDeleted
		}
	}
	name, err := workers.Unescape(e.Key)
	if err != nil {
		name = e.Key
	}
	c.Revision, c.Job, c.Time = e.Revision, name, e.Created.UTC()
	return c
}
