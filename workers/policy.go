package workers

import "encoding/json"

// The values of Policy.Overlap; the empty string is OverlapAllow.
const (
	OverlapAllow   = "allow"
	OverlapSkip    = "skip"
	OverlapQueue   = "queue"
	OverlapReplace = "replace"
)

// The values of Policy.History; the empty string is HistoryAll.
const (
	HistoryAll      = "all"
	HistoryFailures = "failures"
	HistoryNone     = "none"
)

// Policy says how a run is to be carried out. It travels with the trigger in
// HeaderPolicy; the zero value is every default and travels as nothing.
// Durations are texts that time.ParseDuration takes ("30s", "1h30m"), made so
// by whoever writes the policy; empty means the worker's default.
type Policy struct {
	// Overlap says what happens when a run of the same job is under way.
	Overlap string `json:"overlap,omitempty"`
	// Timeout bounds one attempt.
	Timeout string `json:"timeout,omitempty"`
	// Retry says how often and how fast a failed attempt is repeated.
	Retry *Retry `json:"retry,omitempty"`
	// Expires is how long after its due time an attempt may still be started,
	// the first or a later one.
	Expires string `json:"expires,omitempty"`
	// History says which runs leave a record.
	History string `json:"history,omitempty"`
	// OnSuccess and OnFailure name what is rung after the run.
	OnSuccess string `json:"on_success,omitempty"`
	OnFailure string `json:"on_failure,omitempty"`
}

// Retry is the retry part of a Policy; zero fields mean the worker's default.
type Retry struct {
	// Attempts is how often a run is tried in all, 1 to 1,000.
	Attempts int `json:"attempts,omitempty"`
	// Backoff is the wait before the second attempt; it doubles with each.
	Backoff string `json:"backoff,omitempty"`
	// MaxBackoff bounds the wait.
	MaxBackoff string `json:"max_backoff,omitempty"`
}

// Header gives the policy as the value of HeaderPolicy, empty for the zero one.
func (p Policy) Header() string {
	if p == (Policy{}) {
		return ""
	}
	b, err := json.Marshal(p)
	if err != nil { // strings and ints always marshal
		panic(err)
	}
	return string(b)
}
