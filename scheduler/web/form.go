package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
)

// form is what the page that makes and changes a job shows: texts, as they are
// typed.
type form struct {
	Was      string // the name of the job that is changed, empty for a new one
	Revision string
	url.Values
}

// V is the value of a field.
func (f form) V(name string) string { return f.Get(name) }

// Is tells whether a choice is the one that was made; the first one is empty.
func (f form) Is(name, value string) bool { return f.Get(name) == value }

func formOf(v url.Values) form { return form{v.Get("was"), v.Get("revision"), v} }

func (h *Handler) newPage(r *http.Request, _ *page) (any, error) {
	v := url.Values{"kind": {"every"}, "payload_kind": {"text"}, "active": {"yes"}}
	maps.Copy(v, r.URL.Query()) // a link can fill it in
	v.Del("was")
	return formOf(v), nil
}

func (h *Handler) editPage(r *http.Request, p *page) (any, error) {
	j, err := h.jobs.Get(r.Context(), r.URL.Query().Get("name"))
	if err != nil {
		return nil, err
	}
	p.Title = "Edit " + j.Name
	return formOf(fill(j)), nil
}

// fill gives a job as a form has it; the payload stays where it is.
func fill(j *scheduler.Job) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	timed := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.RFC3339Nano)
	}
	lasting := func(d scheduler.Duration) string {
		if d == 0 {
			return ""
		}
		return d.String()
	}
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	s := j.Schedule
	switch {
	case s.Every != 0:
		set("kind", "every")
	case s.Cron != "":
		set("kind", "cron")
	default:
		set("kind", "at")
	}
	set("was", j.Name)
	set("revision", strconv.FormatUint(j.Revision, 10))
	set("name", j.Name)
	set("service", j.Service)
	set("at", timed(s.At))
	set("every", lasting(s.Every))
	set("cron", s.Cron)
	set("time_zone", s.TimeZone)
	set("start", timed(s.Start))
	set("end", timed(s.End))
	set("max_runs", number(s.MaxRuns))
	set("jitter", lasting(s.Jitter))
	set("payload_kind", "keep")
	if j.Enabled() {
		set("active", "yes")
	}
	set("missed", j.Missed)
	set("overlap", j.Overlap)
	set("history", j.History)
	set("timeout", lasting(j.Timeout))
	set("expires", lasting(j.Expires))
	if j.Retry != nil {
		set("attempts", number(int64(j.Retry.Attempts)))
		set("backoff", lasting(j.Retry.Backoff))
		set("max_backoff", lasting(j.Retry.MaxBackoff))
	}
	set("on_success", j.OnSuccess)
	set("on_failure", j.OnFailure)
	set("description", j.Description)
	var labels []string
	for k, l := range j.Labels {
		labels = append(labels, k+"="+l)
	}
	set("labels", strings.Join(labels, "\n"))
	return v
}

// scheduleOf makes a schedule of a form: of the fields that its kind has.
func scheduleOf(v url.Values) (*scheduler.Schedule, error) {
	o := map[string]any{}
	text := func(names ...string) {
		for _, n := range names {
			if t := strings.TrimSpace(v.Get(n)); t != "" {
				o[n] = t
			}
		}
	}
	switch kind := v.Get("kind"); kind {
	case "at":
		text("at")
	case "every":
		text("every", "start", "end", "jitter")
	case "cron":
		text("cron", "time_zone", "start", "end", "jitter")
	default:
		return nil, bad("schedule", "choose once, interval or cron", "there is none")
	}
	if t := strings.TrimSpace(v.Get("max_runs")); t != "" && v.Get("kind") != "at" {
		n, err := strconv.ParseInt(t, 10, 64)
		if err != nil {
			return nil, bad("schedule.max_runs", "write a whole number", "%.40q", t)
		}
		o["max_runs"] = n
	}
	if len(o) == 0 {
		return nil, bad("schedule", "", "say when")
	}
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	s := new(scheduler.Schedule)
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, err
	}
	_, err = s.Compile(time.Now().UnixMilli())
	return s, err
}

// fieldsOf makes the fields of a definition of a form. In a change, those that
// are empty are removed.
func fieldsOf(v url.Values, change bool) (map[string]json.RawMessage, error) {
	s, err := scheduleOf(v)
	if err != nil {
		return nil, err
	}
	o := map[string]any{"schedule": s, "active": v.Get("active") == "yes"}
	for _, n := range []string{"service", "missed", "overlap", "history", "timeout", "expires", "on_success", "on_failure", "description"} {
		if t := strings.TrimSpace(v.Get(n)); t != "" {
			o[n] = t
		} else if change {
			o[n] = nil
		}
	}
	if !change {
		o["name"] = v.Get("name")
	}
	retry := map[string]any{}
	for _, n := range []string{"backoff", "max_backoff"} {
		if t := strings.TrimSpace(v.Get(n)); t != "" {
			retry[n] = t
		}
	}
	if t := strings.TrimSpace(v.Get("attempts")); t != "" {
		n, err := strconv.Atoi(t)
		if err != nil {
			return nil, bad("retry.attempts", "write a whole number", "%.40q", t)
		}
		retry["attempts"] = n
	}
	if len(retry) > 0 || change {
		o["retry"] = retry
		if len(retry) == 0 {
			o["retry"] = nil
		}
	}
	labels := map[string]string{}
	for line := range strings.Lines(v.Get("labels")) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		k, l, ok := strings.Cut(line, "=")
		if !ok {
			return nil, bad("labels", "write key=value, one a line", "%.60q", line)
		}
		labels[strings.TrimSpace(k)] = strings.TrimSpace(l)
	}
	if len(labels) > 0 || change {
		o["labels"] = labels
	}
	if err := payloadOf(v, o); err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	for name, value := range o {
		if fields[name], err = json.Marshal(value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return fields, nil
}

// payloadOf adds the payload, as its kind says.
func payloadOf(v url.Values, o map[string]any) error {
	text := strings.ReplaceAll(v.Get("payload"), "\r\n", "\n") // browsers send both
	switch v.Get("payload_kind") {
	case "keep":
	case "none":
		if v.Get("was") != "" {
			o["payload"] = nil
		}
	case "json":
		if !json.Valid([]byte(text)) {
			return bad("payload", "choose text for what is not JSON", "not JSON")
		}
		o["payload"] = json.RawMessage(text)
	case "base64":
		o["payload_base64"] = strings.TrimSpace(text)
	default:
		if text != "" {
			o["payload"] = text
		}
	}
	return nil
}

// preview is what a schedule comes to, while it is being typed.
type preview struct {
	forecast
	Zone *time.Location
}

func (h *Handler) previewPage(r *http.Request, p *page) (any, error) {
	s, err := scheduleOf(r.URL.Query())
	var f forecast
	if err == nil {
		f, err = foresee(s, time.Now(), 10)
	}
	if err != nil {
		e := explain(err)
		if e.Code >= http.StatusInternalServerError {
			return nil, err
		}
		p.Wrong = &problem{http.StatusText(e.Code), http.StatusOK, e.Message, e.Field, e.Hint, 0} // it is still being typed
	}
	return preview{f, zoneOf(s)}, nil
}

// zoneOf is the zone in which people think of a schedule.
func zoneOf(s *scheduler.Schedule) *time.Location {
	if s == nil || s.TimeZone == "" {
		return time.UTC
	}
	zone, err := time.LoadLocation(s.TimeZone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// In is a time in the schedule's own zone.
func (p preview) In(t time.Time) string { return t.In(p.Zone).Format("Mon 2006-01-02 15:04:05 MST") }
