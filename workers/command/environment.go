package command

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-run/bellhop/workers"
)

// maxTrace bounds a traceparent, in bytes; the ones of today have 55.
const maxTrace = 128

// environment is base and what the trigger says. Of a name that is there twice,
// the last one counts.
func environment(base []string, t *workers.Trigger) []string {
	name, err := workers.Unescape(t.Job)
	if err != nil {
		name = t.Job
	}
	due := ""
	if !t.Due.IsZero() {
		due = t.Due.Format(workers.DueLayout)
	}
	env := slices.Clip(base)
	set := func(name, value string) {
		// A zero byte would end the variable; only a hand-made trigger has any.
		env = append(env, name+"="+strings.ReplaceAll(value, "\x00", ""))
	}
	set("TRIGGER_RUN", t.Run)
	set("TRIGGER_JOB", name)
	set("TRIGGER_JOB_KEY", t.Job)
	set("TRIGGER_SERVICE", t.Service)
	set("TRIGGER_CHANNEL", t.Channel)
	set("TRIGGER_DUE", due)
	set("TRIGGER_ATTEMPT", strconv.Itoa(t.Attempt))
	set("TRIGGER_LAST_ERROR", t.LastError)
	if v := t.Header["traceparent"]; len(v) > 0 && len(v[0]) <= maxTrace {
		set("TRACEPARENT", v[0])
	}
	return env
}
