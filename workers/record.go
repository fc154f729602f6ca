package workers

import (
	"time"
	"unicode/utf8"
)

// The outcomes of an attempt. OutcomeFailed and OutcomeTimeout are followed by
// another attempt (but for a direct call's, whose caller has the error), all
// others are final.
const (
	OutcomeOK        = "ok"
	OutcomeFailed    = "failed"
	OutcomeTimeout   = "timeout"
	OutcomeDead      = "dead"
	OutcomeCancelled = "cancelled"
	OutcomeSkipped   = "skipped"
	OutcomeMissed    = "missed"
	OutcomeExpired   = "expired"
)

// Bounds of what a record keeps, in bytes.
const (
	maxOutput = 4 << 10
	maxError  = 1 << 10
)

// Run is the record of one attempt of a run, kept on Namespace.RunSubject.
type Run struct {
	// Run, Job, Service and Channel are those of the Trigger.
	Run     string `json:"run"`
	Job     string `json:"job,omitempty"`
	Service string `json:"service"`
	Channel string `json:"channel,omitempty"`
	// Parent is the run that this one follows in a chain, if any.
	Parent string `json:"parent,omitempty"`
	// Due, Started and Finished are in UTC; Due is absent where a run has none,
	// Started where it was never started.
	Due      time.Time `json:"due,omitzero"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Attempt  int       `json:"attempt,omitempty"`
	// Outcome is one of the Outcome constants.
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
	// Output is the first 4 KiB of what the service gave; what is not text is
	// in OutputBase64 instead. OutputSize is there when some was left out.
	Output       string `json:"output,omitempty"`
	OutputBase64 []byte `json:"output_base64,omitempty"`
	OutputSize   int    `json:"output_size,omitempty"`
	// Logs are the last lines that the service has logged (see Log), 8 KiB at
	// most; LogsDropped is how many were before them. Progress is the last that
	// it has reported.
	Logs        []LogLine `json:"logs,omitempty"`
	LogsDropped int       `json:"logs_dropped,omitempty"`
	Progress    *Progress `json:"progress,omitempty"`
	// Worker is the name of the worker, Trace the W3C trace id.
	Worker string `json:"worker,omitempty"`
	Trace  string `json:"trace,omitempty"`
	// Missed says what an outcome of OutcomeMissed stands for.
	Missed *Missed `json:"missed,omitempty"`
	// Place is where a record was read from: its sequence in the stream.
	Place uint64 `json:"-"`
}

// Missed is a stretch of a job's occurrences that nobody was there to ring.
type Missed struct {
	// From and To are the first and the last due time.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Count is how many they were; More means that there were even more, and
	// To is the last that was counted.
	Count int  `json:"count"`
	More  bool `json:"more,omitempty"`
}

// Lateness is how long after its due time the attempt started; zero if it had
// none or never started.
func (r *Run) Lateness() time.Duration {
	if r.Due.IsZero() || r.Started.IsZero() {
		return 0
	}
	return max(0, r.Started.Sub(r.Due))
}

// Duration is how long the attempt took; zero if it never started.
func (r *Run) Duration() time.Duration {
	if r.Started.IsZero() {
		return 0
	}
	return r.Finished.Sub(r.Started)
}

// setOutput keeps a bounded copy: the service may go on using its bytes.
func (r *Run) setOutput(out []byte) {
	if len(out) > maxOutput {
		r.OutputSize = len(out)
		out = cut(out, maxOutput)
	}
	if utf8.Valid(out) {
		r.Output = string(out)
	} else {
		r.OutputBase64 = append([]byte(nil), out...)
	}
}

func (r *Run) setError(err error) {
	if err != nil {
		r.Error = string(cut([]byte(err.Error()), maxError))
	}
}

// cut gives at most n bytes of b, without cutting a character in two.
func cut(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	for i := n; i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			return b[:i]
		}
	}
	return b[:n]
}
