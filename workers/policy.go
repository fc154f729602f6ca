package workers

import (
	"encoding/json"
	"strings"
)

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
	// OnSuccess and OnFailure name what is rung after the run, on ChannelChain: a
	// service, or a job as "job:" and its name, with the policies that the job
	// has. OnSuccess follows on OutcomeOK, with the whole output as payload;
	// OnFailure on OutcomeDead, with the error's text (HeaderReason and
	// HeaderAttempts tell more). Runs that were skipped, cancelled or expired are
	// followed by neither, and neither is a direct call.
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

// policies remembers what header values say: the triggers of a service carry
// few different ones, and to parse JSON each time would cost more than to run
// an empty service. It is used by one goroutine; the zero value is ready.
type policies struct{ known map[string]parsed }

type parsed struct {
	policy Policy
	err    error
}

// maxPolicies is how many values are remembered before all are forgotten.
const maxPolicies = 64

// parse is parsePolicy; without a memory it is nothing else.
func (c *policies) parse(s string) (Policy, error) {
	if c == nil || len(s) > maxPolicyLen {
		return parsePolicy(s)
	}
	p, ok := c.known[s]
	if !ok {
		if c.known == nil || len(c.known) >= maxPolicies {
			c.known = make(map[string]parsed)
		}
		p.policy, p.err = parsePolicy(s)
		c.known[strings.Clone(s)] = p
	}
	if r := p.policy.Retry; r != nil { // the next trigger has its own
		p.policy.Retry = new(*r)
	}
	return p.policy, p.err
}
