package jobs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/clock"
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
		{Title: "NEXT", Text: func(j *scheduler.Job) string { return clock.Show(j.Next, time.Now()) }},
		{Title: "RUNS", Wide: true, Text: counted},
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

func counted(j *scheduler.Job) string {
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
		return "at " + s.At.Local().Format(clock.Layout)
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

// outlook says what is to be expected of a job.
func outlook(j *scheduler.Job, now time.Time) string {
	if j.State != scheduler.StateActive {
		return "inactive, " + state(j)
	}
	return When(j.Schedule) + ", next " + clock.Show(j.Next, now)
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
