package forward

import (
	"net/http"
	"strconv"
	"time"
)

// RetryAfter is how long an endpoint that has too much to do (429, 503) asks to
// be left alone, by the header Retry-After: seconds, or a time of its own clock,
// which the header Date tells. It is false where nothing usable is said, which a
// time that has come is not: somebody who says 0 would be asked again and again
// without a pause. What the workers make of it is bounded by workers.RetryAfter.
func RetryAfter(resp *http.Response) (time.Duration, bool) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	said := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(said, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, seconds > 0
	}
	until, err := http.ParseTime(said)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	after := until.Sub(now)
	return after, after > 0
}
