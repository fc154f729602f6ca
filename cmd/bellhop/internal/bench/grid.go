package bench

import (
	"context"
	"fmt"
	"time"
)

// grid is of jobs that are all due at the same instants, again and again, so that
// they need be loaded only once. Raw measurements take place between its points.
type grid struct{ period time.Duration }

// gridFor gives one with room for so many messages, Bellhop's and raw ones, in
// a period, also on a machine that is slow or shared.
func (e *Env) gridFor(n int) grid {
	perSecond := map[string]int{Durable: 6_000, R3: 8_000, Outside: 5_000}[e.Mode]
	if perSecond == 0 {
		perSecond = 20_000
	}
	if e.tiny() {
		return grid{time.Second}
	}
	return grid{time.Duration(2+n/perSecond) * time.Second}
}

// anchor is a point that has passed.
func (g grid) anchor() time.Time { return time.Now().Truncate(g.period) }

// next is the next point to which there is time enough.
func (g grid) next(enough time.Duration) time.Time {
	return time.Now().Add(enough).Truncate(g.period).Add(g.period)
}

// between calls f when no point will come for a while, again if one has come
// meanwhile.
func (g grid) between(ctx context.Context, enough time.Duration, f func(context.Context) (Figure, error)) (Figure, error) {
	for range 3 {
		next := g.next(0)
		if time.Until(next) < min(enough, g.period/2) {
			// What falls due then gets as long to be over.
			if !pause(ctx, time.Until(next)+min(enough, g.period/2)) {
				return Figure{}, ctx.Err()
			}
			next = g.next(0)
		}
		figure, err := f(ctx)
		if err != nil || time.Now().Before(next) {
			return figure, err
		}
	}
	return Figure{}, fmt.Errorf("the machine is too slow, or too busy, to do this within %v", g.period)
}
