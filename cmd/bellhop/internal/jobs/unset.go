package jobs

import (
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/cmd/bellhop/internal/session"
	"github.com/bellhop-run/bellhop/scheduler"
)

// whole are the fields that can be removed as they are.
var whole = map[string]func(*scheduler.Job){
	"payload":        func(j *scheduler.Job) { j.Payload, j.PayloadBase64 = nil, nil },
	"payload_base64": func(j *scheduler.Job) { j.Payload, j.PayloadBase64 = nil, nil },
	"active":         func(j *scheduler.Job) { j.Active = nil },
	"missed":         func(j *scheduler.Job) { j.Missed = "" },
	"overlap":        func(j *scheduler.Job) { j.Overlap = "" },
	"timeout":        func(j *scheduler.Job) { j.Timeout = 0 },
	"retry":          func(j *scheduler.Job) { j.Retry = nil },
	"expires":        func(j *scheduler.Job) { j.Expires = 0 },
	"history":        func(j *scheduler.Job) { j.History = "" },
	"on_success":     func(j *scheduler.Job) { j.OnSuccess = "" },
	"on_failure":     func(j *scheduler.Job) { j.OnFailure = "" },
	"labels":         func(j *scheduler.Job) { j.Labels = nil },
	"description":    func(j *scheduler.Job) { j.Description = "" },
}

// parts are the parts of fields that can be removed alone.
var parts = map[string]func(*scheduler.Job){
	"schedule.start":     func(j *scheduler.Job) { j.Schedule.Start = time.Time{} },
	"schedule.end":       func(j *scheduler.Job) { j.Schedule.End = time.Time{} },
	"schedule.max_runs":  func(j *scheduler.Job) { j.Schedule.MaxRuns = 0 },
	"schedule.jitter":    func(j *scheduler.Job) { j.Schedule.Jitter = 0 },
	"schedule.time_zone": func(j *scheduler.Job) { j.Schedule.TimeZone = "" },
	"retry.attempts":     func(j *scheduler.Job) { j.Retry.Attempts = 0 },
	"retry.backoff":      func(j *scheduler.Job) { j.Retry.Backoff = 0 },
	"retry.max_backoff":  func(j *scheduler.Job) { j.Retry.MaxBackoff = 0 },
}

func nested(path string) bool { return strings.Contains(path, ".") }

// unset removes a field, written as in JSON or as its flag is.
func unset(j *scheduler.Job, path string, changed map[string]bool) error {
	field, part, _ := strings.Cut(path, ".")
	if field == "labels" && part != "" {
		delete(j.Labels, part)
		changed[field] = true
		return nil
	}
	path = strings.ReplaceAll(strings.TrimPrefix(path, "--"), "-", "_")
	field, _, _ = strings.Cut(path, ".")
	remove := whole[path]
	if remove == nil {
		for name, f := range parts { // "end" stands for "schedule.end"
			if name == path || strings.HasSuffix(name, "."+path) {
				remove, field = f, name[:strings.IndexByte(name, '.')]
			}
		}
	}
	if remove == nil {
		return session.Usage("use a field as bellhop job get -o json shows it; name, service and schedule cannot be removed",
			"--unset %s: there is nothing of that name to remove", path)
	}
	if field == "retry" && j.Retry == nil {
		j.Retry = new(scheduler.Retry)
	}
	remove(j)
	changed[field] = true
	if field == "payload" || field == "payload_base64" {
		changed["payload"], changed["payload_base64"] = true, true
	}
	return nil
}
