package workers

import "time"

// Backoff is the wait after an attempt of a policy.
func Backoff(base, most time.Duration, attempt int) time.Duration {
	return rules{backoff: base, maxBackoff: most}.wait(attempt)
}
