package scheduler

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bellhop-run/bellhop/workers"
)

// Bounds of what a definition may hold.
const (
	// MaxNameLen is the longest name, in bytes.
	MaxNameLen = 200
	// MaxLabels is how many labels a job may carry; keys and values are at
	// most MaxNameLen bytes each.
	MaxLabels = 64
	// MaxDescriptionLen is the longest description, in bytes.
	MaxDescriptionLen = 4096
	// MaxAttempts is the most that a retry policy may ask for.
	MaxAttempts = 1000
	// headroom is what a definition leaves free of the server's max_payload,
	// for the headers of a trigger and the fields that a reply adds.
	headroom = 4096
	// maxPolicyLen bounds the policy header, the only part of a trigger's
	// headers whose length people choose freely.
	maxPolicyLen = 2048
)

// The values of Job.Missed; the empty string is MissedSkip.
const (
	MissedSkip = "skip"
	MissedOnce = "once"
	MissedAll  = "all"
)

// The values of Job.State.
const (
	StateActive   = "active"
	StateInactive = "inactive"
)

// The reasons why a job is inactive. All but ReasonInvalid are stored.
const (
	ReasonCompleted   = "completed"   // it has done its last run
	ReasonMissed      = "missed"      // its one time passed while nothing ran
	ReasonExpired     = "expired"     // its end has passed
	ReasonDeactivated = "deactivated" // somebody asked for it
	ReasonInvalid     = "invalid"     // the stored definition cannot be read
)

// Job is a definition, as it is stored, sent and answered. encoding/json may
// change the bytes of Payload (it compacts and escapes): use Client, which
// does not.
type Job struct {
	// Name is any printable UTF-8 of 1 to MaxNameLen bytes.
	Name string `json:"name"`
	// Service is who is rung.
	Service string `json:"service"`
	// Schedule is when.
	Schedule Schedule `json:"schedule"`
	// Payload is what the service is given: a JSON string as its text, any
	// other JSON value as its bytes. See Text and Bytes.
	Payload json.RawMessage `json:"payload,omitempty"`
	// PayloadBase64 is a binary payload; only one of the two may be there.
	PayloadBase64 []byte `json:"payload_base64,omitempty"`
	// Active says whether the job is to run; absent means true.
	Active *bool `json:"active,omitempty"`

	// Missed says what becomes of occurrences that fell due while no
	// scheduler was running: MissedSkip, MissedOnce or MissedAll.
	Missed string `json:"missed,omitempty"`
	// Overlap, Timeout, Retry, Expires, History, OnSuccess and OnFailure
	// travel with each trigger; workers.Policy says what they mean.
	Overlap   string   `json:"overlap,omitempty"`
	Timeout   Duration `json:"timeout,omitempty"`
	Retry     *Retry   `json:"retry,omitempty"`
	Expires   Duration `json:"expires,omitempty"`
	History   string   `json:"history,omitempty"`
	OnSuccess string   `json:"on_success,omitempty"`
	OnFailure string   `json:"on_failure,omitempty"`
	// Labels are the users' own; list filters by them.
	Labels map[string]string `json:"labels,omitempty"`
	// Description is for people.
	Description string `json:"description,omitempty"`

	// Anchor is the origin of the grid of an interval without start, and
	// Activated when the job was last made active: the count of max_runs
	// begins there. The scheduler writes both; requests that hold them are
	// taken without them.
	Anchor    time.Time `json:"anchor,omitzero"`
	Activated time.Time `json:"activated,omitzero"`
	// Reason says why the job is inactive.
	Reason string `json:"reason,omitempty"`

	// What follows is in replies only.

	// Revision is the definition's revision in the bucket.
	Revision uint64 `json:"revision,omitempty"`
	// State is StateActive or StateInactive.
	State string `json:"state,omitempty"`
	// Error says what is wrong with a definition that cannot be read.
	Error string `json:"error,omitempty"`
	// Next is the next due time, zero if there is none.
	Next time.Time `json:"next,omitzero"`
	// Runs is how many triggers were counted, where max_runs is set.
	Runs int64 `json:"runs,omitempty"`
}

// Retry is a job's retry policy.
type Retry struct {
	// Attempts is how often a run is tried in all, 1 to MaxAttempts.
	Attempts int `json:"attempts,omitempty"`
	// Backoff is the wait before the second attempt; it doubles each time.
	Backoff Duration `json:"backoff,omitempty"`
	// MaxBackoff bounds the wait.
	MaxBackoff Duration `json:"max_backoff,omitempty"`
}

// Text makes a payload that is delivered as the text s.
func Text(s string) json.RawMessage { return appendText(nil, s) }

// Bytes gives the payload as the service will get it.
func (j *Job) Bytes() ([]byte, error) {
	if len(j.PayloadBase64) > 0 {
		return j.PayloadBase64, nil
	}
	if len(j.Payload) > 0 && j.Payload[0] == '"' {
		s, err := text(j.Payload)
		return []byte(s), err
	}
	return j.Payload, nil
}

// Enabled tells whether the definition asks to run: Active absent or true.
func (j *Job) Enabled() bool { return j.Active == nil || *j.Active }

// fromReply are the fields that only replies, or only the scheduler, write.
var fromReply = map[string]bool{
	"anchor": true, "activated": true, "reason": true,
	"revision": true, "state": true, "error": true, "next": true, "runs": true,
}

// ParseJob reads a definition as a request holds it: unknown fields are refused,
// those of a reply dropped, and the payload's bytes are kept. Its errors are
// *Error.
func ParseJob(data []byte) (*Job, error) {
	j, _, err := parseRequest(data)
	if err != nil {
		return nil, err
	}
	return j, nil
}

// parseRequest reads a definition that somebody sent: unknown fields are
// refused and those of a reply dropped. The object returned is what to store.
func parseRequest(data []byte) (*Job, object, error) {
	o, err := parseObject(data)
	if err != nil {
		return nil, nil, err
	}
	return readRequest(o)
}

// readRequest is parseRequest of what was split already, and is not good any more.
func readRequest(o object) (*Job, object, error) {
	kept := slices.DeleteFunc(o, func(f field) bool { return fromReply[f.name] })
	j := new(Job)
	if err := j.read(kept, true); err != nil {
		return nil, nil, err
	}
	return j, kept, j.check()
}

// parseStored reads a definition in the bucket, whoever put it there. Its
// unknown fields are no error; a missing name is the key's.
func parseStored(key string, data []byte) (*Job, object, error) {
	o, err := parseObject(data)
	if err != nil {
		return nil, nil, err
	}
	j := new(Job)
	if err := j.read(o, false); err != nil {
		return nil, o, err
	}
	name, err := workers.Unescape(key)
	if err != nil {
		return j, o, invalid("", "escape the name: every byte outside A-Z a-z 0-9 _ - is written =XX", "the key %q is not an escaped name", key)
	}
	switch j.Name {
	case "":
		j.Name = name
	case name:
	default:
		return j, o, invalid("name", "leave it out or put the job under "+workers.Escape(j.Name), "the name %q belongs under another key", j.Name)
	}
	return j, o, j.check()
}

// read sets the fields that o holds; null stands for an absent one.
func (j *Job) read(o object, strict bool) error {
	for _, f := range o {
		if isNull(f.value) && f.name != "payload" {
			if strict && errors.Is(new(Job).readField(f, true), errUnknownField) {
				return located(f.name, errUnknownField)
			}
			continue
		}
		if err := j.readField(f, strict); err != nil {
			return located(f.name, err)
		}
	}
	return nil
}

func (j *Job) readField(f field, strict bool) (err error) {
	switch f.name {
	case "name":
		j.Name, err = text(f.value)
	case "service":
		j.Service, err = text(f.value)
	case "schedule":
		j.Schedule, err = readSchedule(f.value, strict)
	case "payload":
		j.Payload = f.value
	case "payload_base64":
		j.PayloadBase64, err = parseBase64(f.value)
	case "active":
		err = json.Unmarshal(f.value, &j.Active)
	case "missed":
		j.Missed, err = text(f.value)
	case "overlap":
		j.Overlap, err = text(f.value)
	case "timeout":
		err = json.Unmarshal(f.value, &j.Timeout)
	case "retry":
		j.Retry, err = parseRetry(f.value, strict)
	case "expires":
		err = json.Unmarshal(f.value, &j.Expires)
	case "history":
		j.History, err = text(f.value)
	case "on_success":
		j.OnSuccess, err = text(f.value)
	case "on_failure":
		j.OnFailure, err = text(f.value)
	case "labels":
		err = json.Unmarshal(f.value, &j.Labels)
	case "description":
		j.Description, err = text(f.value)
	case "anchor":
		err = j.Anchor.UnmarshalJSON(f.value)
	case "activated":
		err = j.Activated.UnmarshalJSON(f.value)
	case "reason":
		j.Reason, err = text(f.value)
	default:
		if strict {
			return errUnknownField
		}
	}
	return err
}

func parseBase64(raw []byte) ([]byte, error) {
	s, err := text(raw)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, invalid("payload_base64", "use standard base64 with padding", "%v", err)
	}
	return b, nil
}

func parseRetry(raw []byte, strict bool) (*Retry, error) {
	o, err := parseObject(raw)
	if err != nil {
		return nil, err
	}
	r := new(Retry)
	for _, f := range o {
		if isNull(f.value) {
			continue
		}
		switch f.name {
		case "attempts":
			err = json.Unmarshal(f.value, &r.Attempts)
		case "backoff":
			err = json.Unmarshal(f.value, &r.Backoff)
		case "max_backoff":
			err = json.Unmarshal(f.value, &r.MaxBackoff)
		default:
			if strict {
				err = invalid("", "", "unknown field")
			}
		}
		if err != nil {
			return nil, located("retry."+f.name, err)
		}
	}
	return r, nil
}

// located makes of any error an *Error about the field at path.
func located(path string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		c := *e
		if !strings.HasPrefix(c.Field, path) {
			c.Field = path
		}
		return &c
	}
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return invalid(path, "", "cannot be a JSON %s", t.Value)
	}
	return invalid(path, "", "%s", strings.TrimPrefix(err.Error(), "json: "))
}

// check refuses what no schedule, service or worker could carry out.
func (j *Job) check() error {
	if err := checkName(j.Name); err != nil {
		return err
	}
	if err := workers.CheckService(j.Service); err != nil {
		return invalid("service", "", "%s", strings.TrimPrefix(err.Error(), workers.ErrName.Error()+": "))
	}
	if _, err := j.Schedule.Compile(0); err != nil {
		return err
	}
	if j.Payload != nil && j.PayloadBase64 != nil {
		return invalid("payload_base64", "send only one", "there are two payloads")
	}
	for _, c := range [...]struct{ field, value, allowed string }{
		{"missed", j.Missed, "skip once all"},
		{"overlap", j.Overlap, "allow skip queue replace"},
		{"history", j.History, "all failures none"},
	} {
		if err := oneOf(c.field, c.value, c.allowed); err != nil {
			return err
		}
	}
	if r := j.Retry; r != nil && (r.Attempts < 0 || r.Attempts > MaxAttempts) {
		return invalid("retry.attempts", fmt.Sprintf("use 1 to %d", MaxAttempts), "%d attempts", r.Attempts)
	}
	for _, c := range [...]struct{ field, target string }{{"on_success", j.OnSuccess}, {"on_failure", j.OnFailure}} {
		if err := checkTarget(c.field, c.target); err != nil {
			return err
		}
	}
	if h := j.policy().Header(); len(h) > maxPolicyLen {
		return invalid("on_failure", "shorten the names in on_success and on_failure", "the policies take %d bytes in a trigger: at most %d", len(h), maxPolicyLen)
	}
	return j.checkNotes()
}

func oneOf(field, value, allowed string) error {
	if value == "" {
		return nil
	}
	for a := range strings.FieldsSeq(allowed) {
		if a == value {
			return nil
		}
	}
	return invalid(field, "use one of: "+strings.ReplaceAll(allowed, " ", ", "), "unknown value %.40q", value)
}

// checkTarget refuses what a chain could not ring: it is a service, or a job
// written "job:<name>".
func checkTarget(field, target string) error {
	if target == "" {
		return nil
	}
	if name, ok := strings.CutPrefix(target, "job:"); ok {
		if checkName(name) != nil {
			return invalid(field, "write job:NAME", "not the name of a job: %.60q", name)
		}
		return nil
	}
	if err := workers.CheckService(target); err != nil {
		return invalid(field, "name a service, or a job as job:NAME", "%s", strings.TrimPrefix(err.Error(), workers.ErrName.Error()+": "))
	}
	return nil
}

// checkNotes bounds what is for people only.
func (j *Job) checkNotes() error {
	if len(j.Labels) > MaxLabels {
		return invalid("labels", "", "%d labels: at most %d", len(j.Labels), MaxLabels)
	}
	for k, v := range j.Labels {
		if k == "" || len(k) > MaxNameLen || len(v) > MaxNameLen {
			return invalid("labels", "", "label %.40q: use 1 to %d bytes for the key, at most as many for the value", k, MaxNameLen)
		}
	}
	if len(j.Description) > MaxDescriptionLen {
		return invalid("description", "", "%d bytes: at most %d", len(j.Description), MaxDescriptionLen)
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return invalid("name", "", "is missing")
	case len(name) > MaxNameLen:
		return invalid("name", "", "%d bytes: at most %d", len(name), MaxNameLen)
	case !utf8.ValidString(name):
		return invalid("name", "", "not UTF-8")
	}
	for _, r := range name {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return invalid("name", "use printable characters", "the character %U cannot be printed", r)
		}
	}
	return nil
}

// policy gives what travels with each trigger.
func (j *Job) policy() workers.Policy {
	p := workers.Policy{
		Timeout: j.Timeout.goString(), Expires: j.Expires.goString(),
		OnSuccess: j.OnSuccess, OnFailure: j.OnFailure,
	}
	if j.Overlap != workers.OverlapAllow {
		p.Overlap = j.Overlap
	}
	if j.History != workers.HistoryAll {
		p.History = j.History
	}
	if r := j.Retry; r != nil && *r != (Retry{}) {
		p.Retry = &workers.Retry{Attempts: r.Attempts, Backoff: r.Backoff.goString(), MaxBackoff: r.MaxBackoff.goString()}
	}
	return p
}

// goString is the duration as time.ParseDuration takes it, empty for none.
func (d Duration) goString() string {
	if d == 0 {
		return ""
	}
	return time.Duration(d).String()
}
