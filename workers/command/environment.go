package command

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bellhop-run/bellhop/workers"
)

// maxTrace bounds what is passed on of a trace, in bytes: a traceparent has 55
// today, a tracestate 512 that nobody may cut.
const maxTrace = 1 << 10

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
	for _, name := range []string{"traceparent", "tracestate"} {
		if v := t.Header[name]; len(v) > 0 && len(v[0]) <= maxTrace {
			set(strings.ToUpper(name), v[0])
		}
	}
	return env
}
