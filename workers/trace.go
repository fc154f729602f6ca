package workers

import (
	"context"
	"strings"
)

// HeaderTrace is the W3C trace context that a trigger or a ring came with.
const HeaderTrace = "traceparent"

// SetTrace says of which trace the run whose context it is is a part, as a W3C
// traceparent: its record names that trace, and not the one that the trigger
// came with. It does nothing outside of a run, and ignores what is no
// traceparent.
func SetTrace(ctx context.Context, traceparent string) {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok && traceID(traceparent) != "" {
		a.trace.Store(&traceparent)
	}
}

// traceparent is the run's own, or else the trigger's.
func (a *attempt) traceparent() string {
	if p := a.trace.Load(); p != nil {
		return *p
	}
	if v := a.t.Header[HeaderTrace]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// traceID is the trace id of a W3C traceparent, empty when it is none.
func traceID(traceparent string) string {
	if len(traceparent) < 55 || traceparent[2] != '-' || traceparent[35] != '-' {
		return ""
	}
	id := traceparent[3:35]
	if strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}
