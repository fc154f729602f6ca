package workers

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// Bounds of a policy, whatever it says.
const (
	maxAttempts = 1000
	maxTimeout  = 7 * 24 * time.Hour
	maxBackoff  = 24 * time.Hour
)

// rules are a Policy made whole with a worker's defaults.
type rules struct {
	timeout    time.Duration
	attempts   int
	backoff    time.Duration
	maxBackoff time.Duration
	expires    time.Duration // 0 = never
	history    string
	overlap    string // OverlapAllow, unless there is a job
}

// rules makes the policy of a trigger whole, with the options of its service
// first and the worker's then.
func (h *handler) rules(t *Trigger) rules {
	r := h.defaults.rules(&t.Policy)
	if t.Job == "" {
		r.overlap = OverlapAllow
	}
	return r
}

// defaults are what counts where a policy says nothing.
type defaults struct {
	timeout    time.Duration
	attempts   int
	backoff    time.Duration
	maxBackoff time.Duration
}

// defaults are those of a service, and the worker's where it has none.
func (o *Options) defaults(s *ServiceOptions) defaults {
	return defaults{
		timeout:    cmp.Or(s.Timeout, o.Timeout),
		attempts:   cmp.Or(s.Attempts, o.Attempts),
		backoff:    cmp.Or(s.Backoff, o.Backoff),
		maxBackoff: cmp.Or(s.MaxBackoff, o.MaxBackoff),
	}
}

// rules makes a policy whole. What it leaves out, or says absurdly, is the
// worker's default.
func (o *defaults) rules(p *Policy) rules {
	r := rules{
		timeout:    bounded(p.Timeout, o.timeout, maxTimeout),
		attempts:   o.attempts,
		backoff:    o.backoff,
		maxBackoff: o.maxBackoff,
		expires:    bounded(p.Expires, 0, 0),
		history:    HistoryAll,
		overlap:    OverlapAllow,
	}
	if p.Overlap == OverlapSkip || p.Overlap == OverlapQueue || p.Overlap == OverlapReplace {
		r.overlap = p.Overlap
	}
	if p.History == HistoryFailures || p.History == HistoryNone {
		r.history = p.History
	}
	if p.Retry != nil {
		if p.Retry.Attempts > 0 {
			r.attempts = min(p.Retry.Attempts, maxAttempts)
		}
		r.backoff = bounded(p.Retry.Backoff, o.backoff, maxBackoff)
		r.maxBackoff = bounded(p.Retry.MaxBackoff, max(o.maxBackoff, r.backoff), maxBackoff)
	}
	return r
}

// bounded parses a duration above zero; limit 0 means none.
func bounded(s string, fallback, limit time.Duration) time.Duration {
	if s == "" { // mostly
		return fallback
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return fallback
	}
	return min(d, cmp.Or(limit, d))
}

// wait is how long to wait after a failed attempt (1, 2, …): the backoff
// doubled with each, bounded, and a random half of it taken off at most, so
// that what failed together does not come back together.
func (r rules) wait(attempt int) time.Duration {
	d := r.backoff
	for i := 1; i < attempt && d < r.maxBackoff; i++ {
		d *= 2
	}
	d = min(d, r.maxBackoff)
	return d - rand.N(d/2+1)
}

// records says whether an attempt with this outcome leaves a record.
func (r rules) records(outcome string) bool {
	return r.history == HistoryAll || r.history == HistoryFailures && outcome != OutcomeOK
}

// expired says whether a run that was due then may no longer be started.
func (r rules) expired(due, now time.Time) bool {
	return r.expires > 0 && !due.IsZero() && now.After(due.Add(r.expires))
}
