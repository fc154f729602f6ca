package workers

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

// appendJSON writes what json.Marshal does, in a third of the time: a record is
// written for each run. A field of Run that is forgotten here fails its test.
func (r *Run) appendJSON(b []byte) ([]byte, error) {
	w := jsonWriter{b: append(b, '{')}
	w.text("run", r.Run, false)
	w.text("job", r.Job, true)
	w.text("service", r.Service, false)
	w.text("channel", r.Channel, true)
	w.text("parent", r.Parent, true)
	w.time("due", r.Due, true)
	w.time("started", r.Started, true)
	w.time("finished", r.Finished, true)
	w.number("attempt", r.Attempt)
	w.text("outcome", r.Outcome, false)
	w.text("error", r.Error, true)
	w.text("output", r.Output, true)
	if len(r.OutputBase64) > 0 {
		w.name("output_base64")
		w.b = append(base64.StdEncoding.AppendEncode(append(w.b, '"'), r.OutputBase64), '"')
	}
	w.number("output_size", r.OutputSize)
	if len(r.Logs) > 0 {
		w.value("logs", r.Logs)
	}
	w.number("logs_dropped", r.LogsDropped)
	if r.Progress != nil {
		w.value("progress", r.Progress)
	}
	w.text("worker", r.Worker, true)
	w.text("trace", r.Trace, true)
	if r.Missed != nil { // rare
		w.value("missed", r.Missed)
	}
	return append(w.b, '}'), w.err
}

// jsonWriter appends the members of an object.
type jsonWriter struct {
	b   []byte
	err error
}

func (w *jsonWriter) name(s string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), s...), '"', ':')
}

func (w *jsonWriter) value(name string, v any) {
	w.name(name)
	b, err := json.Marshal(v)
	w.b = append(w.b, b...)
	w.fail(err)
}

func (w *jsonWriter) text(name, s string, omitEmpty bool) {
	if s == "" && omitEmpty {
		return
	}
	if !simpleText(s) {
		w.value(name, s)
		return
	}
	w.name(name)
	w.b = append(append(append(w.b, '"'), s...), '"')
}

// simpleText tells whether a text stands in JSON as it is.
func simpleText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func (w *jsonWriter) number(name string, n int) {
	if n != 0 {
		w.name(name)
		w.b = strconv.AppendInt(w.b, int64(n), 10)
	}
}

func (w *jsonWriter) time(name string, t time.Time, omitZero bool) {
	if t.IsZero() && omitZero {
		return
	}
	w.name(name)
	b, err := t.AppendText(append(w.b, '"'))
	w.b = append(b, '"')
	w.fail(err)
}

func (w *jsonWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
