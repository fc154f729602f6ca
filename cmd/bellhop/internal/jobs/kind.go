package jobs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/output"
	"github.com/bellhop-run/bellhop/scheduler"
)

// kind is how jobs are printed.
var kind = output.Kind[*scheduler.Job]{
	Columns: []output.Column[*scheduler.Job]{
		{Title: "NAME", Text: func(j *scheduler.Job) string { return j.Name }},
		{Title: "SERVICE", Text: func(j *scheduler.Job) string { return j.Service }},
		{Title: "SCHEDULE", Text: func(j *scheduler.Job) string { return When(j.Schedule) }},
		{Title: "STATE", Text: state},
		{Title: "NEXT", Text: func(j *scheduler.Job) string { return Moment(j.Next, time.Now()) }},
		{Title: "RUNS", Wide: true, Text: func(j *scheduler.Job) string { return runs(j) }},
		{Title: "MISSED", Wide: true, Text: func(j *scheduler.Job) string { return j.Missed }},
		{Title: "LABELS", Wide: true, Text: func(j *scheduler.Job) string { return labels(j.Labels) }},
		{Title: "REVISION", Wide: true, Text: func(j *scheduler.Job) string { return strconv.FormatUint(j.Revision, 10) }},
		{Title: "DESCRIPTION", Wide: true, Text: func(j *scheduler.Job) string { return j.Description }},
	},
	Name:  func(j *scheduler.Job) string { return j.Name },
	JSON:  func(j *scheduler.Job) ([]byte, error) { return j.Definition() },
	Plain: plain,
}

// plain is the job for YAML, with a payload that is JSON as the text which
// delivers the same bytes: YAML keeps no others.
func plain(j *scheduler.Job) ([]byte, error) {
	c := *j
	if len(c.Payload) > 0 && c.Payload[0] != '"' && utf8.Valid(c.Payload) {
		c.Payload = scheduler.Text(string(c.Payload))
	}
	return c.Definition()
}

func state(j *scheduler.Job) string {
	switch {
	case j.Error != "":
		return j.Reason + ": " + j.Error
	case j.Reason != "":
		return j.Reason
	}
	return j.State
}

func runs(j *scheduler.Job) string {
	if j.Schedule.MaxRuns == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", j.Runs, j.Schedule.MaxRuns)
}

func labels(m map[string]string) string {
	var all []string
	for k, v := range m {
		all = append(all, k+"="+v)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// When is a schedule in a few words.
func When(s scheduler.Schedule) string {
	var b strings.Builder
	switch {
	case !s.At.IsZero():
		return "at " + s.At.Local().Format(timeLayout)
	case s.Cron != "":
		b.WriteString("cron " + s.Cron)
		if s.TimeZone != "" {
			b.WriteString(" " + s.TimeZone)
		}
	case s.Every != 0:
		b.WriteString("every " + s.Every.String())
	default:
		return "-"
	}
	if s.MaxRuns > 0 {
		fmt.Fprintf(&b, " ×%d", s.MaxRuns)
	}
	return b.String()
}

// timeLayout shows times to people: this machine's, and how far it is off UTC.
const timeLayout = "2006-01-02 15:04:05Z07:00"

// Moment is a time and how far away it is; "-" is none.
func Moment(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := t.Sub(now)
	if d < 0 {
		return t.Local().Format(timeLayout) + " (" + Rough(-d) + " ago)"
	}
	return t.Local().Format(timeLayout) + " (in " + Rough(d) + ")"
}

// Rough is a duration in its largest unit: 25m, 3d.
func Rough(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%dd", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// outlook says what is to be expected of a job.
func outlook(j *scheduler.Job, now time.Time) string {
	if j.State != scheduler.StateActive {
		return "inactive, " + state(j)
	}
	return When(j.Schedule) + ", next " + Moment(j.Next, now)
}

// deleted is what --watch prints of a job that is gone.
func deleted(name string) *scheduler.Job { return &scheduler.Job{Name: name, State: "deleted"} }

// raw gives the fields of a definition with their bytes.
func raw(j *scheduler.Job) (map[string]json.RawMessage, error) {
	b, err := j.Definition()
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	return fields, json.Unmarshal(b, &fields)
}
