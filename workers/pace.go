package workers

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// pace is the rate at which a service's runs are started; nil is no limit.
type pace struct{ *rate.Limiter }

// burst is how much of a second's runs may be started at once after a rest.
const burst = 0.1

// maxPause bounds a wait for the rate before a message is asked for, in seconds.
const maxPause = 3600

func newPace(perSecond float64) *pace {
	if perSecond == 0 {
		return nil
	}
	return &pace{rate.NewLimiter(rate.Limit(perSecond), max(1, int(min(burst*perSecond, maxPull))))}
}

// now says whether a run may be started without waiting, and counts it.
func (p *pace) now() bool { return p == nil || p.Allow() }

// wait waits until a run may be started; false when ctx is done first. The
// limiter's own Wait is not used: it refuses at once where ctx has a deadline
// before that, and ctx need not end then.
func (p *pace) wait(ctx context.Context) bool {
	if p == nil {
		return true
	}
	r := p.Reserve()
	if pause(ctx, r.Delay()) {
		return true
	}
	r.Cancel()
	return false
}

// allows waits until a run may be started, without counting it, and says how
// many may; at least 1.
func (p *pace) allows(ctx context.Context) int {
	if p == nil {
		return maxPull
	}
	if missing := 1 - p.Tokens(); missing > 0 {
		pause(ctx, time.Duration(min(missing/float64(p.Limit()), maxPause)*float64(time.Second)))
	}
	return max(1, int(p.Tokens()))
}
