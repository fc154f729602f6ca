// Package clock reads and shows times as people write them.
package clock

import (
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-run/bellhop/scheduler"
)

// Hint says what Parse takes.
const Hint = `use RFC 3339 such as 2026-12-07T09:00:00Z, or "2026-12-07 09:00", 09:00, +10m`

// layouts are the forms of a time without a zone, and how much of them today
// stands for.
var layouts = []string{
	"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly,
}

// Parse reads a time as people write it. now says what a time of day, and
// a time without a zone, means: the next time that its clock shows it.
func Parse(text string, now time.Time) (time.Time, error) {
	if rest, ok := strings.CutPrefix(text, "+"); ok {
		d, err := scheduler.ParseDuration(rest)
		return now.Add(d.Std()).UTC().Truncate(time.Millisecond), err
	}
	if text == "now" {
		return now.UTC().Truncate(time.Millisecond), nil
	}
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			on := func(day int) time.Time {
				return time.Date(now.Year(), now.Month(), day, t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			}
			if today := on(now.Day()); today.After(now) {
				return today, nil
			}
			return on(now.Day() + 1), nil
		}
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Parse(time.RFC3339, text)
}

// ParsePast reads a time that has passed: as Parse, or a duration, which
// is so long ago.
func ParsePast(text string, now time.Time) (time.Time, error) {
	if d, err := scheduler.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return now.Add(-d.Std()), nil
	}
	t, err := Parse(text, now)
	if err == nil && t.After(now) && !strings.Contains(text, "-") { // a time of day
		t = t.AddDate(0, 0, -1)
	}
	return t, err
}

// Layout shows times to people: this machine's, and how far it is off UTC.
const Layout = "2006-01-02 15:04:05Z07:00"

// Show is a time and how far away it is; "-" is none.
func Show(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := t.Sub(now)
	if d < 0 {
		return t.Local().Format(Layout) + " (" + Rough(-d) + " ago)"
	}
	return t.Local().Format(Layout) + " (in " + Rough(d) + ")"
}

// Rough is a duration in its largest unit: 25m, 3d.
func Rough(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%dd", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
