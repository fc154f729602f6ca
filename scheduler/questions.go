package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/kv"
	"github.com/bellhop-run/bellhop/workers"
)

// Bounds of what is asked and answered.
const (
	// ListLimit is how many jobs a page of list holds if not told, and
	// MaxListLimit at most; a page also ends before it has listBytes.
	ListLimit    = 100
	MaxListLimit = 1000
	listBytes    = 240 << 10
	// NextCount is how many times next gives if not told, MaxNextCount at most.
	NextCount    = 5
	MaxNextCount = 1000
)

var errUnknownField = errors.New("unknown field")

// readArguments gives each field of a request to read; null is an absent one,
// but as a payload it is itself.
func readArguments(data []byte, read func(field) error) error {
	if len(data) == 0 {
		return nil
	}
	o, err := parseObject(data)
	if err != nil {
		return err
	}
	for _, f := range o {
		if isNull(f.value) && f.name != "payload" {
			continue
		}
		if err := read(f); err != nil {
			return located(f.name, err)
		}
	}
	return nil
}

func readName(data []byte) (name string, err error) {
	err = readArguments(data, func(f field) (err error) {
		if f.name != "name" {
			return errUnknownField
		}
		name, err = text(f.value)
		return err
	})
	return name, err
}

// reply is a job as it is answered: the stored fields and what the scheduler
// knows.
func (v *verbs) reply(key string, fields object, revision uint64) []byte {
	j, ok := v.s.book.lookup(key)
	if !ok || j.revision != revision {
		// Somebody has changed it since: what was written is still answered.
		j = v.s.book.read(kv.Entry[[]byte]{Key: key, Value: fields.bytes(), Revision: revision})
		v.s.book.kinds.release(j.kind)
	}
	return answer(&j, fields).bytes()
}

// answer adds to a definition's fields those of a reply.
func answer(j *job, fields object) object {
	name, err := workers.Unescape(j.key())
	if err != nil {
		name = j.key()
	}
	stored := fields
	fields = make(object, 0, len(stored)+len(fromReply))
	if stored.index("name") < 0 {
		fields = append(fields, field{name: "name", value: appendText(nil, name)})
	}
	for _, f := range stored {
		if !fromReply[f.name] || f.name == "anchor" || f.name == "activated" || f.name == "reason" {
			fields = append(fields, f)
		}
	}
	state := StateActive
	if !j.kind.active {
		state = StateInactive
	}
	fields = append(fields,
		field{name: "revision", value: strconv.AppendUint(nil, j.revision, 10)},
		field{name: "state", value: appendText(nil, state)})
	switch {
	case j.kind == broken:
		_, _, err := parseStored(j.key(), j.definition())
		if err == nil {
			err = errOversize
		}
		fields = fields.set("reason", appendText(nil, ReasonInvalid)).set("error", appendText(nil, apiError(err).Error()))
	case j.kind.active:
		fields = fields.set("reason", nil)
	case fields.index("reason") < 0: // put so by hand
		fields = fields.set("reason", appendText(nil, ReasonDeactivated))
	}
	if j.due != Never && j.kind.active {
		fields = append(fields, field{name: "next", value: appendText(nil, stamp(j.due).String())})
	}
	if j.count != nil {
		fields = append(fields, field{name: "runs", value: strconv.AppendInt(nil, j.count.runs, 10)})
	}
	return fields
}

func (v *verbs) get(ctx context.Context, data []byte) ([]byte, error) {
	name, err := readName(data)
	if err != nil {
		return nil, err
	}
	p, err := v.must(ctx, name)
	if err != nil {
		return nil, err
	}
	return v.reply(p.key, p.fields, p.revision), nil
}

func (v *verbs) next(ctx context.Context, data []byte) ([]byte, error) {
	var q struct {
		name     string
		schedule *Schedule
		count    int
		after    time.Time
	}
	q.count, q.after = NextCount, time.Now()
	if err := readArguments(data, func(f field) (err error) {
		switch f.name {
		case "name":
			q.name, err = text(f.value)
		case "schedule":
			var s Schedule
			s, err = readSchedule(f.value, true)
			q.schedule = &s
		case "count":
			err = json.Unmarshal(f.value, &q.count)
		case "after":
			err = json.Unmarshal(f.value, &q.after)
		default:
			return errUnknownField
		}
		return err
	}); err != nil {
		return nil, err
	}
	switch {
	case (q.name == "") == (q.schedule == nil):
		return nil, invalid("name", `send "name" or "schedule"`, "exactly one of name and schedule is needed")
	case q.count < 1 || q.count > MaxNextCount:
		return nil, invalid("count", fmt.Sprintf("use 1 to %d", MaxNextCount), "%d times", q.count)
	}
	var key string
	var plan Plan
	left := int64(q.count)
	if q.schedule != nil {
		var err error
		if plan, err = q.schedule.Compile(q.after.UnixMilli()); err != nil {
			return nil, err
		}
		if q.schedule.MaxRuns > 0 {
			left = min(left, q.schedule.MaxRuns)
		}
	} else {
		p, err := v.must(ctx, q.name)
		if err != nil {
			return nil, err
		}
		key, plan = p.key, p.slot.plan()
		if c := p.slot.count; c != nil {
			left = min(left, c.max-c.runs)
		}
		if !p.active() {
			left = 0
		}
	}
	times := []stamp{}
	for due := plan.nextAfter(key, q.after.UnixMilli()); due != Never && left > 0; due = plan.Next(key, due) {
		times = append(times, stamp(due))
		left--
	}
	return json.Marshal(struct {
		Next []stamp `json:"next"`
	}{times})
}

// nextAfter is Next, but Never for a plan that was never compiled.
func (p *Plan) nextAfter(key string, after int64) int64 {
	if *p == (Plan{}) {
		return Never
	}
	return p.Next(key, after)
}

// listQuery is what list is asked; all of it is optional.
type listQuery struct {
	prefix, service, state, cursor string
	labels                         map[string]string
	limit                          int
}

func readListQuery(data []byte) (listQuery, error) {
	q := listQuery{limit: ListLimit}
	err := readArguments(data, func(f field) (err error) {
		switch f.name {
		case "prefix":
			q.prefix, err = text(f.value)
		case "service":
			q.service, err = text(f.value)
		case "state":
			if q.state, err = text(f.value); err == nil {
				err = oneOf("state", q.state, StateActive+" "+StateInactive)
			}
		case "labels":
			err = json.Unmarshal(f.value, &q.labels)
		case "limit":
			err = json.Unmarshal(f.value, &q.limit)
		case "cursor":
			q.cursor, err = text(f.value)
		default:
			return errUnknownField
		}
		return err
	})
	if err == nil && (q.limit < 1 || q.limit > MaxListLimit) {
		err = invalid("limit", fmt.Sprintf("use 1 to %d", MaxListLimit), "%d jobs", q.limit)
	}
	return q, err
}

// list answers a page of jobs, in the order of their keys, without payloads.
func (v *verbs) list(_ context.Context, data []byte) ([]byte, error) {
	q, err := readListQuery(data)
	if err != nil {
		return nil, err
	}
	keys, prefix := v.s.book.order(), workers.Escape(q.prefix)
	i, found := slices.BinarySearch(keys, max(prefix, q.cursor))
	if found && q.cursor != "" && keys[i] == q.cursor {
		i++
	}
	out := append(make([]byte, 0, 4<<10), `{"jobs":[`...)
	n, cursor := 0, ""
	for ; i < len(keys) && strings.HasPrefix(keys[i], prefix); i++ {
		if n == q.limit {
			cursor = keys[i-1]
			break
		}
		j, ok := v.s.book.lookup(keys[i])
		if !ok || !q.matches(&j) {
			continue
		}
		short := answerShort(&j)
		if n > 0 && len(out)+len(short) > listBytes {
			cursor = keys[i-1]
			break
		}
		if n++; n > 1 {
			out = append(out, ',')
		}
		out = append(out, short...)
	}
	out = append(out, ']')
	if cursor != "" {
		out = append(append(out, `,"cursor":`...), appendText(nil, cursor)...)
	}
	return append(out, '}'), nil
}

// answerShort is a job as list answers it: without payload, and without
// anything but its name and service where what somebody has put into the
// bucket would fill the page alone.
func answerShort(j *job) []byte {
	fields, err := parseObject(j.definition())
	if err != nil {
		fields = nil
	}
	short := answer(j, fields.set("payload", nil).set("payload_base64", nil)).bytes()
	if len(short) > listBytes {
		short = answer(j, object{{name: "service", value: appendText(nil, j.kind.service)}}).bytes()
	}
	return short
}

func (q *listQuery) matches(j *job) bool {
	if q.service != "" && q.service != j.kind.service || q.state != "" && (q.state == StateActive) != (j.kind.active) {
		return false
	}
	if len(q.labels) == 0 {
		return true
	}
	def, _, err := parseStored(j.key(), j.definition())
	if err != nil {
		return false
	}
	for k, want := range q.labels {
		if have, ok := def.Labels[k]; !ok || have != want {
			return false
		}
	}
	return true
}
