package jobs

import (
	"encoding/json"
	"maps"
	"time"
	"unicode/utf8"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// Fields are the flags of a definition.
type Fields struct {
	Service *string `short:"s" complete:"service" placeholder:"NAME" help:"The service to ring."`
	Times
	Payload     *string             `placeholder:"TEXT|@FILE|-" help:"What the service is given: a text, a file, or standard input."`
	PayloadJSON *string             `name:"payload-json" placeholder:"JSON|@FILE|-" help:"The same, in JSON: its bytes are given as they are."`
	Label       map[string]string   `short:"l" mapsep:"none" placeholder:"KEY=VALUE" help:"A label; may be said many times."`
	Description *string             `placeholder:"TEXT" help:"For people."`
	Timeout     *scheduler.Duration `group:"Policy" placeholder:"30s" help:"Bounds an attempt."`
	Attempts    *int                `group:"Policy" placeholder:"N" help:"How often a run is tried in all."`
	Backoff     *scheduler.Duration `group:"Policy" placeholder:"1s" help:"The wait before the second attempt; it doubles each time."`
	MaxBackoff  *scheduler.Duration `group:"Policy" placeholder:"1m" help:"The longest wait."`
	Expires     *scheduler.Duration `group:"Policy" placeholder:"5m" help:"How late a run may start."`
	Missed      *string             `group:"Policy" enum:"skip,once,all" placeholder:"skip|once|all" help:"What becomes of runs that fell due while no scheduler ran."`
	Overlap     *string             `group:"Policy" enum:"allow,skip,queue,replace" placeholder:"allow|skip|queue|replace" help:"What happens when a run of the job is still under way."`
	History     *string             `group:"Policy" enum:"all,failures,none" placeholder:"all|failures|none" help:"Which runs leave a record."`
	OnSuccess   *string             `group:"Policy" placeholder:"SERVICE|job:NAME" help:"What is rung after a run that went well, with its output."`
	OnFailure   *string             `group:"Policy" placeholder:"SERVICE|job:NAME" help:"What is rung after one that failed for good, with its error."`
}

// apply changes a job as the flags say, and gives the top-level fields that
// they speak of.
func (f *Fields) apply(s *session.Session, j *scheduler.Job) (map[string]bool, error) {
	changed := make(map[string]bool)
	if f.given() {
		changed["schedule"] = true
		if err := f.Times.apply(&j.Schedule, time.Now()); err != nil {
			return nil, err
		}
	}
	if err := f.payload(s, j, changed); err != nil {
		return nil, err
	}
	if len(f.Label) > 0 {
		changed["labels"] = true
		if j.Labels == nil {
			j.Labels = make(map[string]string)
		}
		maps.Copy(j.Labels, f.Label)
	}
	if f.Attempts != nil || f.Backoff != nil || f.MaxBackoff != nil {
		changed["retry"] = true
		if j.Retry == nil {
			j.Retry = new(scheduler.Retry)
		}
		set(&j.Retry.Attempts, f.Attempts)
		set(&j.Retry.Backoff, f.Backoff)
		set(&j.Retry.MaxBackoff, f.MaxBackoff)
	}
	for name, done := range map[string]bool{
		"service":     set(&j.Service, f.Service),
		"description": set(&j.Description, f.Description),
		"timeout":     set(&j.Timeout, f.Timeout),
		"expires":     set(&j.Expires, f.Expires),
		"missed":      set(&j.Missed, f.Missed),
		"overlap":     set(&j.Overlap, f.Overlap),
		"history":     set(&j.History, f.History),
		"on_success":  set(&j.OnSuccess, f.OnSuccess),
		"on_failure":  set(&j.OnFailure, f.OnFailure),
	} {
		if done {
			changed[name] = true
		}
	}
	return changed, nil
}

// set sets a field whose flag was given.
func set[T any](field *T, flag *T) bool {
	if flag != nil {
		*field = *flag
	}
	return flag != nil
}

func (f *Fields) payload(s *session.Session, j *scheduler.Job, changed map[string]bool) error {
	switch {
	case f.Payload != nil && f.PayloadJSON != nil:
		return session.Usage("leave out one of them", "--payload and --payload-json do not go together")
	case f.Payload != nil:
		b, err := s.Read(*f.Payload)
		if err != nil {
			return err
		}
		j.Payload, j.PayloadBase64 = payload(b)
	case f.PayloadJSON != nil:
		b, err := s.Read(*f.PayloadJSON)
		if err != nil {
			return err
		}
		if j.Payload, err = asJSON(b); err != nil {
			return err
		}
		j.PayloadBase64 = nil
	default:
		return nil
	}
	changed["payload"], changed["payload_base64"] = true, true
	return nil
}

// payload is what a definition holds for these bytes to be delivered.
func payload(b []byte) (text json.RawMessage, base64 []byte) {
	if utf8.Valid(b) {
		return scheduler.Text(string(b)), nil
	}
	return nil, b
}

// asJSON checks that b is one JSON value, and drops the white space around it.
func asJSON(b []byte) (json.RawMessage, error) {
	var raw json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, session.Usage("--payload takes any text", "--payload-json: not JSON: %w", err)
	}
	return raw, nil
}
